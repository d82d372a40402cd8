//! Texts that must not be taken for a policy set, and what is said about them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what must hold by failing"
)]

use sealbook_policies::{
    DEFAULT_FILES, DEFAULT_SCHEMA, FILE_BYTES_MAX, FILES_MAX, PolicyError, PolicySet, RULES_MAX,
};

fn refusal(files: &[(&str, &str)]) -> PolicyError {
    PolicySet::load(DEFAULT_SCHEMA, files).unwrap_err()
}

fn schema_refusal(schema: &str) -> PolicyError {
    PolicySet::load(schema, DEFAULT_FILES).unwrap_err()
}

fn rule(id: &str, condition: &str) -> String {
    format!(
        "@id(\"{id}\")\npermit (principal in Role::\"firm\", action == Action::\"transfer\", \
         resource)\nwhen {{ {condition} }};\n"
    )
}

#[test]
fn a_text_that_is_not_cedar_is_refused_with_its_line() {
    let error = refusal(&[(
        "a.cedar",
        "// A comment.\n\npermit (principal, action resource);\n",
    )]);
    let PolicyError::Unreadable { file, line, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((file.as_str(), *line), ("a.cedar", Some(3)));
    assert!(
        error
            .to_string()
            .starts_with("cannot read `a.cedar` at line 3: "),
        "{error}"
    );
}

#[test]
fn a_text_cut_short_is_refused() {
    for (name, text) in DEFAULT_FILES {
        let Some(end) = text.rfind(';') else { continue };
        let error = refusal(&[(name, &text[..end])]);
        assert!(
            matches!(error, PolicyError::Unreadable { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_schema_that_is_broken_or_unfit_is_refused() {
    let error = schema_refusal("entity Role enum [\"admin\"\n");
    assert!(
        error
            .to_string()
            .starts_with("cannot read `schema.cedarschema`"),
        "{error}"
    );
    assert!(matches!(schema_refusal(""), PolicyError::Invalid { .. }));
    // A schema that has lost a role, an action, or the owner.
    let lost = DEFAULT_SCHEMA.replace("    \"oracle\",\n", "");
    let error = schema_refusal(&lost);
    let told = error.to_string();
    assert!(
        told.contains("rule `oracle-looks-after-its-own-certificates`"),
        "{told}"
    );
    let lost = DEFAULT_SCHEMA.replace(
        "    \"cash-agent\",\n    \"oracle\",\n    \"node\"\n",
        "    \"cash-agent\",\n    \"oracle\"\n",
    );
    let error = schema_refusal(&lost);
    let told = matches!(&error, PolicyError::SchemaUnfit { detail } if detail.contains("node"));
    assert!(told, "{error}");
    let lost = DEFAULT_SCHEMA.replace("\"split\" ", "\"spilt\" ");
    let error = schema_refusal(&lost);
    assert!(
        error
            .to_string()
            .contains("rule `admin-runs-corporate-actions`"),
        "{error}"
    );
    let lost = DEFAULT_SCHEMA.replace("    owner: Member\n", "");
    assert!(matches!(schema_refusal(&lost), PolicyError::Invalid { .. }));
    let without_rules = PolicySet::load(&lost, &[]).unwrap_err();
    assert!(
        matches!(without_rules, PolicyError::SchemaUnfit { .. }),
        "{without_rules}"
    );
    // An action about something the engine does not ask with.
    let extra = format!(
        "{DEFAULT_SCHEMA}\naction \"whisper\" appliesTo {{ principal: Role, resource: Record }};"
    );
    assert!(matches!(
        schema_refusal(&extra),
        PolicyError::Undecidable { .. }
    ));
    let extra = format!(
        "{DEFAULT_SCHEMA}\naction \"whisper\" appliesTo \
         {{ principal: Member, resource: Record, context: {{ loud: Bool }} }};"
    );
    assert!(matches!(
        schema_refusal(&extra),
        PolicyError::Undecidable { .. }
    ));
}

#[test]
fn slips_of_the_pen_are_refused() {
    let text = rule("r", "resource.owner == principal");
    for (from, to) in [
        ("\"firm\"", "\"frim\""),
        ("\"transfer\"", "\"transfr\""),
        ("resource.owner", "resource.ower"),
        ("resource.owner", "resource"),
        ("== principal", "== \"principal\""),
        ("Role::", "Rolle::"),
        // A rule that can never apply.
        ("resource.owner == principal", "false"),
    ] {
        let changed = text.replace(from, to);
        let error = refusal(&[("a.cedar", &changed)]);
        let named = matches!(
            error,
            PolicyError::Invalid { .. } | PolicyError::NamesOne { .. }
        );
        assert!(
            named && error.to_string().contains("rule `r` of `a.cedar`"),
            "{to}: {error}"
        );
    }
}

#[test]
fn all_findings_are_told_at_once() {
    let text = rule("one", "resource.one == principal") + &rule("two", "resource.two == principal");
    let PolicyError::Invalid { findings } = refusal(&[("a.cedar", &text)]) else {
        panic!()
    };
    assert!(
        findings.len() >= 2 && findings[0].contains("one"),
        "{findings:?}"
    );
    assert!(
        findings.iter().any(|finding| finding.contains("`two`")),
        "{findings:?}"
    );
}

#[test]
fn a_rule_needs_an_id_of_its_own() {
    let one = rule("one", "resource.owner == principal");
    let bare = one.replace("@id(\"one\")", "");
    assert_eq!(
        refusal(&[("a.cedar", &format!("{one}{bare}"))]),
        PolicyError::IdMissing {
            file: "a.cedar".to_owned(),
            position: 2
        }
    );
    for id in ["One", "a b", "a.b", "ä", &"a".repeat(65)] {
        let error = refusal(&[("a.cedar", &rule(id, "resource.owner == principal"))]);
        assert!(
            matches!(error, PolicyError::IdMalformed { .. }),
            "{id}: {error}"
        );
    }
    assert_eq!(
        refusal(&[("a.cedar", &one), ("b.cedar", &one)]).to_string(),
        "rule `one` of `b.cedar` has the same id as a rule of `a.cedar`"
    );
    assert_eq!(
        refusal(&[("a.cedar", ""), ("a.cedar", &one)]),
        PolicyError::FileTwice {
            file: "a.cedar".to_owned()
        }
    );
}

#[test]
fn a_rule_that_asks_for_more_than_a_request_tells_is_refused() {
    for condition in [
        "principal == Member::\"alpha\"",
        "resource == Record::\"r\"",
    ] {
        let error = refusal(&[("a.cedar", &rule("named", condition))]);
        assert!(matches!(error, PolicyError::NamesOne { .. }), "{error}");
    }
    let error = refusal(&[(
        "a.cedar",
        &rule("owner", "resource.owner in Role::\"issuer\""),
    )]);
    assert_eq!(
        error,
        PolicyError::DependsOnOwner {
            role: "firm".to_owned(),
            action: "transfer".to_owned()
        }
    );
    let blank = "@id(\"t\") permit (principal == ?principal, action, resource);";
    assert!(matches!(
        refusal(&[("a.cedar", blank)]),
        PolicyError::Template { .. }
    ));
}

#[test]
fn a_rule_whose_evaluation_fails_is_refused() {
    // Cedar would skip it in silence, a forbidding one too.
    let condition = "9223372036854775807 + (if resource.owner == principal then 1 else 0) > 0";
    let error = refusal(&[("a.cedar", &rule("overflow", condition))]);
    assert!(matches!(error, PolicyError::Undecidable { .. }), "{error}");
}

#[test]
fn limits_hold() {
    let names: Vec<String> = (0..=FILES_MAX)
        .map(|index| format!("{index}.cedar"))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert!(matches!(
        refusal(&files),
        PolicyError::TooManyFiles { count: 65, .. }
    ));
    assert!(PolicySet::load(DEFAULT_SCHEMA, &files[..FILES_MAX]).is_ok());

    let longest = " ".repeat(FILE_BYTES_MAX);
    assert!(PolicySet::load(DEFAULT_SCHEMA, &[("a.cedar", &longest)]).is_ok());
    let too_long = format!("{longest} ");
    assert!(matches!(
        refusal(&[("a.cedar", &too_long)]),
        PolicyError::FileTooLong { .. }
    ));
    let error = PolicySet::load(&too_long, &[]).unwrap_err();
    assert!(matches!(error, PolicyError::FileTooLong { .. }));

    let many: Vec<String> = (0..8)
        .map(|file| {
            let rules = (0..200).map(|index| {
                format!("@id(\"r-{file}-{index}\") permit (principal, action, resource);\n")
            });
            rules.collect()
        })
        .collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .zip(&many)
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert!(matches!(
        refusal(&files),
        PolicyError::TooManyRules {
            limit: RULES_MAX,
            ..
        }
    ));
}

#[test]
fn deep_nesting_is_refused_before_it_reaches_the_parser() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{", "}")] {
        let deep = format!("{}true{}", open.repeat(20_000), close.repeat(20_000));
        let error = refusal(&[("a.cedar", &rule("deep", &deep))]);
        assert!(
            matches!(error, PolicyError::TooInvolved { line: 3, .. }),
            "{error}"
        );
    }
    // What Cedar does not take for a comment any more.
    let after = format!("//\r{}", "(".repeat(20_000));
    let error = refusal(&[("a.cedar", &after)]);
    assert!(matches!(error, PolicyError::TooInvolved { .. }), "{error}");
    let error = PolicySet::load(&"{".repeat(60_000), &[]).unwrap_err();
    assert!(matches!(error, PolicyError::TooInvolved { .. }), "{error}");
}

/// A text of about `bytes` bytes that drives the parser's recursion without any brackets.
fn chains(bytes: usize) -> Vec<String> {
    let times = |text: &str| text.repeat(bytes / text.len());
    [
        format!("{}true", times("true && ")),
        format!("{}true", times("true&&")),
        format!("{}1 > 0", times("1+")),
        format!("{}1 > 0", times("1*")),
        times("if true then true else "),
        format!("{}true", times("if true then true else ")),
        format!("{}true", times("!")),
        format!("{}1 < 2", times("-")),
        format!("resource{}", times(".owner")),
        format!("principal {}", times("in Role::\"firm\"")),
    ]
    .map(|condition| rule("chain", &condition))
    .to_vec()
}

#[test]
fn long_chains_end_in_an_answer_or_an_error() {
    for text in chains(60_000) {
        assert!(text.len() <= FILE_BYTES_MAX, "{}", text.len());
        let error = refusal(&[("a.cedar", &text)]);
        assert!(!matches!(error, PolicyError::FileTooLong { .. }), "{error}");
    }
    // Comments and strings hide nothing from the limit.
    for hidden in [
        "true && // ;\n",
        "\";\" == \";\" && ",
        "\"\\\";\" == \"\" && ",
    ] {
        let text = rule("chain", &format!("{}true", hidden.repeat(4_000)));
        assert!(text.len() <= FILE_BYTES_MAX, "{}", text.len());
        let error = refusal(&[("a.cedar", &text)]);
        assert!(matches!(error, PolicyError::TooInvolved { .. }), "{error}");
    }
}

#[test]
fn the_longest_chains_need_little_stack() {
    let child = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(|| {
            for text in chains(3_900) {
                // Either is fine; a stack overflow would end the test process.
                let _ = PolicySet::load(DEFAULT_SCHEMA, &[("a.cedar", &text)]);
            }
            for (open, close) in [("(", ")"), ("[", "]")] {
                let nested = format!("{}true{}", open.repeat(30), close.repeat(30));
                let _ = PolicySet::load(DEFAULT_SCHEMA, &[("a.cedar", &rule("nested", &nested))]);
            }
        });
    child.unwrap().join().unwrap();
}
