//! Certificates, requests, revocation lists and private keys as text (PEM, RFC 7468).
//!
//! Private keys are PKCS #8 version 1 (RFC 8410) and nothing else: 48 bytes, of which the last 32
//! are the seed. They are encoded and decoded in constant time and into memory that is wiped. With a
//! passphrase they are encrypted as RFC 5958 and RFC 8018 say (PBES2: scrypt or PBKDF2, AES), which
//! OpenSSL reads and writes as well.
//!
//! Every reader takes whole texts below a fixed limit and refuses sections that it does not
//! expect, so that a private key in a chain file is found at once.

use pem_rfc7468::LineEnding;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, pkcs5::pbes2::Kdf};
use rustls_pki_types::{
    CertificateDer,
    pem::{PemObject as _, SectionKind},
};
use sealbook_primitives::secret::{Secret32, SecretBytes};
use zeroize::Zeroizing;

use crate::{
    CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX,
    revocation::{LIST_BYTES_MAX, LISTS_MAX},
};

/// The most bytes of text that a chain may have: base64 and boundaries, with room to spare.
pub const CHAIN_TEXT_BYTES_MAX: usize = 2 * CERTIFICATES_MAX * CERTIFICATE_BYTES_MAX;
/// The most bytes of text that a private key may have.
pub const KEY_TEXT_BYTES_MAX: usize = 1024;

/// The most bytes that a file with revocation lists may have: two of the largest, many of others.
pub const LISTS_FILE_BYTES_MAX: usize = 4 * LIST_BYTES_MAX;

const CERTIFICATE_LABEL: &str = "CERTIFICATE";
const REQUEST_LABEL: &str = "CERTIFICATE REQUEST";
const LIST_LABEL: &str = "X509 CRL";
const KEY_LABEL: &str = "PRIVATE KEY";
const ENCRYPTED_KEY_LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// How much work a file may make for whoever tries a passphrase on it: scrypt's N, r and p.
const SCRYPT_MAX: (u64, u16, u16) = (1 << 17, 8, 4);
/// The same for PBKDF2: rounds.
const PBKDF2_ROUNDS_MAX: u32 = 2_000_000;
/// How a list in DER form begins, and no text does that we read: the digit 0.
const DER_SEQUENCE: u8 = 0x30;
/// The PKCS #8 frame around an Ed25519 seed (RFC 8410 section 10.3).
const PKCS8_FRAME: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const SEED_LENGTH: usize = 32;

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// The text exceeds the limit.
    #[error("the text has {found} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes of text.
        found: usize,
        /// The most that are read.
        limit: usize,
    },
    /// The text is not PEM.
    #[error("the text is not in pem form")]
    NotPem,
    /// A section is none that belongs here.
    #[error("a section other than `{expected}` stands in the text")]
    UnexpectedSection {
        /// The label that belongs here.
        expected: &'static str,
    },
    /// The number of certificates is not lawful.
    #[error("the text has {found} certificates; between 1 and {limit} are needed")]
    CertificateCount {
        /// Certificates in the text.
        found: usize,
        /// The most that are read.
        limit: usize,
    },
    /// The number of revocation lists is not lawful.
    #[error("the file has {found} revocation lists or authorities; at most {limit} are read")]
    ListCount {
        /// Lists in the file, or certificates of authorities if there are more of those.
        found: usize,
        /// The most that are read.
        limit: usize,
    },
    /// The key is encrypted in a way that is not read, or would take too long.
    #[error("the private key is encrypted in a way that is not read here")]
    Encryption,
    /// The passphrase is another one.
    #[error("the passphrase does not open the private key")]
    Passphrase,
    /// The key is not a plain PKCS #8 Ed25519 key.
    #[error("the private key is not an unencrypted ed25519 key in pkcs #8 form, version 1")]
    NotEd25519Key,
}

impl PemError {
    /// What can be done about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Passphrase => "check the passphrase's file",
            Self::Encryption => {
                "encrypt it with `sealbook key encrypt`, or with `openssl pkcs8 -topk8`"
            }
            Self::NotEd25519Key => "make one with `openssl genpkey -algorithm ed25519`",
            Self::UnexpectedSection { .. } => {
                "keep private keys, requests and certificates in files of their own"
            }
            _ => "use the file as the network's own tool wrote it",
        }
    }
}

/// Writes a chain, leaf first.
pub fn chain_to_pem(chain: &[CertificateDer<'_>]) -> Result<String, PemError> {
    check_count(chain.len())?;
    chain
        .iter()
        .map(|certificate| encode(CERTIFICATE_LABEL, certificate))
        .collect()
}

/// Reads a chain, leaf first. The certificates are not looked into.
pub fn chain_from_pem(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    check_length(text.len(), CHAIN_TEXT_BYTES_MAX)?;
    let mut chain = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section.map_err(|_| PemError::NotPem)? {
            (SectionKind::Certificate, der) => chain.push(CertificateDer::from(der)),
            (_, other) => {
                drop(Zeroizing::new(other));
                return Err(PemError::UnexpectedSection {
                    expected: CERTIFICATE_LABEL,
                });
            }
        }
    }
    check_count(chain.len())?;
    Ok(chain)
}

/// Writes a certificate request.
pub fn request_to_pem(der: &[u8]) -> Result<String, PemError> {
    encode(REQUEST_LABEL, der)
}

/// Reads a certificate request. It is not looked into.
pub fn request_from_pem(text: &str) -> Result<Vec<u8>, PemError> {
    check_length(text.len(), 2 * CERTIFICATE_BYTES_MAX)?;
    let (label, der) = pem_rfc7468::decode_vec(text.as_bytes()).map_err(|_| PemError::NotPem)?;
    if label != REQUEST_LABEL {
        drop(Zeroizing::new(der));
        return Err(PemError::UnexpectedSection {
            expected: REQUEST_LABEL,
        });
    }
    Ok(der)
}

/// Writes revocation lists, each after the certificate of the authority that issued it, so that
/// whoever knows the root can verify the text.
pub fn lists_to_pem(lists: &[(CertificateDer<'_>, Vec<u8>)]) -> Result<String, PemError> {
    let mut text = String::new();
    for (authority, list) in lists {
        text.push_str(&encode(CERTIFICATE_LABEL, authority)?);
        text.push_str(&encode_up_to(LIST_BYTES_MAX, LIST_LABEL, list)?);
    }
    check_length(text.len(), LISTS_FILE_BYTES_MAX)?;
    Ok(text)
}

/// Certificates of authorities, and revocation lists; neither is looked into.
pub type ListsAndAuthorities = (Vec<Vec<u8>>, Vec<CertificateDer<'static>>);

/// Reads a file with revocation lists: one list in DER form, or lists and certificates of
/// authorities in PEM form, in any order.
pub fn lists_from_bytes(bytes: &[u8]) -> Result<ListsAndAuthorities, PemError> {
    check_length(bytes.len(), LISTS_FILE_BYTES_MAX)?;
    if bytes.first() == Some(&DER_SEQUENCE) {
        return Ok((vec![bytes.to_vec()], Vec::new()));
    }
    let (mut lists, mut authorities) = (Vec::new(), Vec::new());
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        match section.map_err(|_| PemError::NotPem)? {
            (SectionKind::Crl, der) => lists.push(der),
            (SectionKind::Certificate, der) => authorities.push(CertificateDer::from(der)),
            (_, other) => {
                drop(Zeroizing::new(other));
                return Err(PemError::UnexpectedSection {
                    expected: LIST_LABEL,
                });
            }
        }
    }
    let (found, limit) = (lists.len().max(authorities.len()), LISTS_MAX);
    if found == 0 || found > limit {
        return Err(PemError::ListCount { found, limit });
    }
    Ok((lists, authorities))
}

/// Puts an Ed25519 seed into its PKCS #8 frame.
pub fn seed_to_pkcs8(seed: &Secret32) -> SecretBytes {
    let mut der = Vec::with_capacity(PKCS8_FRAME.len() + SEED_LENGTH);
    der.extend_from_slice(&PKCS8_FRAME);
    der.extend_from_slice(seed.expose());
    SecretBytes::new(der)
}

/// Takes an Ed25519 seed out of its PKCS #8 frame.
pub fn seed_from_pkcs8(der: &[u8]) -> Result<Secret32, PemError> {
    let seed = der
        .strip_prefix(&PKCS8_FRAME)
        .and_then(|seed| <&[u8; SEED_LENGTH]>::try_from(seed).ok())
        .ok_or(PemError::NotEd25519Key)?;
    Ok(Secret32::new(*seed))
}

/// Writes an Ed25519 private key.
pub fn seed_to_pem(seed: &Secret32) -> Result<SecretBytes, PemError> {
    let text = encode(KEY_LABEL, seed_to_pkcs8(seed).expose())?;
    Ok(SecretBytes::new(text.into_bytes()))
}

/// Reads an Ed25519 private key.
pub fn seed_from_pem(text: &[u8]) -> Result<Secret32, PemError> {
    check_length(text.len(), KEY_TEXT_BYTES_MAX)?;
    let mut buffer = Zeroizing::new([0_u8; KEY_TEXT_BYTES_MAX]);
    let (label, der) =
        pem_rfc7468::decode(text, buffer.as_mut_slice()).map_err(|_| PemError::NotPem)?;
    if label != KEY_LABEL {
        return Err(PemError::UnexpectedSection {
            expected: KEY_LABEL,
        });
    }
    seed_from_pkcs8(der)
}

/// Whether a text holds a private key that is encrypted.
pub fn is_encrypted(text: &[u8]) -> bool {
    let label = ENCRYPTED_KEY_LABEL.as_bytes();
    text.windows(label.len()).any(|window| window == label)
}

/// Writes an Ed25519 private key, encrypted under a passphrase.
pub fn seed_to_encrypted_pem(
    seed: &Secret32,
    passphrase: &SecretBytes,
) -> Result<SecretBytes, PemError> {
    let der = seed_to_pkcs8(seed);
    let key = PrivateKeyInfoRef::try_from(der.expose()).map_err(|_| PemError::NotEd25519Key)?;
    let encrypted = key.encrypt(passphrase.expose());
    let encrypted = encrypted.map_err(|_| PemError::Encryption)?;
    let text = encode(ENCRYPTED_KEY_LABEL, encrypted.as_bytes())?;
    Ok(SecretBytes::new(text.into_bytes()))
}

/// Reads an Ed25519 private key that is encrypted under a passphrase.
pub fn seed_from_encrypted_pem(
    text: &[u8],
    passphrase: &SecretBytes,
) -> Result<Secret32, PemError> {
    check_length(text.len(), KEY_TEXT_BYTES_MAX)?;
    let mut buffer = Zeroizing::new([0_u8; KEY_TEXT_BYTES_MAX]);
    let (label, der) =
        pem_rfc7468::decode(text, buffer.as_mut_slice()).map_err(|_| PemError::NotPem)?;
    if label != ENCRYPTED_KEY_LABEL {
        return Err(PemError::UnexpectedSection {
            expected: ENCRYPTED_KEY_LABEL,
        });
    }
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der);
    let encrypted = encrypted.map_err(|_| PemError::Encryption)?;
    let is_light = match encrypted.encryption_algorithm.pbes2().map(|one| &one.kdf) {
        Some(Kdf::Scrypt(scrypt)) => {
            let (cost, block, parallel) = SCRYPT_MAX;
            scrypt.cost_parameter <= cost
                && scrypt.block_size <= block
                && scrypt.parallelization <= parallel
        }
        Some(Kdf::Pbkdf2(pbkdf2)) => pbkdf2.iteration_count <= PBKDF2_ROUNDS_MAX,
        _ => false,
    };
    if !is_light {
        return Err(PemError::Encryption);
    }
    let key = encrypted.decrypt(passphrase.expose());
    let key = key.map_err(|_| PemError::Passphrase)?;
    // Padding that happens to fit a wrong passphrase leaves no key.
    seed_from_pkcs8(key.as_bytes()).map_err(|_| PemError::Passphrase)
}

fn encode(label: &str, der: &[u8]) -> Result<String, PemError> {
    encode_up_to(CERTIFICATE_BYTES_MAX, label, der)
}

fn encode_up_to(limit: usize, label: &str, der: &[u8]) -> Result<String, PemError> {
    check_length(der.len(), limit)?;
    pem_rfc7468::encode_string(label, LineEnding::LF, der).map_err(|_| PemError::NotPem)
}

fn check_length(found: usize, limit: usize) -> Result<(), PemError> {
    if found > limit {
        Err(PemError::TooLarge { found, limit })
    } else {
        Ok(())
    }
}

fn check_count(found: usize) -> Result<(), PemError> {
    let limit = CERTIFICATES_MAX;
    if found == 0 || found > limit {
        return Err(PemError::CertificateCount { found, limit });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The key of RFC 8410 section 10.3.
    const RFC_8410_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn the_published_key_is_read_and_written() {
        let seed = seed_from_pem(RFC_8410_KEY.as_bytes()).unwrap();
        assert_eq!(&seed.expose()[..4], [0xd4, 0xee, 0x72, 0xdb]);
        assert_eq!(
            seed_to_pem(&seed).unwrap().expose(),
            RFC_8410_KEY.as_bytes()
        );
    }

    /// Made by OpenSSL 3 of the same key: `openssl pkcs8 -topk8 -passout pass:correct-horse`.
    const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
        MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgMyjgJ48MMIAICCAAw\n\
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEOeeOrlv/POFxjAsRRdQC9sEQOD7\n\
        0WqkhgHcKvRC6kSMpuX6LK3AUVpqEzdVlEaavKeJwU+ywtWMIXzP/dw/baRozI1N\n\
        oBL13XqUmSdBds+of1o=\n\
        -----END ENCRYPTED PRIVATE KEY-----\n";

    #[test]
    fn an_encrypted_key_opens_under_its_passphrase_alone() {
        let phrase = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
        let seed = seed_from_pem(RFC_8410_KEY.as_bytes()).unwrap();
        let (first, second) = (phrase("correct-horse"), phrase("correct-house"));
        let text = seed_to_encrypted_pem(&seed, &first).unwrap();
        assert!(is_encrypted(text.expose()) && !is_encrypted(RFC_8410_KEY.as_bytes()));
        assert!(text.expose().len() <= KEY_TEXT_BYTES_MAX);
        for text in [text.expose(), ENCRYPTED.as_bytes()] {
            let read = seed_from_encrypted_pem(text, &first).unwrap();
            assert!(read.constant_time_eq(&seed));
            for wrong in [&second, &phrase("")] {
                let refused = seed_from_encrypted_pem(text, wrong);
                assert!(matches!(refused, Err(PemError::Passphrase)));
            }
            assert!(matches!(
                seed_from_pem(text),
                Err(PemError::UnexpectedSection { .. })
            ));
        }
        // Never the same twice, and nothing of the key in it.
        let again = seed_to_encrypted_pem(&seed, &first).unwrap();
        assert_ne!(again.expose(), text.expose());
        assert!(matches!(
            seed_from_encrypted_pem(RFC_8410_KEY.as_bytes(), &first),
            Err(PemError::UnexpectedSection { .. })
        ));
    }

    #[test]
    fn a_chain_is_read_back() {
        let chain = vec![
            CertificateDer::from(vec![1; 300]),
            CertificateDer::from(vec![2; 5]),
        ];
        let text = chain_to_pem(&chain).unwrap();
        assert_eq!(chain_from_pem(&text).unwrap(), chain);
        assert_eq!(chain_from_pem(&text.replace('\n', "\r\n")).unwrap(), chain);
    }

    #[test]
    fn strange_sections_and_counts_are_refused() {
        let one = chain_to_pem(&[CertificateDer::from(vec![1; 30])]).unwrap();
        assert!(matches!(
            chain_from_pem(&format!("{one}{RFC_8410_KEY}")),
            Err(PemError::UnexpectedSection { .. })
        ));
        assert!(matches!(
            chain_from_pem(&one.repeat(CERTIFICATES_MAX + 1)),
            Err(PemError::CertificateCount { found: 5, .. })
        ));
        assert!(matches!(
            chain_from_pem(""),
            Err(PemError::CertificateCount { found: 0, .. })
        ));
        assert!(matches!(
            chain_from_pem(&" ".repeat(CHAIN_TEXT_BYTES_MAX + 1)),
            Err(PemError::TooLarge { .. })
        ));
        assert!(matches!(
            seed_from_pem(one.as_bytes()),
            Err(PemError::UnexpectedSection { .. })
        ));
        assert!(matches!(
            request_from_pem(&one),
            Err(PemError::UnexpectedSection { .. })
        ));
    }

    #[test]
    fn other_key_forms_are_refused() {
        for der in [&[][..], &PKCS8_FRAME, &[0; 48], &[0x30; 83]] {
            assert!(matches!(seed_from_pkcs8(der), Err(PemError::NotEd25519Key)));
        }
        let mut long = seed_to_pkcs8(&Secret32::new([7; 32])).expose().to_vec();
        long.push(0);
        assert!(seed_from_pkcs8(&long).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(-----BEGIN (PRIVATE KEY|CERTIFICATE)-----\n)?.{0,200}") {
            let _ = chain_from_pem(&text);
            let _ = request_from_pem(&text);
            let _ = seed_from_pem(text.as_bytes());
        }

        #[test]
        fn every_seed_is_read_back(bytes: [u8; 32]) {
            let seed = Secret32::new(bytes);
            let again = seed_from_pem(seed_to_pem(&seed).unwrap().expose()).unwrap();
            prop_assert!(again.constant_time_eq(&seed));
        }
    }
}
