//! Running scenario files and comparing every line with the model.

use std::fs;

use serde_json::{Value, json};

use crate::model::Model;
use crate::network::TestNetwork;
use crate::programs::Ran;

/// What a scenario answered.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The run.
    pub ran: Ran,
    /// One object per line that ran.
    pub lines: Vec<Value>,
}

impl Answers {
    /// Reads the output of `scenario run`.
    ///
    /// # Panics
    /// A line of it is not JSON.
    #[must_use]
    pub fn of(ran: Ran) -> Self {
        let lines = ran
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        Self { ran, lines }
    }

    /// The answer to a line, by its number in the file.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn line(&self, number: u64) -> &Value {
        let found = self.lines.iter().find(|line| line["line"] == number);
        found.unwrap_or_else(|| panic!("no answer to line {number}: {}", self.ran.err))
    }

    /// The answer to the last line.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn last(&self) -> &Value {
        self.lines
            .last()
            .unwrap_or_else(|| panic!("no answers: {}", self.ran.err))
    }

    /// The very bytes of the answer to a line, without its number.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn bytes(&self, number: u64) -> &str {
        let prefix = format!("{{\"line\":{number},");
        let found = self
            .ran
            .out
            .lines()
            .find_map(|line| line.strip_prefix(&prefix));
        found.unwrap_or_else(|| panic!("no answer to line {number}: {}", self.ran.err))
    }
}

/// Runs lines on a network that runs already.
///
/// # Panics
/// The file cannot be written.
#[must_use]
pub fn run(network: &TestNetwork, lines: &[u8]) -> Answers {
    let folder = tempfile::tempdir_in(network.scratch()).unwrap();
    let file = folder.path().join("scenario.jsonl");
    fs::write(&file, lines).unwrap();
    Answers::of(network.sealbook(&["scenario", "run", file.to_str().unwrap()]))
}

/// Runs lines and compares the answer to each with the model's; the exit code must be what the lines expect.
///
/// # Panics
/// An answer differs.
pub fn run_compared(network: &TestNetwork, model: &mut Model, lines: &str) -> Answers {
    let answers = run(network, lines.as_bytes());
    compare(&answers, model, lines);
    answers
}

/// Compares answers with the model's.
///
/// # Panics
/// One differs.
pub fn compare(answers: &Answers, model: &mut Model, lines: &str) {
    model.begin_scenario();
    let mut given = answers.lines.iter();
    let mut height = 0;
    // The newline after the last line begins no other one.
    let lines = lines.strip_suffix('\n').unwrap_or(lines);
    for (index, text) in lines.split('\n').enumerate() {
        let number = index as u64 + 1;
        let expected = model.line(number, text);
        let Some(answer) = given.next() else {
            panic!("no answer to line {number}: {text}\n{}", answers.ran.err);
        };
        height = check_heights(answer, height);
        let found = without_heights(answer);
        assert_eq!(
            found, expected,
            "line {number}: {text}\n{}",
            answers.ran.err
        );
    }
    assert!(given.next().is_none(), "more answers than lines");
    assert_eq!(answers.ran.code, 0, "{}", answers.ran.err);
}

/// Heights, times and roots are not the model's business, but must be there and not run backwards.
fn check_heights(answer: &Value, before: u64) -> u64 {
    let answer = &answer["answer"];
    for trade in answer["trades"].as_array().into_iter().flatten() {
        let recorded = trade["recorded_height"].as_u64().unwrap();
        match trade["settled_height"].as_u64() {
            Some(settled) => assert!(settled >= recorded, "{trade}"),
            None => assert_eq!(trade["status"], "pending", "{trade}"),
        }
    }
    if answer.get("holders").is_some() {
        assert!(answer["as_of_height"].is_u64(), "{answer}");
    }
    if answer.get("currencies").is_some() {
        let height = answer["height"].as_u64().unwrap();
        assert!(height >= before, "heights run backwards: {answer}");
        assert_eq!(
            answer["state_root"].as_str().map(str::len),
            Some(64),
            "{answer}"
        );
        return height;
    }
    before
}

fn without_heights(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(inner) = answer.get_mut("answer").and_then(Value::as_object_mut) {
        for field in ["as_of_height", "height", "state_root"] {
            inner.remove(field);
        }
        for trade in inner
            .get_mut("trades")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let trade = trade.as_object_mut().unwrap();
            trade.remove("recorded_height");
            trade.remove("settled_height");
        }
    }
    answer
}

/// Checks an answer to `audit`: every issue's total is its treasury and what is held.
///
/// # Panics
/// It is not.
pub fn check_conservation(audit: &Value) {
    let audit = &audit["answer"];
    assert!(audit["issues"].is_array(), "{audit}");
    for issue in audit["issues"].as_array().unwrap() {
        let number = |field: &str| crate::model::values::plain(issue[field].as_str().unwrap());
        assert_eq!(
            number("issued"),
            number("treasury") + number("held"),
            "{issue}"
        );
    }
}

/// One line of a scenario.
#[must_use]
pub fn line(member: &str, verb: &str, mut fields: Value) -> String {
    fields["as"] = json!(member);
    fields["do"] = json!(verb);
    format!("{fields}\n")
}
