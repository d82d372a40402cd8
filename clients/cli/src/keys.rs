//! Private keys in their files: encrypted under a passphrase, or not.

use sealbook_identity::files::{self, FileError};
use serde_json::json;

use crate::arguments::{KeyCommand, KeyFiles};
use crate::error::{CliError, Result};
use crate::operations::Context;

/// `sealbook key ...`
///
/// # Errors
/// A file is no key, or the passphrase is not the right one. Files before it have been written.
pub fn run(context: &Context, command: KeyCommand) -> Result<()> {
    let (keys, encrypt) = match command {
        KeyCommand::Encrypt(keys) => (keys, true),
        KeyCommand::Decrypt(keys) => (keys, false),
    };
    let KeyFiles {
        files,
        passphrase_file,
    } = keys;
    let passphrase = files::read_passphrase(&passphrase_file).map_err(hinted)?;
    for path in &files {
        // Opened first: what it is encrypted under already must be this passphrase.
        let seed = files::read_private_key_under(path, &passphrase).map_err(hinted)?;
        let under = encrypt.then_some(&passphrase);
        files::rewrite_private_key(path, &seed, under).map_err(hinted)?;
    }
    let word = if encrypt { "encrypted" } else { "decrypted" };
    let shown: Vec<String> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    context.say(
        &json!({"files": shown, "encrypted": encrypt}),
        &format!("{word} {}", shown.join(", ")),
    );
    Ok(())
}

fn hinted(error: FileError) -> CliError {
    CliError::new(&error).hint(error.hint())
}
