//! What plain rules can cost at the most: stack, by texts that go as far as each limit lets them.
#![allow(clippy::unwrap_used, reason = "a test says what must hold by failing")]

use sealbook_policies::{DEFAULT_SCHEMA, PolicyError, PolicySet, action, plain};

/// The stack that is enough. Whoever reads such texts has more: 16 MiB in modules.
const STACK: usize = 512 * 1024;

/// A rule of which the head is plain, and the conditions are these.
fn rule(number: usize, conditions: &str) -> String {
    format!("@id(\"r-{number}\")\npermit (principal, action, resource)\n{conditions};\n")
}

fn when(condition: &str) -> String {
    format!("when {{ {condition} }}")
}

/// As many rules of one kind as fit in a file and under the limits.
fn filled(conditions: &str) -> String {
    let mut text = String::new();
    for number in 0.. {
        let longer = format!("{text}{}", rule(number, conditions));
        if plain::check(&[("a.cedar", &longer)]).is_err() || longer.len() > 28 * 1024 {
            break;
        }
        text = longer;
    }
    text
}

fn texts() -> Vec<String> {
    let nested = |inner: &str| format!("{}{inner}{}", "(".repeat(7), ")".repeat(7));
    let all: Vec<String> = action::ALL
        .iter()
        .map(|action| format!("Action::\"{action}\""))
        .collect();
    let head = format!(
        "@id(\"a\") permit (principal, action in [{}], resource);",
        all.join(", ")
    );
    let or = |count| vec!["principal == principal"; count].join(" || ");
    let mixed = ["(!(action == action) && principal in Role::\"firm\")"; 4].join(" || ");
    let turned = format!("{}(principal == principal)", "!".repeat(6));
    let conditions = [
        when(&or(8)),
        when(&or(8)).replace("||", "&&"),
        when(&nested(&or(8))),
        when(&mixed),
        when(&nested("principal == resource.owner")),
        when(&[turned.as_str(); 2].join(" && ")),
        vec![when("principal == principal"); 8].join(" "),
        "when { principal == resource.owner } unless { principal != resource.owner }".to_owned(),
        when("action in Action::\"transfer\""),
        when("principal"),
        when("principal == action"),
        when("resource.owner.owner == principal"),
        when("permit"),
        when(""),
        when("Role::\"firm\" == Role::\"firm\""),
    ];
    let mut texts: Vec<String> = conditions.iter().map(|one| filled(one)).collect();
    texts.push(head);
    texts
}

/// Whether each is taken, read with so much stack.
fn taken(stack: usize) -> Vec<bool> {
    let read = || {
        let read = |text: &String| {
            let read = PolicySet::load_plain(DEFAULT_SCHEMA, &[("a.cedar", text)]);
            assert!(
                !matches!(read, Err(PolicyError::NotPlain { .. })),
                "{read:?}"
            );
            read.is_ok()
        };
        texts().iter().map(read).collect()
    };
    let thread = std::thread::Builder::new().stack_size(stack).spawn(read);
    thread.unwrap().join().unwrap()
}

#[test]
fn no_plain_text_needs_much_stack() {
    for text in texts() {
        let full = text.contains("r-7\"") || text.contains("action in [");
        assert!(full, "not plain, or not as much as may be: {text}");
    }
    let little = taken(STACK);
    assert_eq!(little, taken(32 * STACK));
    assert!(little.contains(&true) && little.contains(&false));
}
