//! Wrapping: keys in transport to one recipient.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealbook_primitives::hash::keyed_hash;
use sealbook_primitives::secret::Secret32;
use zeroize::Zeroize as _;

use crate::SealError;
use crate::envelope::Sender;
use crate::format::{WRAP_VERSION, wrap_associated, wrap_info};
use crate::suite::{OpeningPublicKey, Suite};

const DERIVED_DOMAIN: &str = "sealbook 2026 derived wrapping v1";

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
    finish(
        Sender::begin(recipient, &wrap_info(label))?,
        recipient.suite(),
        context,
        plaintext,
    )
}

/// As [`wrap`], with the randomness of the encapsulation derived from `seed` and everything that is wrapped, so that
/// whoever knows the seed and the text makes the same bytes, and refuses others.
///
/// The seed is a secret that only those may know who may know the text: from it the text follows.
///
/// # Errors
///
/// As [`wrap`].
pub fn wrap_derived(
    recipient: &OpeningPublicKey,
    label: &'static str,
    context: &[u8],
    plaintext: &[u8],
    seed: &Secret32,
) -> Result<Vec<u8>, SealError> {
    let suite = recipient.suite();
    let parts = [
        label.as_bytes(),
        context,
        &[suite.number()],
        recipient.bytes(),
        plaintext,
    ];
    let mut drawn = keyed_hash(seed, DERIVED_DOMAIN, &parts).0;
    let mut random = ChaCha20Rng::from_seed(drawn);
    drawn.zeroize();
    let sender = Sender::begin_with(recipient, &wrap_info(label), Some(&mut random))?;
    finish(sender, suite, context, plaintext)
}

fn finish(
    sender: Sender,
    suite: Suite,
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let associated = wrap_associated(suite, context);
    let (encapsulated, ciphertext) = sender.encrypt(&associated, plaintext)?;
    let mut wrapped = Vec::with_capacity(2 + encapsulated.len() + ciphertext.len());
    wrapped.extend_from_slice(&[WRAP_VERSION, suite.number()]);
    wrapped.extend_from_slice(&encapsulated);
    wrapped.extend_from_slice(&ciphertext);
    Ok(wrapped)
}
