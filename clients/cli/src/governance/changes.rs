//! Changes that members propose: from the command line, and as those who approve them see them.

use std::path::Path;

use sealbook_execution::statement::ModuleStatement;
use sealbook_governance::{Change, Policies};
use sealbook_identity::{files as key_files, pem};
use sealbook_ledger::{
    AuthorisedContract, GovernanceRules, KeyHolder, ObserverSeat, Parameters, Recovery,
    ValidatorSeat, holder_digest,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_securities::MemberName;
use serde_json::{Value, json};

use super::usage;
use crate::arguments::{ChangeCommand, NodeKeys, ParameterArguments, RuleArguments};
use crate::error::{CliError, Result};
use crate::network::{self, NetworkFiles};
use crate::nodes::suite as suite_of;
use crate::operations::Trust;

const CHAIN_BYTES_MAX: usize = 64 * 1024;
const KEY_BYTES_MAX: usize = 16 * 1024;

/// The change of a command that needs nothing from the ledger.
pub(super) fn change(files: &NetworkFiles, command: ChangeCommand) -> Result<Change> {
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
            statement,
        } => {
            let (vote_key, address) = seat(files, &name, keys)?;
            let statement = stated(files, &name, module_key.as_ref(), statement)?;
            let module_key = named_module_key(files, &name, module_key)?;
            let seat = ValidatorSeat {
                name,
                vote_key,
                module_key,
                address,
            };
            Change::AddValidator(seat, statement)
        }
        ChangeCommand::RemoveValidator { name } => Change::RemoveValidator { name },
        ChangeCommand::AddObserver {
            name,
            keys,
            module_key,
            statement,
        } => {
            let (vote_key, address) = seat(files, &name, keys)?;
            let own_module = files.entry(&name).is_ok_and(|entry| entry.own_module);
            let statement = if module_key.is_some() || own_module {
                stated(files, &name, module_key.as_ref(), statement)?
            } else {
                Vec::new()
            };
            let module_key = match module_key {
                Some(hex) => Some(decode_module_key(&hex)?),
                None if own_module => Some(network::module_key(files, &name)?),
                None => None,
            };
            let seat = ObserverSeat {
                name,
                vote_key,
                module_key,
                address,
            };
            Change::AddObserver(seat, statement)
        }
        ChangeCommand::RemoveObserver { name } => Change::RemoveObserver { name },
        ChangeCommand::MoveNode { name, address } => Change::MoveNode { name, address },
        ChangeCommand::RotateKeys { suite } => Change::RotateKeys {
            suite: suite.map(|name| suite_of(&name).number()),
        },
        ChangeCommand::SetAuditors { auditors } => Change::SetAuditors(holders(&auditors)?),
        ChangeCommand::SetRecovery {
            threshold,
            holders: named,
        } => Change::SetRecovery(Recovery {
            threshold,
            holders: holders(&named)?,
        }),
        ChangeCommand::ReplaceModule {
            name,
            module_key,
            statement,
        } => Change::ReplaceModule {
            statement: stated(files, &name, module_key.as_ref(), statement)?,
            module_key: named_module_key(files, &name, module_key)?,
            name,
        },
        ChangeCommand::SetContracts { contracts } => Change::SetContracts(contracts),
        ChangeCommand::SetMeasurements { measurements } => {
            let read = |hex: &String| {
                Digest::from_hex(hex).map_err(|_| usage(format!("`{hex}` is no SHA-256 in hex")))
            };
            Change::SetMeasurements(measurements.iter().map(read).collect::<Result<_>>()?)
        }
        ChangeCommand::SetParameters(_)
        | ChangeCommand::SetRules(_)
        | ChangeCommand::SetPolicies { .. } => {
            return Err(usage("this change starts from what holds on the ledger"));
        }
    })
}

/// The key that was named, or that of the node's folder here.
fn named_module_key(files: &NetworkFiles, name: &str, hex: Option<String>) -> Result<Vec<u8>> {
    match hex {
        Some(hex) => decode_module_key(&hex),
        None => network::module_key(files, name)
            .map_err(|_| usage(format!("name the --module-key of `{name}`"))),
    }
}

/// The statement that was given; made now if the module's key is here; none if only its public key was named.
fn stated(
    files: &NetworkFiles,
    name: &str,
    module_key: Option<&String>,
    statement: Option<String>,
) -> Result<Vec<u8>> {
    match (statement, module_key) {
        (Some(hex), _) => {
            network::decode_hex(&hex).ok_or_else(|| usage("the module's statement is not hex"))
        }
        (None, Some(_)) => Ok(Vec::new()),
        (None, None) => network::module_statement(files, name),
    }
}

fn decode_module_key(hex: &str) -> Result<Vec<u8>> {
    network::decode_hex(hex)
        .filter(|key| !key.is_empty())
        .ok_or_else(|| usage("the module key is not hex"))
}

/// Reads `NAME=FILE`, where the file holds a public key in hex.
pub fn holders(named: &[String]) -> Result<Vec<KeyHolder>> {
    let read = |one: &String| {
        let (name, path) = one
            .split_once('=')
            .ok_or_else(|| usage(format!("`{one}` is not NAME=FILE")))?;
        let text = key_files::read_text(Path::new(path), KEY_BYTES_MAX).map_err(CliError::new)?;
        let key = network::decode_hex(text.trim())
            .filter(|key| !key.is_empty())
            .ok_or_else(|| usage(format!("`{path}` holds no public key in hex")))?;
        Ok(KeyHolder {
            name: name.to_owned(),
            key,
        })
    };
    named.iter().map(read).collect()
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

pub(super) fn parameters(present: &Parameters, arguments: &ParameterArguments) -> Parameters {
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
        key_epochs: arguments.key_epochs.unwrap_or(present.key_epochs),
        key_grace_blocks: arguments.key_grace.unwrap_or(present.key_grace_blocks),
        contracts: present.contracts.clone(),
    }
}

pub(super) fn rules(present: &GovernanceRules, arguments: RuleArguments) -> GovernanceRules {
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

pub(super) fn parameters_json(parameters: &Parameters) -> Value {
    json!({
        "block_interval_ms": parameters.block_interval_ms,
        "idle_interval_ms": parameters.idle_interval_ms,
        "clock_drift_ms": parameters.clock_drift_ms,
        "block_bytes_max": parameters.block_bytes_max,
        "expiry_horizon_ms": parameters.expiry_horizon_ms,
        "epoch_blocks": parameters.epoch_blocks,
        "snapshot_epochs": parameters.snapshot_epochs,
        "key_epochs": parameters.key_epochs,
        "key_grace_blocks": parameters.key_grace_blocks,
        "contracts": contracts_json(&parameters.contracts),
    })
}

pub(super) fn rules_json(rules: &GovernanceRules) -> Value {
    json!({"electors": rules.electors, "approvals": rules.approvals,
        "proposal_life_seconds": rules.proposal_life_ms / 1_000})
}

/// What a change would do, in full: whoever approves must be able to read it.
pub(super) fn change_json(change: &Change, trust: &Trust) -> Value {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    match change {
        Change::AddMember { chain } => trust.holder_json(chain),
        Change::RemoveMember { name } => json!({"name": name.as_str()}),
        Change::AddValidator(seat, statement) => {
            json!({"name": seat.name, "vote_key": seat.vote_key.to_string(),
            "module_key": hex(&seat.module_key), "address": seat.address, "measurement": measured(statement)})
        }
        Change::AddObserver(seat, statement) => {
            let module_key = seat.module_key.as_deref().map(hex);
            json!({"name": seat.name, "vote_key": seat.vote_key.to_string(),
            "module_key": module_key, "address": seat.address, "measurement": measured(statement)})
        }
        Change::RemoveValidator { name } | Change::RemoveObserver { name } => json!({"name": name}),
        Change::MoveNode { name, address } => json!({"name": name, "address": address}),
        Change::SetParameters(parameters) => parameters_json(parameters),
        Change::SetRules(rules) => rules_json(rules),
        Change::RotateKeys { suite } => json!({"suite": suite}),
        Change::SetAuditors(auditors) => json!({"auditors": holders_json(auditors)}),
        Change::SetRecovery(recovery) => {
            json!({"threshold": recovery.threshold, "holders": holders_json(&recovery.holders)})
        }
        Change::ReplaceModule {
            name,
            module_key,
            statement,
        } => {
            json!({"name": name, "module_key": hex(module_key), "measurement": measured(statement)})
        }
        Change::SetContracts(contracts) => json!({"contracts": contracts_json(contracts)}),
        Change::SetPolicies(policies) => policies_json(policies),
        Change::SetMeasurements(measurements) => {
            let all: Vec<String> = measurements.iter().map(ToString::to_string).collect();
            json!({"measurements": all})
        }
    }
}

fn policies_json(policies: &Policies) -> Value {
    let files = policies.files.iter();
    let files: Vec<Value> = files
        .map(|file| json!({"name": file.name, "text": file.text}))
        .collect();
    json!({"schema": policies.schema, "files": files, "replaces": policies.replaces.to_string()})
}

/// What a module states that it runs. Whether the statement is its own, the ledger has judged.
fn measured(statement: &[u8]) -> Option<String> {
    ModuleStatement::decode(statement).map(|one| one.measurement.to_string())
}

fn measured_fact(statement: &[u8]) -> Option<String> {
    measured(statement).map(|measurement| format!("running {measurement}"))
}

pub(super) fn holders_json(holders: &[KeyHolder]) -> Vec<Value> {
    let holders = holders.iter();
    holders
        .map(|one| json!({"name": one.name, "key": holder_digest(&one.key).to_string()}))
        .collect()
}

fn contracts_json(contracts: &[AuthorisedContract]) -> Vec<Value> {
    let contracts = contracts.iter();
    contracts
        .map(|one| json!({"name": one.name, "version": one.version}))
        .collect()
}

fn contracts_words(contracts: &[AuthorisedContract]) -> String {
    let words = contracts.iter();
    let words = words.map(|one| format!("{} {}", one.name, one.version));
    words.collect::<Vec<_>>().join(" and ")
}

fn holder_facts(holders: &[KeyHolder]) -> impl Iterator<Item = String> {
    let holders = holders.iter();
    holders.map(|one| format!("{} with key {}", one.name, holder_digest(&one.key)))
}

/// The change in words, fact by fact.
pub(super) fn facts(change: &Change, trust: &Trust) -> Vec<String> {
    match change {
        Change::AddMember { chain } => trust.holder_facts(chain),
        Change::RemoveMember { name } => vec![name.as_str().to_owned()],
        Change::AddValidator(seat, statement) => {
            let mut facts = vec![format!("{} at {}", seat.name, seat.address)];
            facts.extend(measured_fact(statement));
            facts
        }
        Change::AddObserver(seat, statement) => {
            let mut facts = vec![format!("{} at {}", seat.name, seat.address)];
            let module = |_| "with a module of its own".to_owned();
            facts.extend(seat.module_key.as_ref().map(module));
            facts.extend(measured_fact(statement));
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
            format!("epochs to a new key epoch: {}", one.key_epochs),
            format!("former keys open {} more blocks", one.key_grace_blocks),
            format!("contracts {}", contracts_words(&one.contracts)),
        ],
        Change::SetRules(rules) => vec![
            format!("electors {}", rules.electors.join(" or ")),
            format!("approvals {}", rules.approvals),
            format!(
                "proposal life {:?}",
                std::time::Duration::from_millis(rules.proposal_life_ms)
            ),
        ],
        Change::RotateKeys { suite } => vec![match suite {
            Some(suite) => format!("envelopes in suite {suite} from then on"),
            None => "envelopes in the same suite as now".to_owned(),
        }],
        Change::SetAuditors(auditors) => {
            let mut facts: Vec<String> = holder_facts(auditors).collect();
            if facts.is_empty() {
                facts.push("nobody audits".to_owned());
            }
            facts
        }
        Change::SetRecovery(recovery) => {
            let threshold = format!("{} shares recover the root", recovery.threshold);
            std::iter::once(threshold)
                .chain(holder_facts(&recovery.holders))
                .collect()
        }
        Change::ReplaceModule {
            name,
            module_key,
            statement,
        } => {
            let mut facts = vec![format!("{name} with key {}", holder_digest(module_key))];
            facts.extend(measured_fact(statement));
            facts
        }
        Change::SetContracts(contracts) => vec![contracts_words(contracts)],
        Change::SetPolicies(policies) if policies.is_forgotten() => {
            vec!["rules whose text is not kept".to_owned()]
        }
        Change::SetPolicies(policies) => {
            let names = policies.files.iter().map(|file| file.name.as_str());
            vec![format!("rules in {}", names.collect::<Vec<_>>().join(", "))]
        }
        Change::SetMeasurements(measurements) if measurements.is_empty() => {
            vec!["modules may run any program".to_owned()]
        }
        Change::SetMeasurements(measurements) => {
            measurements.iter().map(ToString::to_string).collect()
        }
    }
}

/// The change in one line.
pub(super) fn words(change: &Change, trust: &Trust) -> String {
    format!("{}: {}", change.kind(), facts(change, trust).join(", "))
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
            key_epochs: None,
            key_grace: None,
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
        let shown = change_json(&Change::AddValidator(seat, Vec::new()), &Trust::default());
        assert_eq!(shown["module_key"], "01ff");
        assert_eq!(shown["address"], "10.0.0.5:4000");
        assert_eq!(shown["vote_key"], VerifyingKey([5; 32]).to_string());
    }

    #[test]
    fn changes_of_keys_are_told_apart_in_words() {
        let trust = Trust::default();
        let told = |change: &Change| words(change, &trust);
        let rotate = |suite| told(&Change::RotateKeys { suite });
        assert_ne!(rotate(None), rotate(Some(2)));
        assert!(rotate(Some(2)).contains("suite 2"));
        let holder = |key| KeyHolder {
            name: "anna".to_owned(),
            key: vec![key],
        };
        let auditors = |key| told(&Change::SetAuditors(vec![holder(key)]));
        // Two keys under one name are two proposals to whoever approves.
        assert_ne!(auditors(1), auditors(2));
        assert_eq!(
            told(&Change::SetAuditors(Vec::new())),
            "set-auditors: nobody audits"
        );
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
            let value = match value.as_array() {
                Some(contracts) => contracts[0]["name"].as_str().unwrap().to_owned(),
                None => value.to_string(),
            };
            assert!(shown.split(' ').any(|word| word == value), "{name}");
        }
    }
}
