//! What BLAKE3 makes of a domain string before it hashes anything under it, kept so that short messages take one
//! compression instead of two.

use std::cell::RefCell;

use blake3::hazmat::{ContextKey, hash_derive_key_context};

/// Domains that a thread keeps: more than any of our programs uses much.
const PLACES: usize = 64;

/// A domain with its key. Strings that live as long as the program are the same where address and length are.
type Known = (&'static str, ContextKey);

thread_local! {
    static KNOWN: RefCell<[Option<Known>; PLACES]> = const { RefCell::new([None; PLACES]) };
}

/// The key of a domain.
pub(super) fn key(domain: &'static str) -> ContextKey {
    KNOWN.with_borrow_mut(|known| {
        let address = domain.as_ptr().addr();
        // Low bits differ little: strings lie one after the other.
        let place = (address ^ (address >> 6)) % PLACES;
        let Some(slot) = known.get_mut(place) else {
            return hash_derive_key_context(domain);
        };
        match slot {
            Some((of, key)) if std::ptr::eq(*of, domain) => *key,
            other => {
                let key = hash_derive_key_context(domain);
                *other = Some((domain, key));
                key
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_domain_however_many_there_are() {
        // Domains that begin at the same address, too.
        let text: &'static str = Box::leak("many domains: ".repeat(40).into_boxed_str());
        for _ in 0..2 {
            for from in 0..200 {
                for length in [0, 1, 17, 200] {
                    let domain = text.get(from..from + length).unwrap_or_default();
                    assert_eq!(key(domain), hash_derive_key_context(domain));
                }
            }
        }
    }

    #[test]
    fn hashes_are_those_of_blake3() {
        for message in [&b""[..], b"short", &[7; 5000]] {
            let mut expected = blake3::Hasher::new_derive_key("sealbook test");
            expected.update(&(message.len() as u64).to_le_bytes());
            expected.update(message);
            let found = crate::hash::hash("sealbook test", &[message]);
            assert_eq!(found.as_bytes(), expected.finalize().as_bytes());
        }
    }
}
