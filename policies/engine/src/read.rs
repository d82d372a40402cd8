//! From texts to validated Cedar policies.

use std::collections::BTreeMap;
use std::fmt::Display;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use crate::{FILE_BYTES_MAX, FILES_MAX, PolicyError, RULES_MAX, Rule};

/// The deepest nesting of brackets, and the longest statement. Cedar's parser and validator recurse
/// over what they read, and how much stack that takes must not be for a text to choose.
const NESTING_MAX: usize = 32;
/// The longest rule, or entity or action of a schema, in bytes. Comments,
/// strings and blanks are not counted.
const STATEMENT_BYTES_MAX: usize = 4096;
/// The name that errors give to the schema.
const SCHEMA_NAME: &str = "schema.cedarschema";
/// The longest id of a rule.
const ID_BYTES_MAX: usize = 64;

/// What was read: the rules to show, and the policies to evaluate.
pub(crate) struct Read {
    pub(crate) rules: Vec<Rule>,
    pub(crate) policies: PolicySet,
}

/// Reads the schema.
pub(crate) fn schema(text: &str) -> Result<Schema, PolicyError> {
    check_text(SCHEMA_NAME, text)?;
    match Schema::from_cedarschema_str(text) {
        Ok((schema, warnings)) => {
            // A warning is about a name that hides another one: a lawyer would read one thing,
            // Cedar the other.
            let warnings: Vec<String> = warnings.map(|warning| warning.to_string()).collect();
            if warnings.is_empty() {
                Ok(schema)
            } else {
                Err(PolicyError::SchemaUnfit {
                    detail: warnings.join("; "),
                })
            }
        }
        Err(error) => Err(unreadable(SCHEMA_NAME, text, DetailedError::from(&error))),
    }
}

/// Reads all files and validates them together.
pub(crate) fn rules(schema: &Schema, files: &[(&str, &str)]) -> Result<Read, PolicyError> {
    if files.len() > FILES_MAX {
        return Err(PolicyError::TooManyFiles {
            count: files.len(),
            limit: FILES_MAX,
        });
    }
    let mut rules = Vec::new();
    let mut policies = PolicySet::new();
    // The file of each rule, by the rule's id.
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    for (position, (file, text)) in files.iter().enumerate() {
        if files
            .iter()
            .take(position)
            .any(|(earlier, _)| earlier == file)
        {
            return Err(PolicyError::FileTwice {
                file: (*file).to_owned(),
            });
        }
        for (id, policy) in read_file(file, text)? {
            if rules.len() == RULES_MAX {
                return Err(PolicyError::TooManyRules {
                    file: (*file).to_owned(),
                    limit: RULES_MAX,
                });
            }
            if let Some(first) = homes.insert(id.clone(), (*file).to_owned()) {
                return Err(PolicyError::IdTwice {
                    file: (*file).to_owned(),
                    id,
                    first,
                });
            }
            let written = policy.to_string();
            policies
                .add(policy.new_id(PolicyId::new(&id)))
                .map_err(|error| unreadable(file, text, DetailedError::from(&error)))?;
            rules.push(Rule {
                id,
                file: (*file).to_owned(),
                text: written,
            });
        }
    }
    validate(schema, &policies, &homes)?;
    Ok(Read { rules, policies })
}

/// Reads one file: its policies with their ids, in the order written.
fn read_file(file: &str, text: &str) -> Result<Vec<(String, Policy)>, PolicyError> {
    check_text(file, text)?;
    let set: PolicySet = text
        .parse()
        .map_err(|error| unreadable(file, text, DetailedError::from(&error)))?;
    if set.templates().next().is_some() {
        return Err(PolicyError::Template {
            file: file.to_owned(),
        });
    }
    let mut found = Vec::new();
    for (index, policy) in set.policies().enumerate() {
        let id = match policy.annotation("id") {
            None | Some("") => {
                return Err(PolicyError::IdMissing {
                    file: file.to_owned(),
                    position: index + 1,
                });
            }
            Some(id) => id.to_owned(),
        };
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.len() > ID_BYTES_MAX || !id.bytes().all(allowed) {
            return Err(PolicyError::IdMalformed {
                file: file.to_owned(),
                id,
            });
        }
        for entity in policy.entity_literals() {
            if !matches!(entity.type_name().to_string().as_str(), "Role" | "Action") {
                return Err(PolicyError::NamesOne {
                    file: file.to_owned(),
                    id,
                    entity: entity.to_string(),
                });
            }
        }
        found.push((id, policy.clone()));
    }
    Ok(found)
}

/// Validates strictly. Warnings count as findings: such a rule is one that can never apply, or one
/// whose text shows a reader something else than it says.
fn validate(
    schema: &Schema,
    policies: &PolicySet,
    homes: &BTreeMap<String, String>,
) -> Result<(), PolicyError> {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    let finding = |id: &PolicyId, what: &dyn Display| {
        let id: &str = id.as_ref();
        let file = homes.get(id).map_or("?", String::as_str);
        format!("rule `{id}` of `{file}`: {what}")
    };
    let errors = result
        .validation_errors()
        .map(|error| finding(error.policy_id(), error));
    let warnings = result
        .validation_warnings()
        .map(|warning| finding(warning.policy_id(), warning));
    let mut findings: Vec<String> = errors.chain(warnings).collect();
    if findings.is_empty() {
        return Ok(());
    }
    findings.sort();
    findings.dedup();
    Err(PolicyError::Invalid { findings })
}

/// Checks what must hold before a parser sees a text.
fn check_text(file: &str, text: &str) -> Result<(), PolicyError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(PolicyError::FileTooLong {
            file: file.to_owned(),
            bytes: text.len(),
            limit: FILE_BYTES_MAX,
        });
    }
    let (mut depth, mut length) = (0_usize, 0_usize);
    for (index, byte) in significant(text) {
        length += 1;
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => length = 0,
            _ => {}
        }
        if depth > NESTING_MAX || length > STATEMENT_BYTES_MAX {
            return Err(PolicyError::TooInvolved {
                file: file.to_owned(),
                line: line_of(text, index),
                nesting: NESTING_MAX,
                bytes: STATEMENT_BYTES_MAX,
            });
        }
    }
    Ok(())
}

/// The bytes of a text outside comments, strings and blanks, each with its position.
fn significant(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut in_comment, mut in_string, mut escaped) = (false, false, false);
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter_map(move |(index, &byte)| {
        if in_comment {
            // Cedar ends a comment at either.
            in_comment = byte != b'\n' && byte != b'\r';
        } else if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            in_string = true;
        } else if byte == b'/' && bytes.get(index + 1) == Some(&b'/') {
            in_comment = true;
        } else if !byte.is_ascii_whitespace() {
            return Some((index, byte));
        }
        None
    })
}

fn unreadable(file: &str, text: &str, error: DetailedError) -> PolicyError {
    let start = error.source_locations.first().map(|label| label.loc.start);
    let detail = match error.help {
        None => error.message,
        Some(help) => format!("{} ({help})", error.message),
    };
    PolicyError::Unreadable {
        file: file.to_owned(),
        line: start.map(|start| line_of(text, start)),
        detail,
    }
}

/// The line of a byte, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}
