//! Errors as users see them: what went wrong, what can be done, and an exit code.

use std::fmt;
use std::process::ExitCode;

/// The exit codes, as documented in the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something outside the ledger failed: files, processes, the network.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A scenario had another outcome than it expected.
    Unexpected = 3,
    /// The ledger rejected the order.
    Rejected = 4,
    /// The ledger denied the caller.
    Denied = 5,
    /// A ledger copy is damaged, forged or does not replay.
    AuditFailed = 6,
}

/// An error with a hint.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

/// The result of a command.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// An error of the environment.
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.to_string(),
            hint: None,
        }
    }

    /// An error with another exit code.
    pub fn with_exit(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            hint: None,
        }
    }

    /// Says what can be done about it.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Turns any error into one of the environment, with what was being done.
pub fn doing<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> CliError {
    move |error| CliError::new(format!("{what}: {error}"))
}
