//! The plain part of Cedar in which rules are written that members decide on while a network runs.
//!
//! Such texts come from a member, and every module reads them while it executes a block. Cedar's parser, validator and
//! evaluator recurse over what they read and do as much work as it asks for; how much stack or time that takes must not be
//! for a text to choose, and whether a text is taken must not depend on the machine. So what a rule may be made of is a
//! short list, and all of it is counted before Cedar sees any.
//!
//! ```text
//! rule      = @id("...") permit|forbid ( principal scope, action scope, resource ) [when|unless { condition }] ;
//! words     = permit forbid principal action resource owner in when unless Role Action
//! strings   = letters, digits, - and _ , at most 64
//! signs     = @ ( ) { } [ ] , ; :: . == != && || !
//! letters   = printable ASCII and line feeds; comments from // to the end of the line
//! ```

use crate::{FILES_MAX, PolicyError};

/// The words that a rule may have outside strings and comments.
const WORDS: [&str; 12] = [
    "permit",
    "forbid",
    "principal",
    "action",
    "resource",
    "owner",
    "in",
    "when",
    "unless",
    "Role",
    "Action",
    "id",
];
/// Signs of two letters before those of one that they begin with.
const SIGNS: [&str; 16] = [
    "::", "==", "!=", "&&", "||", "@", "(", ")", "{", "}", "[", "]", ",", ";", ".", "!",
];
/// The deepest nesting of brackets.
const NESTING_MAX: usize = 8;
/// The most signs that join or turn conditions in one rule, and clauses of it: what Cedar builds of them is little deeper.
const JOINTS_MAX: usize = 16;
/// The most words, strings and signs in one rule.
const TOKENS_MAX: usize = 512;
/// The most words, strings and signs in all files together.
const TOKENS_IN_ALL_MAX: usize = 4_000;
/// The most rules in all files together.
const RULES_MAX: usize = 64;
/// The longest string.
const STRING_MAX: usize = 64;
/// The longest name of a file.
const NAME_MAX: usize = 64;

/// Checks that rules are plain, before anything else reads them.
///
/// # Errors
/// [`PolicyError::NotPlain`] with the first thing that is not.
pub fn check(files: &[(&str, &str)]) -> Result<(), PolicyError> {
    let refused = |file: &str, line, what: &str| PolicyError::NotPlain {
        file: file.escape_default().to_string(),
        line,
        what: what.to_owned(),
    };
    if files.len() > FILES_MAX {
        return Err(PolicyError::TooManyFiles {
            count: files.len(),
            limit: FILES_MAX,
        });
    }
    let (mut rules, mut tokens) = (0, 0);
    for (name, text) in files {
        if !is_name(name) {
            let what =
                "a file is named with small letters, digits and hyphens, and ends with `.cedar`";
            return Err(refused(name, 1, what));
        }
        let mut reader = Reader::new(text);
        reader
            .read()
            .map_err(|what| refused(name, reader.line, what))?;
        rules += reader.rules;
        tokens += reader.all_tokens;
        if tokens > TOKENS_IN_ALL_MAX {
            let what = "there are more than 4000 words and signs";
            return Err(refused(name, reader.line, what));
        }
        if rules > RULES_MAX {
            return Err(refused(name, reader.line, "there are more than 64 rules"));
        }
    }
    Ok(())
}

/// Whether a file may have this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let stem = name.strip_suffix(".cedar");
    stem.is_some_and(|stem| !stem.is_empty() && name.len() <= NAME_MAX && stem.bytes().all(letter))
}

/// Goes through one text.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
    rules: usize,
    /// Of the rule that is being read.
    depth: usize,
    joints: usize,
    tokens: usize,
    /// The word before the last one, and the last, if nothing came after it.
    words: [&'a str; 2],
    all_tokens: usize,
    /// Whether no condition of the rule has begun.
    in_head: bool,
}

impl<'a> Reader<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            line: 1,
            rules: 0,
            depth: 0,
            joints: 0,
            tokens: 0,
            words: [""; 2],
            all_tokens: 0,
            in_head: true,
        }
    }

    fn read(&mut self) -> Result<(), &'static str> {
        if !self
            .rest
            .bytes()
            .all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte))
        {
            return Err("only printable ASCII and line feeds are read");
        }
        while let Some(first) = self.rest.bytes().next() {
            if first == b'\n' || first == b' ' {
                self.skip(1);
            } else if self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.skip(end);
            } else {
                self.token(first)?;
            }
        }
        if self.tokens > 0 {
            return Err("the last rule does not end with `;`");
        }
        Ok(())
    }

    fn token(&mut self, first: u8) -> Result<(), &'static str> {
        self.tokens += 1;
        self.all_tokens += 1;
        if self.tokens > TOKENS_MAX {
            return Err("a rule has more than 512 words and signs");
        }
        if first == b'"' {
            return self.string();
        }
        if first.is_ascii_alphabetic() {
            let end = self
                .rest
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let end = end.unwrap_or(self.rest.len());
            return self.word(end);
        }
        let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
        let sign = *sign.ok_or("this sign is none of those that rules are made of")?;
        self.skip(sign.len());
        self.sign(sign)?;
        self.words = [""; 2];
        Ok(())
    }

    fn word(&mut self, end: usize) -> Result<(), &'static str> {
        let word = self.rest.get(..end).unwrap_or_default();
        self.skip(end);
        if !WORDS.contains(&word) {
            return Err("this word is none of those that rules are made of");
        }
        // Each clause is one more condition.
        if word == "when" || word == "unless" {
            self.in_head = false;
            self.join()?;
        }
        let [_, last] = self.words;
        self.words = [last, word];
        Ok(())
    }

    const fn join(&mut self) -> Result<(), &'static str> {
        self.joints += 1;
        if self.joints > JOINTS_MAX {
            return Err("a rule joins more than 16 conditions");
        }
        Ok(())
    }

    fn sign(&mut self, sign: &str) -> Result<(), &'static str> {
        // A list stands for actions in the head of a rule, and nowhere else: lists of lists are much work.
        let of_actions = self.in_head && self.depth == 1 && self.words == ["action", "in"];
        if sign == "[" && !of_actions {
            return Err("a list is one of actions, after `action in`");
        }
        match sign {
            "(" | "[" | "{" => self.depth += 1,
            ")" | "]" | "}" => self.depth = self.depth.saturating_sub(1),
            "&&" | "||" | "!" | "==" | "!=" | "." => self.join()?,
            ";" => {
                self.rules += 1;
                (self.depth, self.joints, self.tokens) = (0, 0, 0);
                self.in_head = true;
            }
            _ => {}
        }
        if self.depth > NESTING_MAX {
            return Err("brackets are nested more than 8 deep");
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), &'static str> {
        let inner = self.rest.get(1..).unwrap_or_default();
        let end = inner.find('"').ok_or("a string does not end")?;
        let text = inner.get(..end).unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if end > STRING_MAX || !text.bytes().all(plain) {
            return Err("a string has letters, digits, hyphens and underscores, 64 at most");
        }
        self.skip(end + 2);
        self.words = [""; 2];
        Ok(())
    }

    fn skip(&mut self, count: usize) {
        let (over, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, ""));
        self.line += over.bytes().filter(|byte| *byte == b'\n').count();
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULT_FILES;

    const RULE: &str = "@id(\"a\")\npermit (principal in Role::\"firm\", action, resource);\n";

    fn refused(text: &str) -> String {
        match check(&[("a.cedar", text)]) {
            Err(PolicyError::NotPlain { what, line, .. }) => format!("{line}: {what}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_rules_of_this_version_are_plain() {
        assert_eq!(check(DEFAULT_FILES), Ok(()));
        assert_eq!(
            check(&[("a.cedar", RULE), ("b-2.cedar", "// nothing")]),
            Ok(())
        );
    }

    #[test]
    fn what_could_cost_much_is_not() {
        let with = |condition: &str| {
            format!(
                "{}\nwhen {{ {condition} }};",
                RULE.trim_end().trim_end_matches(';')
            )
        };
        let cases = [
            // Cedar ends a comment at a carriage return.
            format!("//\r{}", "(".repeat(30_000)),
            format!("// \u{85}{}", "(".repeat(9)),
            format!("// caf\u{e9}\n{RULE}"),
            "\t".to_owned(),
            with(&format!("\"{}\" like \"*a*b\"", "a".repeat(40))),
            with("\"aa\" like \"aa\""),
            with("context has x"),
            with("resource.owner.owner has owner"),
            with("1 + 1 == 2"),
            with("if true then true else false"),
            with("principal is Member"),
            with("[].contains(principal)"),
            with("resource[\"owner\"] == principal"),
            with("action in [Action::\"transfer\"]"),
            with("[[[action]]] != [action]"),
            format!(
                "{}{};",
                RULE.trim_end().trim_end_matches(';'),
                " when { action in action }".repeat(17)
            ),
            with("ip(\"1.1.1.1\").isLoopback()"),
            with(&"(".repeat(9)),
            with(&["resource.owner == principal"; 9].join(" && ")),
            with(&"!".repeat(40)),
            format!(
                "@id(\"a\") permit (principal, action in [{}], resource);",
                "Action::\"x\", ".repeat(400)
            ),
            format!(
                "@id(\"{}\") permit (principal, action, resource);",
                "a".repeat(65)
            ),
            "@id(\"a".to_owned(),
            "@id(\"a\nb\")".to_owned(),
            RULE.repeat(65),
            RULE.trim_end().trim_end_matches(';').to_owned(),
        ];
        for text in cases {
            let said = refused(&text);
            assert!(!said.contains("Ok"), "{} {said}", text.len());
        }
        assert_eq!(
            refused(&format!("{RULE}\n# x")),
            "4: this sign is none of those that rules are made of"
        );
    }

    #[test]
    fn names_of_files_are_plain() {
        for name in ["a.cedar", "cash-agent.cedar", "9.cedar"] {
            assert!(is_name(name), "{name}");
        }
        let long = format!("{}.cedar", "a".repeat(59));
        for name in [
            "",
            ".cedar",
            "a",
            "A.cedar",
            "a/b.cedar",
            "..cedar",
            "a\u{1b}.cedar",
            "a.cedar\n",
            &long,
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
