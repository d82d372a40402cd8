//! Every decision of the rules that come with this version, against a table written by hand.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what must hold by failing"
)]

use std::collections::BTreeSet;

use sealbook_policies::cases::{Cases, CasesError, Difference};
use sealbook_policies::{
    DEFAULT_FILES, DEFAULT_SCHEMA, PolicySet, ROLES, Relation, Request, action,
};

/// Who may do what: the agreement, written down apart from the rules.
const EXPECTED: &str = include_str!("../../cases.txt");

const RELATIONS: [Relation; 2] = [Relation::Own, Relation::Other];

fn request<'a>(role: &'a str, action: &'a str, relation: Relation) -> Request<'a> {
    Request {
        member: "alpha",
        role,
        action,
        relation,
    }
}

/// The table.
fn expected() -> Cases {
    Cases::read(EXPECTED).unwrap()
}

/// Every decision of a set, in a fixed order.
fn decisions(set: &PolicySet) -> Vec<(bool, Vec<String>)> {
    let mut all = Vec::new();
    for role in ROLES {
        for action in action::ALL {
            for relation in RELATIONS {
                let decision = set.decide(&request(role, action, relation));
                all.push((decision.allowed, decision.reasons.clone()));
            }
        }
    }
    all
}

/// The default files without one rule, cut out of the text.
fn without(id: &str) -> Vec<(&'static str, String)> {
    let annotation = format!("@id(\"{id}\")");
    let mut cut = 0;
    let files = DEFAULT_FILES
        .iter()
        .map(|(name, text)| match text.find(&annotation) {
            None => (*name, (*text).to_owned()),
            Some(start) => {
                let end = start + text[start..].find(";\n").unwrap() + 2;
                cut += 1;
                (*name, format!("{}{}", &text[..start], &text[end..]))
            }
        })
        .collect();
    assert_eq!(cut, 1, "{id} stands in exactly one file");
    files
}

fn load(files: &[(&'static str, String)]) -> PolicySet {
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    PolicySet::load(DEFAULT_SCHEMA, &files).unwrap()
}

#[test]
fn every_decision_is_as_agreed() {
    let set = PolicySet::load_default().unwrap();
    let expected = expected();
    assert_eq!(
        expected.each().count(),
        ROLES.len() * action::ALL.len() * RELATIONS.len()
    );
    assert_eq!(expected.differences(&set), []);
    let mut wrong = Vec::new();
    for (role, action, relation, allowed) in expected.each() {
        let decision = set.decide(&request(role, action, relation));
        if decision.allowed != allowed {
            wrong.push(format!("{role} {action} {relation:?}: {decision:?}"));
        }
        // Whatever is allowed names the one rule of that role that allows it.
        let reasons = usize::from(decision.allowed);
        let of_role = decision
            .reasons
            .iter()
            .all(|id| id.starts_with(&format!("{role}-")));
        if decision.reasons.len() != reasons || !of_role {
            wrong.push(format!(
                "{role} {action} {relation:?} for other reasons: {decision:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_table_that_is_not_what_the_rules_say_shows_each_case() {
    let set = PolicySet::load_default().unwrap();
    assert_eq!(Cases::of(&set), expected());
    assert_eq!(Cases::read(&expected().to_text()).unwrap(), expected());
    // Every cell counts.
    let text = expected().to_text();
    let mut cells = 0;
    for (number, line) in text.lines().enumerate().skip(1) {
        for (place, _) in line.match_indices(" all").chain(line.match_indices(" -")) {
            let before = &line[place..];
            let (old, new) = if before.starts_with(" all") {
                (" all", " own")
            } else {
                (" -", " own")
            };
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines[number] = format!("{}{new}{}", &line[..place], &before[old.len()..]);
            let changed = Cases::read(&lines.join("\n")).unwrap();
            let differences = changed.differences(&set);
            assert_eq!(differences.len(), 1, "{}", lines[number]);
            assert!(
                matches!(&differences[0], Difference::Decision { action, .. }
                if line.starts_with(action.as_str()))
            );
            cells += 1;
        }
    }
    assert!(cells > 100, "{cells}");
    // So does every line.
    let shorter = text.replacen("open-day ", "open-days ", 1);
    let found = Cases::read(&shorter).unwrap().differences(&set);
    let name = |action: &str| action.to_owned();
    assert_eq!(
        found,
        [
            Difference::Missing {
                action: name("open-day")
            },
            Difference::Unknown {
                action: name("open-days")
            }
        ]
    );
}

#[test]
fn what_is_no_table_is_refused() {
    let header = format!("{}\n", ROLES.join(" "));
    let line = "open-day all - - - - - -\n";
    let read = |text: &str| Cases::read(text).err();
    assert_eq!(read(&format!("# x\n\n {header}{line}")), None);
    for text in [
        "",
        line,
        "admin firm",
        &header.replace("node", "admin"),
        &header.replace("node", "king"),
        &format!("{} node", header.trim()),
    ] {
        assert_eq!(read(text), Some(CasesError::Roles), "{text}");
    }
    for (wrong, number) in [
        ("open-day all\n", 2),
        ("open-day all - - - - - - -\n", 2),
        ("\nopen-day all - - - - - x\n", 3),
        ("open-day ALL - - - - - -\n", 2),
    ] {
        let text = format!("{header}{wrong}");
        let expected = Some(CasesError::Cells { line: number });
        assert_eq!(read(&text), expected, "{text}");
    }
    assert_eq!(
        read(&format!("{header}{line}{line}")),
        Some(CasesError::Twice {
            line: 3,
            action: "open-day".to_owned()
        })
    );
    let many: String = (0..300).map(|n| format!("a{n} - - - - - - -\n")).collect();
    assert_eq!(read(&format!("{header}{many}")), Some(CasesError::TooMany));
    let long = "#".repeat(65 * 1024);
    assert_eq!(read(&long), Some(CasesError::TooLong(65 * 1024)));
}

#[test]
fn a_decision_names_its_rule() {
    let set = PolicySet::load_default().unwrap();
    let own = set.decide(&request("issuer", action::READ_SHAREHOLDERS, Relation::Own));
    assert_eq!(own.reasons, ["issuer-reads-its-own-shareholders"]);
    let other = set.decide(&request(
        "issuer",
        action::READ_SHAREHOLDERS,
        Relation::Other,
    ));
    assert!(!other.allowed && other.reasons.is_empty());
}

#[test]
fn the_names_in_the_code_are_the_names_in_the_schema() {
    let set = PolicySet::load_default().unwrap();
    let known: BTreeSet<&str> = set.actions().collect();
    assert_eq!(known, action::ALL.into_iter().collect());
}

#[test]
fn what_is_unknown_is_denied() {
    let set = PolicySet::load_default().unwrap();
    for relation in RELATIONS {
        for (role, action) in [
            ("admin", "erase-everything"),
            ("admin", ""),
            ("admin", "Read-Audit"),
            ("admin", "Action::\"read-audit\""),
            ("superuser", "read-audit"),
            ("", "read-audit"),
            ("Role::\"admin\"", "read-audit"),
        ] {
            let decision = set.decide(&request(role, action, relation));
            assert!(
                !decision.allowed && decision.reasons.is_empty(),
                "{role} {action}"
            );
        }
    }
}

#[test]
fn the_name_of_the_member_changes_nothing() {
    let set = PolicySet::load_default().unwrap();
    for (role, action, relation, allowed) in expected().each() {
        for member in ["", "caller", "another", "admin", "beta", "Member::\"x\""] {
            let decision = set.decide(&Request {
                member,
                role,
                action,
                relation,
            });
            assert_eq!(decision.allowed, allowed);
        }
    }
}

#[test]
fn no_rule_is_idle() {
    let whole = PolicySet::load_default().unwrap();
    let before = decisions(&whole);
    let ids: Vec<String> = whole.rules().iter().map(|rule| rule.id.clone()).collect();
    assert!(ids.len() >= 10);
    for id in ids {
        let rest = load(&without(&id));
        assert_eq!(rest.rules().len(), whole.rules().len() - 1);
        let after = decisions(&rest);
        let lost = before
            .iter()
            .zip(&after)
            .filter(|(was, is)| was.0 && !is.0)
            .count();
        assert!(lost > 0, "deleting {id} changes no decision");
        // Deleting a permission gives nobody anything.
        assert!(before.iter().zip(&after).all(|(was, is)| was.0 || !is.0));
    }
}

#[test]
fn the_order_of_files_changes_nothing() {
    let forward = PolicySet::load_default().unwrap();
    let reversed: Vec<(&str, &str)> = DEFAULT_FILES.iter().rev().copied().collect();
    let backward = PolicySet::load(DEFAULT_SCHEMA, &reversed).unwrap();
    assert_eq!(decisions(&forward), decisions(&backward));
    let again = PolicySet::load_default().unwrap();
    assert_eq!(decisions(&forward), decisions(&again));
}

#[test]
fn a_forbidding_rule_wins_and_is_the_reason() {
    let mut files = DEFAULT_FILES.to_vec();
    files.push((
        "freeze.cedar",
        "@id(\"b-freeze\") forbid (principal, action == Action::\"transfer\", resource);
         @id(\"a-freeze\") forbid (principal, action == Action::\"transfer\", resource);",
    ));
    let set = PolicySet::load(DEFAULT_SCHEMA, &files).unwrap();
    let decision = set.decide(&request("firm", action::TRANSFER, Relation::Own));
    assert!(!decision.allowed);
    assert_eq!(decision.reasons, ["a-freeze", "b-freeze"]);
}

#[test]
fn every_rule_has_a_sentence_above_it_and_stands_in_the_file_of_its_role() {
    for (name, text) in DEFAULT_FILES {
        let role = name.strip_suffix(".cedar").unwrap();
        assert!(
            text.starts_with("// "),
            "{name} begins with what it is about"
        );
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            if line.starts_with("@id") {
                assert!(lines[index - 1].starts_with("// "), "{name}:{}", index + 1);
                assert!(
                    line.starts_with(&format!("@id(\"{role}-")),
                    "{name}:{}",
                    index + 1
                );
                let scope = format!("    principal in Role::\"{role}\",");
                assert_eq!(lines[index + 2], scope, "{name}:{}", index + 3);
            }
        }
    }
    let files: BTreeSet<&str> = DEFAULT_FILES
        .iter()
        .filter_map(|(name, _)| name.strip_suffix(".cedar"))
        .collect();
    assert_eq!(files, ROLES.into_iter().collect(), "one file a role");
}
