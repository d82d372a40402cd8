//! `sealbook scenario run`: lines of actions against a network, one result per line.

use std::io::{BufRead as _, Write};
use std::path::Path;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::action::Action;
use crate::arguments::Wait;
use crate::error::{CliError, Exit, Result, doing};
use crate::network::{Creation, NetworkFiles, Running, create};
use crate::progress::Progress;
use crate::session::{Done, Session};

const LINE_BYTES_MAX: usize = 64 * 1024;
const LINES_MAX: usize = 1_000_000;

/// Where a scenario runs.
pub enum Where<'a> {
    /// A network that runs already.
    Network(&'a Path),
    /// A network of its own with so many validators, removed afterwards.
    Fresh(usize),
}

/// Runs the scenario in `file` and writes one JSON object per line to `out`.
///
/// # Errors
/// The file or the network cannot be used, or an outcome was not the expected one.
pub fn run(file: &Path, place: &Where<'_>, out: &mut impl Write) -> Result<()> {
    let lines = read_lines(file)?;
    match place {
        Where::Network(folder) => run_lines(&NetworkFiles::open(folder)?, &lines, out),
        Where::Fresh(validators) => {
            let folder = tempfile::Builder::new()
                .prefix("sealbook-scenario-")
                .tempdir()
                .map_err(doing("temporary folder"))?;
            let creation = Creation::of(*validators, 0);
            let progress = Progress::spinner("making a network");
            let files = create(&folder.path().join("network"), &creation)?;
            let mut running = Running::start(&files)?;
            progress.finish();
            let result = run_lines(&files, &lines, out);
            running.stop();
            result
        }
    }
}

fn read_lines(file: &Path) -> Result<Vec<(u64, Vec<u8>)>> {
    let opened = std::fs::File::open(file).map_err(|error| {
        CliError::new(format!("cannot read `{}`: {error}", file.display()))
            .hint("give a file with one JSON object per line; examples/ has some")
    })?;
    let mut lines = Vec::new();
    for (index, line) in std::io::BufReader::new(opened).split(b'\n').enumerate() {
        let line = line.map_err(doing(file.display()))?;
        if index >= LINES_MAX {
            return Err(CliError::new(format!("more than {LINES_MAX} lines")));
        }
        // An empty line is a line too: it is answered as what it is, no action.
        lines.push((index as u64 + 1, line.trim_ascii().to_owned()));
    }
    Ok(lines)
}

fn run_lines(files: &NetworkFiles, lines: &[(u64, Vec<u8>)], out: &mut impl Write) -> Result<()> {
    let mut session = Session::open(files)?;
    let progress = Progress::bar("scenario", lines.len() as u64);
    let mut unexpected = Vec::new();
    for (number, text) in lines {
        let (done, expected) = run_line(&mut session, text)?;
        session.remember_line(*number, done.height.max(session.height()));
        writeln!(out, "{}", done.to_json(Some(*number))).map_err(doing("standard output"))?;
        out.flush().map_err(doing("standard output"))?;
        if let Some(explanation) = &done.explanation {
            progress.say(&format!("line {number}: {explanation}"));
        }
        if let Some(expected) = expected
            && expected != done.outcome
        {
            progress.say(&format!(
                "line {number}: expected {expected}, was {}",
                done.outcome
            ));
            unexpected.push(number.to_string());
        }
        progress.advance();
    }
    progress.finish();
    if unexpected.is_empty() {
        return Ok(());
    }
    Err(CliError::with_exit(
        Exit::Unexpected,
        format!("not the expected outcome in line {}", unexpected.join(", ")),
    ))
}

fn run_line(session: &mut Session, text: &[u8]) -> Result<(Done, Option<String>)> {
    if text.len() > LINE_BYTES_MAX {
        return Ok((
            Done::malformed(format!("longer than {LINE_BYTES_MAX} bytes")),
            None,
        ));
    }
    let mut object = match serde_json::from_slice::<Line>(text) {
        Ok(Line(object)) => object,
        Err(error) => return Ok((Done::malformed(format!("not a line: {error}")), None)),
    };
    let mut word = |field: &str| match object.remove(field) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{field}` is not a string")),
        None => Ok(None),
    };
    let (expected, member, verb) = match (word("expect"), word("as"), word("do")) {
        (Ok(expected), Ok(Some(member)), Ok(Some(verb))) => (expected, member, verb),
        (Ok(expected), Ok(_), Ok(_)) => {
            return Ok((
                Done::malformed("`as` or `do` is missing".to_owned()),
                expected,
            ));
        }
        (expected, member, verb) => {
            let expected = expected.map_or_else(Err, Ok);
            let why = [member.err(), verb.err(), expected.clone().err()]
                .into_iter()
                .flatten()
                .next();
            return Ok((
                Done::malformed(why.unwrap_or_default()),
                expected.ok().flatten(),
            ));
        }
    };
    let done = match Action::parse(&verb, Value::Object(object)) {
        Ok(action) => session.perform(&member, action, Wait::Final)?,
        Err(malformed) => Done::malformed(malformed.0),
    };
    Ok((done, expected))
}

/// A JSON object in which no field stands twice: which of the two was meant nobody can know.
struct Line(Map<String, Value>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Line;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Line, A::Error> {
                let mut object = Map::new();
                while let Some((field, value)) = fields.next_entry::<String, Value>()? {
                    if object.contains_key(&field) {
                        return Err(A::Error::custom(format!("`{field}` stands twice")));
                    }
                    object.insert(field, value);
                }
                Ok(Line(object))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_stands_twice_is_no_line() {
        let read = |text: &str| serde_json::from_str::<Line>(text).map_err(|e| e.to_string());
        assert!(read(r#"{"as":"a","do":"b"}"#).is_ok());
        let error = read(r#"{"as":"a","do":"b","as":"c"}"#)
            .err()
            .unwrap_or_default();
        assert!(error.contains("`as` stands twice"), "{error}");
        for text in ["[]", "1", "null", "{", "{} {}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
