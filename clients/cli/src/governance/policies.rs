//! Rules of what members may do that are in force or proposed: written to a folder, and compared decision by decision, so
//! that whoever approves them sees what they change.

use std::fs;
use std::path::Path;

use sealbook_governance::{Change, GovernanceView, Policies};
use sealbook_policies::plain;
use sealbook_primitives::hash::Digest;
use serde_json::{Value, json};

use super::{find, usage};
use crate::error::{CliError, Result, doing};
use crate::network::NetworkFiles;
use crate::operations::Context;
use crate::policy::{Rules, differences as compared};

/// These, or those of the genesis document if there are none.
fn or_founding(files: &NetworkFiles, policies: Option<&Policies>) -> Result<Policies> {
    if let Some(policies) = policies {
        return Ok(policies.clone());
    }
    let genesis = files.genesis()?;
    Ok(Policies {
        replaces: Digest::ZERO,
        schema: genesis.policy_schema,
        files: genesis.policies,
    })
}

/// The change to the rules in a folder, from those that are decided last.
pub(super) fn change(
    network: &NetworkFiles,
    folder: &Path,
    view: &GovernanceView,
) -> Result<Change> {
    let Rules { schema, files, .. } = Rules::in_folder(folder)?;
    if schema != network.genesis()?.policy_schema {
        let text = "the schema is not that of the network, byte for byte";
        return Err(CliError::new(text)
            .hint("take the one that `sealbook governance policies --out FOLDER` writes"));
    }
    let texts: Vec<(&str, &str)> = files
        .iter()
        .map(|file| (file.name.as_str(), file.text.as_str()))
        .collect();
    plain::check(&texts).map_err(|error| {
        CliError::new(error)
            .hint("rules that are decided on are made of what the rules in `policies` are made of")
    })?;
    let replaces = view.policies_decided.as_ref();
    Ok(Change::SetPolicies(Policies {
        replaces: replaces.map_or(Digest::ZERO, Policies::digest),
        schema,
        files,
    }))
}

fn rules(policies: &Policies) -> Result<Rules> {
    Rules::load(policies.schema.clone(), policies.files.clone())
}

/// What a change would do to decisions, beside the rules that hold when it takes effect if nothing else is decided: as JSON
/// and for people. Nothing if the change is about something else, or ended.
pub(super) fn differences(
    files: &NetworkFiles,
    view: &GovernanceView,
    change: &Change,
) -> Result<Option<(Value, String)>> {
    match change {
        Change::SetPolicies(proposed) if !proposed.is_forgotten() => {
            let known = [view.policies.as_ref(), view.policies_decided.as_ref()];
            let mut known = known.into_iter().flatten();
            let replaced = known.find(|one| one.digest() == proposed.replaces);
            if replaced.is_none() && proposed.replaces != Digest::ZERO {
                let text = "other rules have been decided on since: it cannot be decided any more";
                return Ok(Some((Value::Null, text.to_owned())));
            }
            let before = rules(&or_founding(files, replaced)?)?;
            Ok(Some(compared(&before, &rules(proposed)?)))
        }
        _ => Ok(None),
    }
}

/// Writes rules into a new folder.
pub(super) fn write(
    context: &Context,
    files: &NetworkFiles,
    view: &GovernanceView,
    out: &Path,
    proposal: Option<u64>,
) -> Result<()> {
    let (policies, what) = match proposal {
        None => {
            let policies = or_founding(files, view.policies.as_ref())?;
            (policies, "the rules in force".to_owned())
        }
        Some(number) => match &find(view, number)?.change {
            Change::SetPolicies(policies) if !policies.is_forgotten() => {
                (policies.clone(), format!("the rules of proposal {number}"))
            }
            Change::SetPolicies(_) => {
                return Err(usage(format!(
                    "proposal {number} has ended, and its rules are not kept"
                ))
                .hint("without --proposal the rules in force are written"));
            }
            other => {
                return Err(usage(format!("proposal {number} is to {}", other.kind())));
            }
        },
    };
    // Names in a genesis document are whatever its founder chose.
    let odd = policies
        .files
        .iter()
        .find(|file| !plain::is_name(&file.name));
    if let Some(file) = odd {
        let name = file.name.escape_default();
        return Err(CliError::new(format!("`{name}` cannot be a file of rules")));
    }
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).map_err(doing(path.display()))
    };
    fs::create_dir(out).map_err(|error| {
        CliError::new(format!("`{}`: {error}", out.display())).hint("name a new folder with --out")
    })?;
    write("schema.cedarschema", &policies.schema)?;
    for file in &policies.files {
        write(&file.name, &file.text)?;
    }
    let shown = out.display();
    context.say(
        &json!({"folder": shown.to_string(), "files": policies.files.len()}),
        &format!("wrote {what} to {shown}; `sealbook policy` compares, explains and tests them"),
    );
    Ok(())
}
