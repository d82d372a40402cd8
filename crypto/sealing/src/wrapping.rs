//! Wrapping: keys in transport to one recipient.

use crate::SealError;
use crate::envelope::Sender;
use crate::format::{WRAP_VERSION, wrap_associated, wrap_info};
use crate::suite::OpeningPublicKey;

/// Seals `plaintext` to one recipient. It opens only under the same label and context.
///
/// The length is not hidden: what is wrapped has a length that everybody knows.
///
/// # Errors
///
/// [`SealError`] when nothing can be sealed to the recipient's key, or the text is too long.
///
/// # Panics
///
/// When the operating system has no random numbers to give.
pub fn wrap(
    recipient: &OpeningPublicKey,
    label: &'static str,
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let suite = recipient.suite();
    let associated = wrap_associated(suite, context);
    let sender = Sender::begin(recipient, &wrap_info(label))?;
    let (encapsulated, ciphertext) = sender.encrypt(&associated, plaintext)?;
    let mut wrapped = Vec::with_capacity(2 + encapsulated.len() + ciphertext.len());
    wrapped.extend_from_slice(&[WRAP_VERSION, suite.number()]);
    wrapped.extend_from_slice(&encapsulated);
    wrapped.extend_from_slice(&ciphertext);
    Ok(wrapped)
}
