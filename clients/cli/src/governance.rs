//! `sealbook governance ...`: decisions about the network itself.

use comfy_table::Table;
use sealbook_governance::{Action, Change, GovernanceView, Proposal, ProposalStatus};
use sealbook_ledger::EpochDefinition;
use sealbook_sdk::{AnswerBody, Prepared, Question};
use sealbook_securities::Outcome;
use serde_json::{Value, json};

use crate::arguments::{ChangeCommand, GovernanceCommand};
use crate::error::{CliError, Exit, Result};
use crate::network::NetworkFiles;
use crate::operations::{Context, Trust, time};
use crate::output;
use crate::session::{Done, Session};
use crate::views;

mod changes;
mod policies;

pub use changes::holders;

use changes::{change, change_json, facts, parameters, parameters_json, rules, rules_json, words};

fn usage(text: impl std::fmt::Display) -> CliError {
    CliError::with_exit(Exit::Usage, text)
}

/// `sealbook governance ...`
///
/// # Errors
/// What went wrong.
pub fn run(context: &Context, command: GovernanceCommand) -> Result<()> {
    let files = context.files()?;
    let trust = Trust::of(&files)?;
    let mut session = Session::open(&files)?;
    let mut say = |number, action: fn(&Proposal) -> Action| {
        voice(context, (&files, &trust), &mut session, number, action)
    };
    match command {
        GovernanceCommand::Propose(one) => propose(context, &files, &trust, &mut session, one),
        // The voice names the change that was shown, so that no other one can be approved with it.
        GovernanceCommand::Approve { proposal } => say(proposal, |seen| Action::Approve {
            proposal: seen.id,
            digest: seen.change.digest(),
        }),
        GovernanceCommand::Reject { proposal } => {
            say(proposal, |seen| Action::Reject { proposal: seen.id })
        }
        GovernanceCommand::Withdraw { proposal } => {
            say(proposal, |seen| Action::Withdraw { proposal: seen.id })
        }
        GovernanceCommand::List => {
            let view = view(context, &mut session)?;
            let rows = view.proposals.iter().map(summary).collect();
            context.say(&Value::Array(rows), &table(&view.proposals, &trust));
            Ok(())
        }
        GovernanceCommand::Policies { out, proposal } => {
            let view = view(context, &mut session)?;
            policies::write(context, &files, &view, &out, proposal)
        }
        GovernanceCommand::Show { proposal } => {
            let view = view(context, &mut session)?;
            let proposal = find(&view, proposal)?;
            let mut whole = whole(proposal, &trust);
            let found = policies::differences(&files, &view, &proposal.change)?;
            insert_differences(&mut whole, found.map(|(value, _)| value));
            context.say(&whole, &format!("{whole:#}"));
            Ok(())
        }
        GovernanceCommand::Epoch => {
            let view = view(context, &mut session)?;
            context.say(&epochs(&view), &epochs_text(&view));
            Ok(())
        }
    }
}

pub(crate) fn view(context: &Context, session: &mut Session) -> Result<GovernanceView> {
    let client = session.client(&context.member)?;
    let answer = client.ask(&Question::Governance).map_err(CliError::new)?;
    match &answer.body {
        AnswerBody::View(bytes) => views::decode(bytes),
        AnswerBody::Refused(bytes) => {
            let outcome: Outcome = views::decode(bytes)?;
            let done = Done::refused(outcome, answer.height);
            done.check()?;
            Err(CliError::new("the ledger refused the question"))
        }
        AnswerBody::Behind | AnswerBody::Member(_) => {
            Err(CliError::new("the ledger answered something else"))
        }
    }
}

fn find(view: &GovernanceView, number: u64) -> Result<&Proposal> {
    let found = view.proposals.iter().find(|one| one.id == number);
    found.ok_or_else(|| {
        usage(format!("no proposal {number}")).hint("`sealbook governance list` shows them")
    })
}

fn propose(
    context: &Context,
    files: &NetworkFiles,
    trust: &Trust,
    session: &mut Session,
    command: ChangeCommand,
) -> Result<()> {
    let mut differs = None;
    let change = match command {
        ChangeCommand::SetParameters(arguments) => {
            let view = view(context, session)?;
            let decided = |one: &Proposal| match &one.change {
                Change::SetParameters(parameters) => Some(parameters.clone()),
                _ => None,
            };
            let holds = view.planned.as_ref().unwrap_or(&view.definition);
            let base = scheduled(&view, decided).unwrap_or_else(|| holds.parameters.clone());
            Change::SetParameters(parameters(&base, &arguments))
        }
        ChangeCommand::SetRules(arguments) => {
            let view = view(context, session)?;
            let decided = |one: &Proposal| match &one.change {
                Change::SetRules(rules) => Some(rules.clone()),
                _ => None,
            };
            let holds = view.planned_rules.as_ref().unwrap_or(&view.rules);
            let base = scheduled(&view, decided).unwrap_or_else(|| holds.clone());
            Change::SetRules(rules(&base, arguments))
        }
        ChangeCommand::SetPolicies { folder } => {
            let view = view(context, session)?;
            let change = policies::change(files, &folder, &view)?;
            differs = policies::differences(files, &view, &change)?;
            change
        }
        other => change(files, other)?,
    };
    change.check().map_err(usage)?;
    if !context.json {
        output::line(words(&change, trust));
        if let Some((_, text)) = &differs {
            output::line(text);
        }
    }
    let action = Action::Propose {
        change: change.clone(),
    };
    let order = Prepared::governance(action).map_err(CliError::new)?;
    let done = session.submit(&context.member, order, context.wait)?;
    check(&done, &change, false)?;
    let known = done.outcome != "ordered";
    let after = known.then(|| view(context, session)).transpose()?;
    // The outcome does not say the number: it is the newest of this change by this member.
    let digest = change.digest();
    let own = |one: &&Proposal| one.digest == digest && one.proposer.as_str() == context.member;
    let found = after
        .as_ref()
        .and_then(|view| view.proposals.iter().rfind(own));
    let mut value = about(&done, found.map(|one| one.id), &change, trust, found);
    insert_differences(&mut value, differs.map(|(value, _)| value));
    let text = match found {
        Some(one) if one.status == ProposalStatus::Open => format!(
            "proposal {0} waits for more approvals: sealbook --as OTHER governance approve {0}",
            one.id
        ),
        Some(one) => format!("proposal {}: {}", one.id, status_text(&one.status)),
        None => done.to_text(),
    };
    context.say(&value, &text);
    Ok(())
}

/// Shows a proposal and then says `action` about it.
fn voice(
    context: &Context,
    (files, trust): (&NetworkFiles, &Trust),
    session: &mut Session,
    number: u64,
    action: fn(&Proposal) -> Action,
) -> Result<()> {
    let before = view(context, session)?;
    let seen = find(&before, number)?;
    if !context.json {
        let words = words(&seen.change, trust);
        output::line(format!("proposal {number} of {}: {words}", seen.proposer));
    }
    let action = action(seen);
    // Rules that cannot be read here are not approved from here; against them anybody may be.
    let differs = match policies::differences(files, &before, &seen.change) {
        Err(error) if matches!(action, Action::Approve { .. }) => return Err(error),
        found => found.ok().flatten(),
    };
    if let (false, Some((_, text))) = (context.json, &differs) {
        output::line(text);
    }
    let withdraws = matches!(action, Action::Withdraw { .. });
    let order = Prepared::governance(action).map_err(CliError::new)?;
    let done = session.submit(&context.member, order, context.wait)?;
    // What came of the order is known already, so that a failure here is none of the command.
    let known = done.outcome != "ordered";
    let after = known.then(|| view(context, session)).and_then(Result::ok);
    let found = after.as_ref().and_then(|view| find(view, number).ok());
    let mut value = about(&done, Some(number), &seen.change, trust, found);
    insert_differences(&mut value, differs.map(|(value, _)| value));
    let mut text = format!("proposal {number}: {}", done.to_text());
    if let Some(status) = found.map(|one| status_text(&one.status)) {
        text.push_str(&format!("\nproposal {number}: {status}"));
    }
    context.say(&value, &text);
    check(&done, &seen.change, withdraws)
}

/// The result of an order with the change that it is about, and where the proposal stands after it.
fn about(
    done: &Done,
    number: Option<u64>,
    change: &Change,
    trust: &Trust,
    after: Option<&Proposal>,
) -> Value {
    let mut value = done.to_json(None);
    if let Value::Object(object) = &mut value {
        if let Some(number) = number {
            object.insert("proposal".to_owned(), json!(number));
        }
        object.insert("change".to_owned(), json!(change.kind()));
        object.insert("content".to_owned(), change_json(change, trust));
    }
    if let Some(after) = after {
        insert_status(&mut value, &after.status);
    }
    value
}

/// Adds what a change of rules would do to decisions.
fn insert_differences(value: &mut Value, differs: Option<Value>) {
    if let (Some(differs), Value::Object(object)) = (differs, value) {
        object.insert("differs".to_owned(), differs);
    }
}

/// As [`Done::check`], with a hint where the code alone says too little.
fn check(done: &Done, change: &Change, withdraws: bool) -> Result<()> {
    done.check().map_err(|error| match done.code {
        Some("conflict") => error.hint(conflict_hint(change)),
        Some("limit") if matches!(change, Change::SetPolicies(_)) => error.hint(
            "a member has one proposal of rules open or scheduled, four are kept of all members, and 64 blocks pass between \
             two of one member, good or not",
        ),
        Some("not-permitted") if withdraws => {
            error.hint("only its proposer may withdraw a proposal")
        }
        _ => error,
    })
}

/// What a conflict can be about, by the kind of change.
fn conflict_hint(change: &Change) -> String {
    let reasons = match change {
        Change::AddMember { .. } => {
            "the certificates are not good now, or their name or certificate is in use or decided to come"
        }
        Change::RemoveMember { .. } => {
            "there is no such member, it is decided to go already, or fewer electors than approvals would be left"
        }
        Change::AddValidator(_, _) | Change::AddObserver(_, _) => {
            "its name or vote key has a seat already, as a validator's or an observer's, all seats are taken, or \
             nothing can be sealed to its module key, or the members have agreed on programs and it does not state that it \
             runs one of them"
        }
        Change::RemoveValidator { .. } => "there is no such validator, or it is the last one",
        Change::RemoveObserver { .. } => "there is no such observer",
        Change::MoveNode { .. } => "no node of this name has a seat",
        Change::SetParameters(_) => {
            "no epoch with these parameters may follow the present one, or other contracts have been authorised \
             meanwhile"
        }
        Change::SetRules(_) => "there are fewer electors by the new rules than approvals",
        Change::RotateKeys { .. } => "a new key epoch cannot begin",
        Change::SetAuditors(_) | Change::SetRecovery(_) => {
            "one of the keys is none that secrets can be sealed to"
        }
        Change::ReplaceModule { .. } => {
            "no node of this name has a module, nothing can be sealed to the new key, or the members have agreed on \
             programs and it does not state that it runs one of them"
        }
        Change::SetContracts(_) => {
            "a contract is none that the modules run, or not in this version"
        }
        Change::SetPolicies(_) => {
            "the rules are not plain or not valid under the schema of the modules, lock all admins out, or others have been \
             decided on meanwhile"
        }
        Change::SetMeasurements(_) => "nothing of what is in force is in its way",
    };
    format!(
        "it can be that {reasons}; `sealbook governance epoch` shows what is in force, `sealbook governance list` \
         what is decided"
    )
}

/// What was decided last and does not hold yet: a change of some of its fields must not take the others back.
fn scheduled<T>(view: &GovernanceView, decided: impl Fn(&Proposal) -> Option<T>) -> Option<T> {
    let waiting = |one: &&Proposal| matches!(one.status, ProposalStatus::Scheduled { .. });
    let scheduled = view.proposals.iter().filter(waiting);
    scheduled
        .filter_map(|one| Some(((one.decided_ms, one.id), decided(one)?)))
        .max_by_key(|(order, _)| *order)
        .map(|(_, value)| value)
}

fn status_text(status: &ProposalStatus) -> String {
    match status {
        ProposalStatus::Scheduled { epoch, height } => {
            format!("scheduled, takes effect with epoch {epoch}, from height {height}")
        }
        ProposalStatus::Effective { epoch } => format!("effective since epoch {epoch}"),
        ProposalStatus::Failed(failure) => format!("failed: {failure}"),
        other => other.as_str().to_owned(),
    }
}

fn voices(proposal: &Proposal, approves: bool) -> Vec<&str> {
    let voices = proposal.voices.iter();
    voices
        .filter(|(_, voice)| voice.approves == approves)
        .map(|(name, _)| name.as_str())
        .collect()
}

fn summary(proposal: &Proposal) -> Value {
    let mut value = json!({
        "proposal": proposal.id,
        "change": proposal.change.kind(),
        "digest": proposal.digest.to_string(),
        "proposer": proposal.proposer.as_str(),
        "proposed": time(proposal.proposed_ms),
        "expires": time(proposal.expires_ms),
        "approved_by": voices(proposal, true),
        "rejected_by": voices(proposal, false),
    });
    insert_status(&mut value, &proposal.status);
    value
}

fn insert_status(value: &mut Value, status: &ProposalStatus) {
    let Value::Object(object) = value else {
        return;
    };
    object.insert("status".to_owned(), json!(status.as_str()));
    match status {
        ProposalStatus::Scheduled { epoch, height } => {
            object.insert("epoch".to_owned(), json!(epoch));
            object.insert("from_height".to_owned(), json!(height));
        }
        ProposalStatus::Effective { epoch } => {
            object.insert("epoch".to_owned(), json!(epoch));
        }
        ProposalStatus::Failed(failure) => {
            object.insert("why".to_owned(), json!(failure.to_string()));
        }
        _ => {}
    }
}

fn whole(proposal: &Proposal, trust: &Trust) -> Value {
    let mut value = summary(proposal);
    if let Value::Object(object) = &mut value {
        object.insert("content".to_owned(), change_json(&proposal.change, trust));
        object.insert("decided".to_owned(), json!(proposal.decided_ms.map(time)));
    }
    value
}

fn table(proposals: &[Proposal], trust: &Trust) -> String {
    let mut table = Table::new();
    table.set_header([
        "", "change", "what", "by", "approved", "rejected", "status", "until",
    ]);
    for proposal in proposals {
        table.add_row([
            &proposal.id.to_string(),
            proposal.change.kind(),
            &facts(&proposal.change, trust).join("\n"),
            proposal.proposer.as_str(),
            &voices(proposal, true).join(", "),
            &voices(proposal, false).join(", "),
            &status_text(&proposal.status),
            &time(proposal.expires_ms),
        ]);
    }
    table.to_string()
}

fn epoch_json(definition: &EpochDefinition) -> Value {
    let validators: Vec<Value> = definition
        .validators
        .iter()
        .map(|seat| {
            json!({"name": seat.name, "address": seat.address,
                "vote_key": seat.vote_key.to_string()})
        })
        .collect();
    let observers: Vec<Value> = definition
        .observers
        .iter()
        .map(|seat| {
            json!({"name": seat.name, "address": seat.address,
                "vote_key": seat.vote_key.to_string(), "own_module": seat.module_key.is_some()})
        })
        .collect();
    json!({
        "epoch": definition.epoch,
        "first_height": definition.first_height,
        "last_height": definition.last_height,
        "decided_after_height": definition.plan_height(),
        "validators": validators,
        "observers": observers,
        "parameters": parameters_json(&definition.parameters),
        "key_epoch": definition.opening.key_epoch,
        "key_epoch_since_height": definition.opening.since_height,
        "suite": definition.opening.suite(),
    })
}

fn epochs(view: &GovernanceView) -> Value {
    json!({
        "present": epoch_json(&view.definition),
        "next": view.planned.as_ref().map(epoch_json),
        "rules": rules_json(&view.rules),
        "next_rules": view.planned_rules.as_ref().map(rules_json),
        "new_key_epoch_wanted": view.rotation.as_ref().map(|one| json!({
            "since_height": one.since, "offers": one.offers.len(), "agreed": one.ready.is_some()})),
        "auditors": changes::holders_json(&view.recipients.auditors),
        "recovery": json!({"threshold": view.recipients.recovery.threshold,
            "holders": changes::holders_json(&view.recipients.recovery.holders)}),
        "module_measurements": view.measurements.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "removed_members": view.removed.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        "quotas_cut": view.quotas.iter()
            .map(|(key, level)| json!({"carrier": key.to_string(), "halved": level}))
            .collect::<Vec<_>>(),
    })
}

fn epochs_text(view: &GovernanceView) -> String {
    let describe = |what: &str, definition: &EpochDefinition| {
        let validators: Vec<&str> = definition
            .validators
            .iter()
            .map(|seat| seat.name.as_str())
            .collect();
        let observers: Vec<&str> = definition
            .observers
            .iter()
            .map(|seat| seat.name.as_str())
            .collect();
        let observers = if observers.is_empty() {
            "none".to_owned()
        } else {
            observers.join(", ")
        };
        format!(
            "{what} epoch {}\n  heights     {} to {}\n  validators  {}\n  observers   {observers}\n",
            definition.epoch,
            definition.first_height,
            definition.last_height,
            validators.join(", "),
        )
    };
    let mut text = describe("present", &view.definition);
    match &view.planned {
        Some(next) => text.push_str(&describe("next", next)),
        None => text.push_str(&format!(
            "next epoch {}\n  begins at height {}; who is in it is fixed after height {}\n",
            view.definition.epoch.saturating_add(1),
            view.definition.last_height.saturating_add(1),
            view.definition.plan_height(),
        )),
    }
    let opening = &view.definition.opening;
    text.push_str(&format!(
        "key epoch {} since height {}, suite {}{}\n",
        opening.key_epoch,
        opening.since_height,
        opening.suite(),
        match &view.rotation {
            Some(rotation) if rotation.ready.is_some() =>
                "; a new one is agreed on and begins with the next committee epoch to be fixed",
            Some(_) => "; a new one is wanted",
            None => "",
        },
    ));
    for measurement in &view.measurements {
        text.push_str(&format!("modules to be admitted may run {measurement}\n"));
    }
    text.push_str(&format!(
        "rules: {} of the members with role {} must approve, within {} s",
        view.rules.approvals,
        view.rules.electors.join(" or "),
        view.rules.proposal_life_ms / 1_000,
    ));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealbook_ledger::GovernanceRules;

    use super::*;

    #[test]
    fn a_conflict_comes_with_its_reasons() {
        let mut done = Done::malformed(String::new());
        done.code = Some("conflict");
        let change = Change::SetRules(GovernanceRules::default());
        let error = check(&done, &change, false).unwrap_err().to_string();
        assert!(error.contains("fewer electors"), "{error}");
    }
}
