//! `sealbook governance ...`: decisions about the network itself.

use std::path::Path;

use comfy_table::Table;
use sealbook_governance::{Action, Change, GovernanceView, Proposal, ProposalStatus};
use sealbook_identity::{files as key_files, pem};
use sealbook_ledger::{EpochDefinition, GovernanceRules, ObserverSeat, Parameters, ValidatorSeat};
use sealbook_primitives::signature::VerifyingKey;
use sealbook_sdk::{AnswerBody, Prepared, Question};
use sealbook_securities::{MemberName, Outcome};
use serde_json::{Value, json};

use crate::arguments::{
    ChangeCommand, GovernanceCommand, NodeKeys, ParameterArguments, RuleArguments,
};
use crate::error::{CliError, Exit, Result};
use crate::network::{self, NetworkFiles};
use crate::operations::{Context, Trust, time};
use crate::output;
use crate::session::{Done, Session};
use crate::views;

const CHAIN_BYTES_MAX: usize = 64 * 1024;

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
        voice(context, &trust, &mut session, number, action)
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
        GovernanceCommand::Show { proposal } => {
            let view = view(context, &mut session)?;
            let proposal = find(&view, proposal)?;
            let whole = whole(proposal, &trust);
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

fn view(context: &Context, session: &mut Session) -> Result<GovernanceView> {
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
        other => change(files, other)?,
    };
    change.check().map_err(usage)?;
    if !context.json {
        output::line(words(&change, trust));
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
    let value = about(&done, found.map(|one| one.id), &change, trust, found);
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
    trust: &Trust,
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
    let withdraws = matches!(action, Action::Withdraw { .. });
    let order = Prepared::governance(action).map_err(CliError::new)?;
    let done = session.submit(&context.member, order, context.wait)?;
    // What came of the order is known already, so that a failure here is none of the command.
    let known = done.outcome != "ordered";
    let after = known.then(|| view(context, session)).and_then(Result::ok);
    let found = after.as_ref().and_then(|view| find(view, number).ok());
    let value = about(&done, Some(number), &seen.change, trust, found);
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

/// As [`Done::check`], with a hint where the code alone says too little.
fn check(done: &Done, change: &Change, withdraws: bool) -> Result<()> {
    done.check().map_err(|error| match done.code {
        Some("conflict") => error.hint(conflict_hint(change)),
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
        Change::AddValidator(_) | Change::AddObserver(_) => {
            "its name or vote key has a seat already, as a validator's or an observer's, all seats are taken, or \
             nothing can be sealed to its module key"
        }
        Change::RemoveValidator { .. } => "there is no such validator, or it is the last one",
        Change::RemoveObserver { .. } => "there is no such observer",
        Change::MoveNode { .. } => "no node of this name has a seat",
        Change::SetParameters(_) => "no epoch with these parameters may follow the present one",
        Change::SetRules(_) => "there are fewer electors by the new rules than approvals",
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

/// The change of a command that needs nothing from the ledger.
fn change(files: &NetworkFiles, command: ChangeCommand) -> Result<Change> {
    Ok(match command {
        ChangeCommand::AddMember { chain } => Change::AddMember {
            chain: read_chain(&chain)?,
        },
        ChangeCommand::RemoveMember { name } => Change::RemoveMember {
            name: MemberName::new(&name).map_err(|error| usage(format!("`{name}`: {error}")))?,
        },
        ChangeCommand::AddValidator {
            name,
            keys,
            module_key,
        } => {
            let (vote_key, address) = seat(files, &name, keys)?;
            let module_key = match module_key {
                Some(hex) => decode_module_key(&hex)?,
                None => network::module_key(files, &name)
                    .map_err(|_| usage(format!("name the --module-key of `{name}`")))?,
            };
            Change::AddValidator(ValidatorSeat {
                name,
                vote_key,
                module_key,
                address,
            })
        }
        ChangeCommand::RemoveValidator { name } => Change::RemoveValidator { name },
        ChangeCommand::AddObserver {
            name,
            keys,
            module_key,
        } => {
            let (vote_key, address) = seat(files, &name, keys)?;
            let own_module = files.entry(&name).is_ok_and(|entry| entry.own_module);
            let module_key = match module_key {
                Some(hex) => Some(decode_module_key(&hex)?),
                None if own_module => Some(network::module_key(files, &name)?),
                None => None,
            };
            Change::AddObserver(ObserverSeat {
                name,
                vote_key,
                module_key,
                address,
            })
        }
        ChangeCommand::RemoveObserver { name } => Change::RemoveObserver { name },
        ChangeCommand::MoveNode { name, address } => Change::MoveNode { name, address },
        ChangeCommand::SetParameters(_) | ChangeCommand::SetRules(_) => {
            return Err(usage("this change starts from what holds on the ledger"));
        }
    })
}

fn decode_module_key(hex: &str) -> Result<Vec<u8>> {
    network::decode_hex(hex)
        .filter(|key| !key.is_empty())
        .ok_or_else(|| usage("the module key is not hex"))
}

fn read_chain(path: &Path) -> Result<Vec<Vec<u8>>> {
    let text = key_files::read_text(path, CHAIN_BYTES_MAX).map_err(CliError::new)?;
    let chain = pem::chain_from_pem(&text).map_err(CliError::new)?;
    Ok(chain.into_iter().map(|one| one.to_vec()).collect())
}

/// Vote key and address of a node: as named, or those of the node whose folder is here.
fn seat(files: &NetworkFiles, name: &str, keys: NodeKeys) -> Result<(VerifyingKey, String)> {
    let vote_key = match keys.vote_key {
        Some(hex) => {
            VerifyingKey::from_hex(&hex).map_err(|_| usage("the vote key is not a key in hex"))?
        }
        None => network::vote_key(files, name).map_err(|_| {
            usage(format!(
                "name the --vote-key of `{name}`: its folder is not here"
            ))
        })?,
    };
    let address = match keys.address {
        Some(address) => address,
        None => files
            .entry(name)
            .map_err(|_| {
                usage(format!(
                    "name the --address of `{name}`: its folder is not here"
                ))
            })?
            .ordering
            .to_string(),
    };
    Ok((vote_key, address))
}

fn parameters(present: &Parameters, arguments: &ParameterArguments) -> Parameters {
    Parameters {
        block_interval_ms: arguments
            .block_interval
            .unwrap_or(present.block_interval_ms),
        idle_interval_ms: arguments.idle_interval.unwrap_or(present.idle_interval_ms),
        clock_drift_ms: arguments.clock_drift.unwrap_or(present.clock_drift_ms),
        block_bytes_max: arguments.block_bytes.unwrap_or(present.block_bytes_max),
        expiry_horizon_ms: arguments
            .expiry_horizon
            .unwrap_or(present.expiry_horizon_ms),
        epoch_blocks: arguments.epoch_blocks.unwrap_or(present.epoch_blocks),
        snapshot_epochs: arguments.snapshot_epochs.unwrap_or(present.snapshot_epochs),
    }
}

fn rules(present: &GovernanceRules, arguments: RuleArguments) -> GovernanceRules {
    let life = arguments
        .proposal_life
        .map(|seconds| seconds.saturating_mul(1_000));
    GovernanceRules {
        electors: arguments
            .electors
            .unwrap_or_else(|| present.electors.clone()),
        approvals: arguments.approvals.unwrap_or(present.approvals),
        proposal_life_ms: life.unwrap_or(present.proposal_life_ms),
    }
}

fn parameters_json(parameters: &Parameters) -> Value {
    json!({
        "block_interval_ms": parameters.block_interval_ms,
        "idle_interval_ms": parameters.idle_interval_ms,
        "clock_drift_ms": parameters.clock_drift_ms,
        "block_bytes_max": parameters.block_bytes_max,
        "expiry_horizon_ms": parameters.expiry_horizon_ms,
        "epoch_blocks": parameters.epoch_blocks,
        "snapshot_epochs": parameters.snapshot_epochs,
    })
}

fn rules_json(rules: &GovernanceRules) -> Value {
    json!({"electors": rules.electors, "approvals": rules.approvals,
        "proposal_life_seconds": rules.proposal_life_ms / 1_000})
}

/// What a change would do, in full: whoever approves must be able to read it.
fn change_json(change: &Change, trust: &Trust) -> Value {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    match change {
        Change::AddMember { chain } => trust.holder_json(chain),
        Change::RemoveMember { name } => json!({"name": name.as_str()}),
        Change::AddValidator(seat) => {
            json!({"name": seat.name, "vote_key": seat.vote_key.to_string(),
            "module_key": hex(&seat.module_key), "address": seat.address})
        }
        Change::AddObserver(seat) => {
            let module_key = seat.module_key.as_deref().map(hex);
            json!({"name": seat.name, "vote_key": seat.vote_key.to_string(),
            "module_key": module_key, "address": seat.address})
        }
        Change::RemoveValidator { name } | Change::RemoveObserver { name } => json!({"name": name}),
        Change::MoveNode { name, address } => json!({"name": name, "address": address}),
        Change::SetParameters(parameters) => parameters_json(parameters),
        Change::SetRules(rules) => rules_json(rules),
    }
}

/// The change in words, fact by fact.
fn facts(change: &Change, trust: &Trust) -> Vec<String> {
    match change {
        Change::AddMember { chain } => trust.holder_facts(chain),
        Change::RemoveMember { name } => vec![name.as_str().to_owned()],
        Change::AddValidator(seat) => vec![format!("{} at {}", seat.name, seat.address)],
        Change::AddObserver(seat) => {
            let mut facts = vec![format!("{} at {}", seat.name, seat.address)];
            let module = |_| "with a module of its own".to_owned();
            facts.extend(seat.module_key.as_ref().map(module));
            facts
        }
        Change::RemoveValidator { name } | Change::RemoveObserver { name } => vec![name.clone()],
        Change::MoveNode { name, address } => vec![format!("{name} to {address}")],
        Change::SetParameters(one) => vec![
            format!("blocks every {} ms", one.block_interval_ms),
            format!("idle blocks every {} ms", one.idle_interval_ms),
            format!("clock drift {} ms", one.clock_drift_ms),
            format!("blocks of {} bytes at most", one.block_bytes_max),
            format!("expiry within {} ms", one.expiry_horizon_ms),
            format!("epochs of {} blocks", one.epoch_blocks),
            format!("epochs to a snapshot: {}", one.snapshot_epochs),
        ],
        Change::SetRules(rules) => vec![
            format!("electors {}", rules.electors.join(" or ")),
            format!("approvals {}", rules.approvals),
            format!(
                "proposal life {:?}",
                std::time::Duration::from_millis(rules.proposal_life_ms)
            ),
        ],
    }
}

/// The change in one line.
fn words(change: &Change, trust: &Trust) -> String {
    format!("{}: {}", change.kind(), facts(change, trust).join(", "))
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
    })
}

fn epochs(view: &GovernanceView) -> Value {
    json!({
        "present": epoch_json(&view.definition),
        "next": view.planned.as_ref().map(epoch_json),
        "rules": rules_json(&view.rules),
        "next_rules": view.planned_rules.as_ref().map(rules_json),
        "removed_members": view.removed.iter().map(MemberName::as_str).collect::<Vec<_>>(),
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
    use super::*;

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let present = Parameters::default();
        let arguments = ParameterArguments {
            block_interval: Some(77),
            idle_interval: None,
            clock_drift: None,
            block_bytes: None,
            expiry_horizon: None,
            epoch_blocks: Some(99),
            snapshot_epochs: None,
        };
        let expected = Parameters {
            block_interval_ms: 77,
            epoch_blocks: 99,
            ..present.clone()
        };
        assert_eq!(parameters(&present, &arguments), expected);
        let present = GovernanceRules::default();
        let arguments = RuleArguments {
            electors: None,
            approvals: Some(2),
            proposal_life: Some(60),
        };
        let changed = rules(&present, arguments);
        assert_eq!(changed.electors, present.electors);
        assert_eq!((changed.approvals, changed.proposal_life_ms), (2, 60_000));
    }

    #[test]
    fn a_proposal_is_shown_with_all_that_it_would_change() {
        let seat = ValidatorSeat {
            name: "node-5".to_owned(),
            vote_key: VerifyingKey([5; 32]),
            module_key: vec![1, 255],
            address: "10.0.0.5:4000".to_owned(),
        };
        let shown = change_json(&Change::AddValidator(seat), &Trust::default());
        assert_eq!(shown["module_key"], "01ff");
        assert_eq!(shown["address"], "10.0.0.5:4000");
        assert_eq!(shown["vote_key"], VerifyingKey([5; 32]).to_string());
    }

    #[test]
    fn a_change_in_words_names_every_rule_and_every_parameter() {
        let trust = Trust::default();
        let shown = words(&Change::SetRules(GovernanceRules::default()), &trust);
        assert_eq!(
            shown,
            "set-rules: electors admin, approvals 1, proposal life 604800s"
        );
        let present = Parameters::default();
        let shown = facts(&Change::SetParameters(present.clone()), &trust).join(" ");
        for (name, value) in parameters_json(&present).as_object().unwrap() {
            let value = value.to_string();
            assert!(shown.split(' ').any(|word| word == value), "{name}");
        }
    }

    #[test]
    fn a_conflict_comes_with_its_reasons() {
        let mut done = Done::malformed(String::new());
        done.code = Some("conflict");
        let change = Change::SetRules(GovernanceRules::default());
        let error = check(&done, &change, false).unwrap_err().to_string();
        assert!(error.contains("fewer electors"), "{error}");
    }
}
