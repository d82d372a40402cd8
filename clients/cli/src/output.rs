//! Results on standard output. A reader that stops reading (`| head`) ends the output, not the command with a panic.

use std::io::Write as _;

use crate::error::CliError;

/// Says on standard error what went wrong in a command that goes on.
pub fn problem(error: &CliError) {
    let _ = writeln!(std::io::stderr().lock(), "{error}");
}

/// Writes one line of a result.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
