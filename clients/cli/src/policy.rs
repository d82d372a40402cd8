//! `sealbook policy ...`: what rules allow, why, and whether that is what was agreed. Nothing here asks the ledger.
//!
//! Rules come from a folder, from a network's genesis document (`--network`), or are those of this version. Those that
//! members decided on since are fetched by `sealbook governance policies`.

use std::fs;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use sealbook_identity::files;
use sealbook_ledger::PolicyText;
use sealbook_policies::cases::{Cases, Difference};
use sealbook_policies::{
    DEFAULT_FILES, DEFAULT_SCHEMA, Decision, FILE_BYTES_MAX, PolicySet, ROLES, Relation, Request,
};
use serde_json::{Value, json};

use crate::arguments::PolicyCommand;
use crate::error::{CliError, Exit, Result, doing};
use crate::network::NetworkFiles;
use crate::operations::Context;

/// The table of cases in a folder of rules.
const CASES: &str = "cases.txt";
const SCHEMA: &str = "schema.cedarschema";
const RULES: &str = "cedar";
/// The word for the rules of this version.
const BUILT_IN: &str = "built-in";

/// A schema and rules, and what they decide.
pub struct Rules {
    /// The schema's text.
    pub schema: String,
    /// The rules' files.
    pub files: Vec<PolicyText>,
    set: PolicySet,
}

impl Rules {
    /// Those of this version.
    ///
    /// # Errors
    /// None in practice.
    pub fn built_in() -> Result<Self> {
        let files = DEFAULT_FILES.iter().map(|(name, text)| PolicyText {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        });
        Self::load(DEFAULT_SCHEMA.to_owned(), files.collect())
    }

    /// Those in a folder.
    ///
    /// # Errors
    /// They cannot be read, are not valid, or lock all admins out.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(doing(folder.display()))? {
            let path = entry.map_err(doing(folder.display()))?.path();
            if path.extension().is_some_and(|end| end == RULES) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                found.push(PolicyText {
                    name: name.into_owned(),
                    text: read_text(&path)?,
                });
            }
        }
        found.sort_by(|left, right| left.name.cmp(&right.name));
        Self::load(read_text(&folder.join(SCHEMA))?, found)
    }

    /// Rules that came as texts.
    ///
    /// # Errors
    /// They are not valid, or lock all admins out.
    pub fn load(schema: String, files: Vec<PolicyText>) -> Result<Self> {
        let texts: Vec<(&str, &str)> = files
            .iter()
            .map(|file| (file.name.as_str(), file.text.as_str()))
            .collect();
        let set = PolicySet::load(&schema, &texts).map_err(CliError::new)?;
        set.check_admins().map_err(|error| {
            CliError::new(error)
                .hint("permit it to the role of admin, or begin from the rules in `policies`")
        })?;
        Ok(Self { schema, files, set })
    }
}

fn read_text(path: &Path) -> Result<String> {
    files::read_text(path, FILE_BYTES_MAX).map_err(CliError::new)
}

/// `sealbook policy ...`
///
/// # Errors
/// The rules are not good, or not what was agreed.
pub fn run(context: &Context, network: Option<&Path>, command: PolicyCommand) -> Result<()> {
    let named = |folder: Option<PathBuf>| match (folder, network) {
        (Some(folder), _) => Rules::in_folder(&folder),
        (None, Some(network)) => {
            let genesis = NetworkFiles::open(network)?.genesis()?;
            Rules::load(genesis.policy_schema, genesis.policies)
        }
        (None, None) => Rules::built_in(),
    };
    match command {
        PolicyCommand::Check { rules } => check(context, &named(rules)?),
        PolicyCommand::Explain {
            role,
            action,
            others,
            rules,
        } => explain(context, &named(rules)?, (&role, &action), others),
        PolicyCommand::Diff { before, after } => {
            let (before, after) = (rules_of(&before)?, rules_of(&after)?);
            let (value, text) = differences(&before, &after);
            context.say(&value, &text);
            Ok(())
        }
        PolicyCommand::Test { rules, cases } => {
            let folder = rules.clone();
            let set = named(rules)?.set;
            let table = match cases.or_else(|| folder.map(|folder| folder.join(CASES))) {
                Some(path) => read_text(&path)?,
                None => {
                    let text = "there is no table of cases to hold the rules against";
                    return Err(CliError::with_exit(Exit::Usage, text)
                        .hint("name one with --cases; `sealbook policy cases` makes one"));
                }
            };
            test(context, &set, &table)
        }
        PolicyCommand::Cases { rules } => {
            let cases = Cases::of(&named(rules)?.set);
            let value: Vec<Value> = cases
                .each()
                .map(|(role, action, relation, allowed)| {
                    json!({"role": role, "action": action, "own": relation == Relation::Own, "allowed": allowed})
                })
                .collect();
            context.say(&Value::Array(value), cases.to_text().trim_end());
            Ok(())
        }
    }
}

fn rules_of(text: &str) -> Result<Rules> {
    if text == BUILT_IN {
        Rules::built_in()
    } else {
        Rules::in_folder(Path::new(text))
    }
}

fn check(context: &Context, rules: &Rules) -> Result<()> {
    let (count, actions) = (rules.set.rules().len(), rules.set.actions().count());
    let cases = Cases::of(&rules.set).each().count();
    let text = format!(
        "{count} rules in {} files are good: {actions} actions, {cases} decisions",
        rules.files.len()
    );
    context.say(
        &json!({"files": rules.files.len(), "rules": count, "actions": actions, "decisions": cases}),
        &text,
    );
    Ok(())
}

fn explain(
    context: &Context,
    rules: &Rules,
    (role, action): (&str, &str),
    others: bool,
) -> Result<()> {
    let usage = |text: String, known: Vec<&str>| {
        CliError::with_exit(Exit::Usage, text).hint(format!("known are: {}", known.join(", ")))
    };
    if !ROLES.contains(&role) {
        return Err(usage(format!("`{role}` is not a role"), ROLES.to_vec()));
    }
    if !rules.set.actions().any(|one| one == action) {
        let known = rules.set.actions().collect();
        return Err(usage(format!("`{action}` is not an action"), known));
    }
    let relation = if others {
        Relation::Other
    } else {
        Relation::Own
    };
    let decision = rules.set.decide(&Request {
        member: "caller",
        role,
        action,
        relation,
    });
    let whose = whose(relation);
    let mut lines = vec![format!(
        "{}: a member with the role {role} {} {action} to {whose}",
        if decision.allowed {
            "allowed"
        } else {
            "denied"
        },
        if decision.allowed { "may" } else { "may not" },
    )];
    let mut reasons = Vec::new();
    for rule in rules.set.rules() {
        if decision.reasons.contains(&rule.id) {
            lines.push(format!("rule `{}` of {}:", rule.id, rule.file));
            lines.push(rule.text.clone());
            reasons.push(json!({"rule": rule.id, "file": rule.file, "text": rule.text}));
        }
    }
    if reasons.is_empty() {
        lines.push("no rule permits it, and what no rule permits is denied".to_owned());
    }
    context.say(
        &json!({"role": role, "action": action, "own": !others, "allowed": decision.allowed,
            "rules": reasons}),
        &lines.join("\n"),
    );
    Ok(())
}

const fn whose(relation: Relation) -> &'static str {
    match relation {
        Relation::Own => "what is its own",
        Relation::Other => "what is others'",
    }
}

const fn word(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "denied" }
}

/// Every decision that differs, of actions that both know or one alone: as JSON and for people.
pub fn differences(before: &Rules, after: &Rules) -> (Value, String) {
    let (before, after) = (&before.set, &after.set);
    let actions: std::collections::BTreeSet<&str> =
        before.actions().chain(after.actions()).collect();
    let mut table = Table::new();
    table.set_header(["role", "action", "to", "before", "after", "by"]);
    let mut changes = Vec::new();
    for action in actions {
        for role in ROLES {
            for relation in [Relation::Own, Relation::Other] {
                let request = Request {
                    member: "caller",
                    role,
                    action,
                    relation,
                };
                let (was, is) = (before.decide(&request), after.decide(&request));
                if was.allowed == is.allowed {
                    continue;
                }
                let by = by(if is.allowed { is } else { was }, is.allowed);
                table.add_row([
                    role,
                    action,
                    whose(relation),
                    word(was.allowed),
                    word(is.allowed),
                    &by,
                ]);
                changes.push(
                    json!({"role": role, "action": action, "own": relation == Relation::Own,
                    "before": was.allowed, "after": is.allowed,
                    "rules_before": was.reasons, "rules_after": is.reasons}),
                );
            }
        }
    }
    let text = if changes.is_empty() {
        "no decision differs".to_owned()
    } else {
        table.to_string()
    };
    (Value::Array(changes), text)
}

/// The rules that permit now, or that permitted.
fn by(decision: &Decision, now: bool) -> String {
    let rules = decision.reasons.join(", ");
    match (now, rules.is_empty()) {
        (true, _) => rules,
        (false, true) => "no rule".to_owned(),
        (false, false) => format!("without {rules}"),
    }
}

fn test(context: &Context, set: &PolicySet, table: &str) -> Result<()> {
    let cases = Cases::read(table).map_err(|error| {
        CliError::with_exit(Exit::Usage, error)
            .hint("`sealbook policy cases` shows what a table looks like")
    })?;
    let differences = cases.differences(set);
    let shown: Vec<(String, Value)> = differences.iter().map(show).collect();
    let count = cases.each().count();
    if shown.is_empty() {
        context.say(
            &json!({"cases": count, "differences": []}),
            &format!(
                "{count} cases, every role and action to own and others': all as in the table"
            ),
        );
        return Ok(());
    }
    let (lines, values): (Vec<String>, Vec<Value>) = shown.into_iter().unzip();
    let found = lines.len();
    context.say(
        &json!({"cases": count, "differences": values}),
        &lines.join("\n"),
    );
    Err(CliError::with_exit(
        Exit::Unexpected,
        format!("{found} of {count} cases are not as in the table"),
    )
    .hint("`sealbook policy explain` says which rule decides; change the rules, or agree on another table"))
}

fn show(difference: &Difference) -> (String, Value) {
    match difference {
        Difference::Missing { action } => (
            format!("`{action}` has no line in the table"),
            json!({"missing": action}),
        ),
        Difference::Unknown { action } => (
            format!("`{action}` is no action of the schema"),
            json!({"unknown": action}),
        ),
        Difference::Decision {
            role,
            action,
            relation,
            found,
        } => (
            format!(
                "{role} {action} to {}: {} by the rules, {} in the table",
                whose(*relation),
                word(found.allowed),
                word(!found.allowed)
            ),
            json!({"role": role, "action": action, "own": *relation == Relation::Own,
                "allowed": found.allowed, "rules": found.reasons}),
        ),
    }
}
