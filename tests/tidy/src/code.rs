//! Just enough of Rust's grammar to look for things in code and not in comments or strings.

/// The text with the insides of comments, strings and characters blanked; lines stay lines.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skipped(bytes, at);
        if let Some(end) = end {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            at = end;
        } else if is_word(bytes[at]) {
            // A whole word at once, so that the `r` of `for"` does not begin a raw string.
            while at < bytes.len() && is_word(bytes[at]) {
                at += 1;
            }
        } else {
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

/// Where the comment, string or character that begins at `at` ends, if one does.
fn skipped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(
            at + rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len()),
        );
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment(rest));
    }
    for prefix in [&b"br"[..], b"cr", b"r"] {
        if let Some(end) = rest.strip_prefix(prefix).and_then(raw_string) {
            return Some(at + prefix.len() + end);
        }
    }
    for prefix in [&b"b\""[..], b"c\"", b"\""] {
        if rest.starts_with(prefix) {
            return Some(at + prefix.len() + until_quote(&rest[prefix.len()..], b'"'));
        }
    }
    for prefix in [&b"b'"[..], b"'"] {
        if let Some(inside) = rest.strip_prefix(prefix) {
            let character = inside.first() == Some(&b'\\') || {
                // `'a'` is a character and `'a` a lifetime.
                let width = std::str::from_utf8(inside)
                    .ok()
                    .and_then(|text| text.chars().next())
                    .map_or(1, char::len_utf8);
                inside.get(width) == Some(&b'\'')
            };
            return character.then(|| at + prefix.len() + until_quote(inside, b'\''));
        }
    }
    None
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of `##"..."##` after an `r`.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let inside = &rest[hashes + 1..];
    let end = inside
        .windows(close.len())
        .position(|window| window == close);
    Some(end.map_or(rest.len(), |end| hashes + 1 + end + close.len()))
}

fn until_quote(inside: &[u8], quote: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in inside.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if *byte == b'\\' {
            escaped = true;
        } else if *byte == quote {
            return at + 1;
        }
    }
    inside.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The lines, counted from 1, of blanked code in which a whole word stands.
pub(crate) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let has = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = at.checked_sub(1).map(|at| line.as_bytes()[at]);
            let after = line.as_bytes().get(at + word.len());
            // A word that ends in punctuation, such as a macro's name, ends there.
            let last_is_word = word.bytes().last().is_some_and(is_word);
            let goes_on = last_is_word && after.copied().is_some_and(is_word);
            !(before.is_some_and(is_word) || goes_on)
        })
    };
    let lines = code.lines().enumerate();
    lines
        .filter(|(_, line)| has(line))
        .map(|(index, _)| index + 1)
        .collect()
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its `fn`, counted from 1.
    pub(crate) line: usize,
    /// From there to its closing brace.
    pub(crate) lines: usize,
}

/// Every function in blanked code.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let line_of = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        if start > 0 && is_word(bytes[start - 1]) {
            continue;
        }
        let name: String = code[start + 3..]
            .chars()
            .take_while(|one| one.is_alphanumeric() || *one == '_')
            .collect();
        if name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(bytes, start) {
            let line = line_of(start);
            found.push(Function {
                name,
                line,
                lines: line_of(end) - line + 1,
            });
        }
    }
    found
}

/// Where the body of the function that begins at `start` ends, if it has one.
fn body_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut brackets = 0_i32;
    let mut braces = 0_i32;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn comments_strings_and_characters_are_blanked() {
    let text = "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i \" j\"# 'k' '\\'' &'l m b\"n\" '}' '\u{e4}' o";
    let blanked = blank(text);
    assert_eq!(blanked.len(), text.len());
    let words: Vec<&str> = blanked.split_whitespace().collect();
    assert_eq!(words, ["a", "f", "&'l", "m", "o"]);
    assert_eq!(blank("for\"x\" y"), "for    y");
}

#[test]
fn words_are_whole() {
    let code = "HashMap\nMyHashMap HashMaps\nuse std::HashMap;\ntodo!()";
    assert_eq!(lines_with_word(code, "HashMap"), [1, 3]);
    assert_eq!(lines_with_word(code, "todo!"), [4]);
}

#[test]
fn functions_are_measured() {
    let code = "trait T { fn none(x: [u8; 3]); }\nfn one(f: fn(u8) -> [u8; 2])\nwhere\n{\n  if x {\n  }\n}\nfn two() {}";
    let found: Vec<(String, usize, usize)> = functions(code)
        .into_iter()
        .map(|function| (function.name, function.line, function.lines))
        .collect();
    assert_eq!(found, [("one".to_owned(), 2, 6), ("two".to_owned(), 8, 1)]);
}
