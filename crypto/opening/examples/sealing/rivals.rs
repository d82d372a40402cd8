//! What other libraries take to make and to open the same HPKE messages as ours.
//!
//! `hpke` has all of HPKE. ring and aws-lc-rs have none of it: their key agreement, HMAC-SHA256 and
//! ChaCha20-Poly1305 (and ML-KEM-768 and SHA3-256 of aws-lc-rs) are put together here as RFC 9180
//! and the draft of X-Wing say. [`check`] holds them to it: what one makes, another opens.
//!
//! This is for comparison only. It wipes no secret and allows no mode but the one that is measured.

use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open};
use sealbook_sealing::Suite;
use sealbook_sealing::format::{SuiteAead, SuiteKdf, SuiteOneKem, SuiteTwoKem};

use crate::Result;

/// What every library seals under.
const INFO: &[u8] = b"sealbook/seal/1/transaction";
/// As long as what an envelope binds its content to.
const ASSOCIATED: &[u8] = &[9; 47];
/// How long X-Wing's public key of ML-KEM-768 is, and its ciphertext.
const ML_KEM_PUBLIC: usize = 1184;
const ML_KEM_CIPHERTEXT: usize = 1088;
const X_WING_LABEL: &[u8] = br"\.//^\";

/// One HPKE message.
pub struct Message {
    encapsulated: Vec<u8>,
    ciphertext: Vec<u8>,
}

/// Seals to a public key.
pub type Seal = fn(&[u8], &[u8]) -> Result<Message>;
/// Opens one message.
pub type Open = Box<dyn FnOnce(&Message) -> Result<Vec<u8>>>;
/// Makes a private key; gives the public half, and what opens up to so many messages with it.
pub type Recipient = fn(u32) -> Result<(Vec<u8>, Vec<Open>)>;

/// A library that can do what a suite needs.
#[derive(Clone, Copy)]
pub struct Rival {
    pub name: &'static str,
    pub suite: Suite,
    pub seal: Seal,
    pub recipient: Recipient,
}

/// Every library with every suite that it has the parts for.
pub const ALL: [Rival; 5] = [
    Rival {
        name: "hpke",
        suite: Suite::X25519ChaCha20Poly1305,
        seal: bare_seal::<SuiteOneKem>,
        recipient: bare_recipient::<SuiteOneKem>,
    },
    Rival {
        name: "ring",
        suite: Suite::X25519ChaCha20Poly1305,
        seal: Ring::seal,
        recipient: Ring::recipient,
    },
    Rival {
        name: "aws-lc-rs",
        suite: Suite::X25519ChaCha20Poly1305,
        seal: AwsLc::seal,
        recipient: AwsLc::recipient,
    },
    Rival {
        name: "hpke",
        suite: Suite::XWingChaCha20Poly1305,
        seal: bare_seal::<SuiteTwoKem>,
        recipient: bare_recipient::<SuiteTwoKem>,
    },
    Rival {
        name: "aws-lc-rs",
        suite: Suite::XWingChaCha20Poly1305,
        seal: AwsLc::seal_hybrid,
        recipient: AwsLc::recipient_hybrid,
    },
];

/// Checks that all libraries of a suite open each other's messages.
pub fn check() -> Result<()> {
    for recipient in ALL {
        for sender in ALL.iter().filter(|one| one.suite == recipient.suite) {
            let (public, opens) = (recipient.recipient)(1)?;
            let message = (sender.seal)(&public, b"content")?;
            for open in opens {
                if open(&message)? != b"content" {
                    return Err(format!("{} opens something else", recipient.name).into());
                }
            }
        }
    }
    Ok(())
}

fn bare_seal<K: Kem>(public: &[u8], content: &[u8]) -> Result<Message> {
    let key = K::PublicKey::from_bytes(public)?;
    let (encapsulated, mut context) =
        hpke::setup_sender::<SuiteAead, SuiteKdf, K>(&OpModeS::Base, &key, INFO)?;
    Ok(Message {
        ciphertext: context.seal(content, ASSOCIATED)?,
        encapsulated: encapsulated.to_bytes().to_vec(),
    })
}

fn bare_recipient<K: Kem>(messages: u32) -> Result<(Vec<u8>, Vec<Open>)>
where
    K::PrivateKey: 'static,
{
    let (secret, public) = K::derive_keypair(&[1; 32]);
    let secret = std::rc::Rc::new(secret);
    let open = |_| -> Open {
        let secret = secret.clone();
        Box::new(move |message| {
            let encapsulated = K::EncappedKey::from_bytes(&message.encapsulated)?;
            Ok(single_shot_open::<SuiteAead, SuiteKdf, K>(
                &OpModeR::Base,
                &secret,
                &encapsulated,
                INFO,
                &message.ciphertext,
                ASSOCIATED,
            )?)
        })
    };
    Ok((
        public.to_bytes().to_vec(),
        (0..messages).map(open).collect(),
    ))
}

/// What HPKE's key schedule and cipher are made of.
trait Parts {
    fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32];
    fn encrypt(key: &[u8], nonce: [u8; 12], text: &[u8]) -> Result<Vec<u8>>;
    fn decrypt(key: &[u8], nonce: [u8; 12], sealed: &[u8]) -> Result<Vec<u8>>;
}

/// ring and aws-lc-rs have the same interface for these parts.
macro_rules! parts {
    ($name:ident, $library:ident) => {
        struct $name;

        impl Parts for $name {
            fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
                use $library::hmac;
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                let mut context = hmac::Context::with_key(&key);
                for part in parts {
                    context.update(part);
                }
                let mut mac = [0; 32];
                mac.copy_from_slice(context.sign().as_ref());
                mac
            }

            fn encrypt(key: &[u8], nonce: [u8; 12], text: &[u8]) -> Result<Vec<u8>> {
                use $library::aead;
                let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).map_err(said)?;
                let mut sealed = Vec::with_capacity(text.len() + 16);
                sealed.extend_from_slice(text);
                aead::LessSafeKey::new(key)
                    .seal_in_place_append_tag(
                        aead::Nonce::assume_unique_for_key(nonce),
                        aead::Aad::from(ASSOCIATED),
                        &mut sealed,
                    )
                    .map_err(said)?;
                Ok(sealed)
            }

            fn decrypt(key: &[u8], nonce: [u8; 12], sealed: &[u8]) -> Result<Vec<u8>> {
                use $library::aead;
                let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).map_err(said)?;
                let mut text = sealed.to_vec();
                let length = aead::LessSafeKey::new(key)
                    .open_in_place(
                        aead::Nonce::assume_unique_for_key(nonce),
                        aead::Aad::from(ASSOCIATED),
                        &mut text,
                    )
                    .map_err(said)?
                    .len();
                text.truncate(length);
                Ok(text)
            }
        }
    };
}

parts!(Ring, ring);
parts!(AwsLc, aws_lc_rs);

const KEM_SUITE_ONE: &[u8] = b"KEM\x00\x20";
const HPKE_SUITE_ONE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
const HPKE_SUITE_TWO: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";

/// `LabeledExtract` of RFC 9180.
fn extract<P: Parts>(suite: &[u8], salt: &[u8], label: &[u8], input: &[u8]) -> [u8; 32] {
    P::mac(salt, &[b"HPKE-v1", suite, label, input])
}

/// `LabeledExpand` of RFC 9180, of which no more than one block is ever needed.
fn expand<P: Parts, const N: usize>(
    suite: &[u8],
    key: &[u8; 32],
    label: &[u8],
    info: &[&[u8]; 3],
) -> [u8; N] {
    let length = [0, u8::try_from(N).unwrap_or_default()];
    let [first, second, third] = info;
    let parts = [
        &length,
        &b"HPKE-v1"[..],
        suite,
        label,
        first,
        second,
        third,
        &[1],
    ];
    let block = P::mac(key, &parts);
    let mut output = [0; N];
    for (byte, from) in output.iter_mut().zip(block) {
        *byte = from;
    }
    output
}

/// What X25519 agreed on, as DHKEM's shared secret.
fn shared<P: Parts>(agreed: &[u8], encapsulated: &[u8], public: &[u8]) -> [u8; 32] {
    let key = extract::<P>(KEM_SUITE_ONE, &[], b"eae_prk", agreed);
    let info = [encapsulated, public, &[]];
    expand::<P, 32>(KEM_SUITE_ONE, &key, b"shared_secret", &info)
}

/// HPKE's key schedule in base mode: the cipher's key and nonce.
fn schedule<P: Parts>(suite: &[u8], shared: &[u8; 32]) -> ([u8; 32], [u8; 12]) {
    let psk_id = extract::<P>(suite, &[], b"psk_id_hash", &[]);
    let info = extract::<P>(suite, &[], b"info_hash", INFO);
    let secret = extract::<P>(suite, shared, b"secret", &[]);
    let context: [&[u8]; 3] = [&[0], &psk_id, &info];
    // HPKE makes this one whether or not anybody exports secrets.
    let exporter: [u8; 32] = expand::<P, 32>(suite, &secret, b"exp", &context);
    std::hint::black_box(exporter);
    (
        expand::<P, 32>(suite, &secret, b"key", &context),
        expand::<P, 12>(suite, &secret, b"base_nonce", &context),
    )
}

fn encrypt<P: Parts>(suite: &[u8], secret: &[u8; 32], text: &[u8]) -> Result<Vec<u8>> {
    let (key, nonce) = schedule::<P>(suite, secret);
    P::encrypt(&key, nonce, text)
}

fn decrypt<P: Parts>(suite: &[u8], secret: &[u8; 32], sealed: &[u8]) -> Result<Vec<u8>> {
    let (key, nonce) = schedule::<P>(suite, secret);
    P::decrypt(&key, nonce, sealed)
}

impl Ring {
    fn key() -> Result<(ring::agreement::EphemeralPrivateKey, Vec<u8>)> {
        use ring::agreement::{EphemeralPrivateKey, X25519};
        let key = EphemeralPrivateKey::generate(&X25519, &ring::rand::SystemRandom::new());
        let key = key.map_err(said)?;
        let public = key.compute_public_key().map_err(said)?.as_ref().to_vec();
        Ok((key, public))
    }

    fn agree(
        key: ring::agreement::EphemeralPrivateKey,
        other: &[u8],
        encapsulated: &[u8],
        public: &[u8],
    ) -> Result<[u8; 32]> {
        use ring::agreement::{UnparsedPublicKey, X25519, agree_ephemeral};
        let other = UnparsedPublicKey::new(&X25519, other);
        agree_ephemeral(key, &other, |agreed| {
            shared::<Self>(agreed, encapsulated, public)
        })
        .map_err(said)
    }

    fn seal(public: &[u8], content: &[u8]) -> Result<Message> {
        let (key, encapsulated) = Self::key()?;
        let secret = Self::agree(key, public, &encapsulated, public)?;
        Ok(Message {
            ciphertext: encrypt::<Self>(HPKE_SUITE_ONE, &secret, content)?,
            encapsulated,
        })
    }

    /// ring has private keys for one use only: one message, however many are asked for.
    fn recipient(_: u32) -> Result<(Vec<u8>, Vec<Open>)> {
        let (key, public) = Self::key()?;
        let own = public.clone();
        let open: Open = Box::new(move |message| {
            let encapsulated = &message.encapsulated;
            let secret = Self::agree(key, encapsulated, encapsulated, &own)?;
            decrypt::<Self>(HPKE_SUITE_ONE, &secret, &message.ciphertext)
        });
        Ok((public, vec![open]))
    }
}

impl AwsLc {
    fn key() -> Result<(aws_lc_rs::agreement::PrivateKey, Vec<u8>)> {
        use aws_lc_rs::agreement::{PrivateKey, X25519};
        let key = PrivateKey::generate(&X25519)?;
        let public = key.compute_public_key()?.as_ref().to_vec();
        Ok((key, public))
    }

    fn agree<R>(
        key: &aws_lc_rs::agreement::PrivateKey,
        other: &[u8],
        then: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        use aws_lc_rs::agreement::{UnparsedPublicKey, X25519, agree};
        let other = UnparsedPublicKey::new(&X25519, other);
        let failed = aws_lc_rs::error::Unspecified;
        Ok(agree(key, other, failed, |agreed| Ok(then(agreed)))?)
    }

    fn seal(public: &[u8], content: &[u8]) -> Result<Message> {
        let (key, encapsulated) = Self::key()?;
        let secret = Self::agree(&key, public, |agreed| {
            shared::<Self>(agreed, &encapsulated, public)
        })?;
        Ok(Message {
            ciphertext: encrypt::<Self>(HPKE_SUITE_ONE, &secret, content)?,
            encapsulated,
        })
    }

    fn recipient(messages: u32) -> Result<(Vec<u8>, Vec<Open>)> {
        let (key, public) = Self::key()?;
        let own = std::rc::Rc::new((key, public.clone()));
        let open = |_| -> Open {
            let own = own.clone();
            Box::new(move |message| {
                let (key, public) = own.as_ref();
                let encapsulated = &message.encapsulated;
                let secret = Self::agree(key, encapsulated, |agreed| {
                    shared::<Self>(agreed, encapsulated, public)
                })?;
                decrypt::<Self>(HPKE_SUITE_ONE, &secret, &message.ciphertext)
            })
        };
        Ok((public, (0..messages).map(open).collect()))
    }

    /// X-Wing's shared secret.
    fn combined(lattice: &[u8], agreed: &[u8], sent: &[u8], public: &[u8]) -> [u8; 32] {
        use aws_lc_rs::digest;
        let mut context = digest::Context::new(&digest::SHA3_256);
        for part in [lattice, agreed, sent, public, X_WING_LABEL] {
            context.update(part);
        }
        let mut secret = [0; 32];
        secret.copy_from_slice(context.finish().as_ref());
        secret
    }

    fn seal_hybrid(public: &[u8], content: &[u8]) -> Result<Message> {
        use aws_lc_rs::kem::{EncapsulationKey, ML_KEM_768};
        let (lattice, point) = split(public, ML_KEM_PUBLIC)?;
        let (sent, secret) = EncapsulationKey::new(&ML_KEM_768, lattice)?.encapsulate()?;
        let (key, own) = Self::key()?;
        let secret = Self::agree(&key, point, |agreed| {
            Self::combined(secret.as_ref(), agreed, &own, point)
        })?;
        Ok(Message {
            encapsulated: [sent.as_ref(), &own].concat(),
            ciphertext: encrypt::<Self>(HPKE_SUITE_TWO, &secret, content)?,
        })
    }

    /// The private key of ML-KEM-768 lies in memory in full: aws-lc-rs takes none as a seed.
    fn recipient_hybrid(messages: u32) -> Result<(Vec<u8>, Vec<Open>)> {
        use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
        let lattice = DecapsulationKey::generate(&ML_KEM_768)?;
        let (key, point) = Self::key()?;
        let encapsulation = lattice.encapsulation_key()?.key_bytes()?;
        let public = [encapsulation.as_ref(), &point].concat();
        let own = std::rc::Rc::new((lattice, key, point));
        let open = |_| -> Open {
            let own = own.clone();
            Box::new(move |message| {
                let (lattice, key, point) = own.as_ref();
                let (sent, other) = split(&message.encapsulated, ML_KEM_CIPHERTEXT)?;
                let secret = lattice.decapsulate(sent.into())?;
                let secret = Self::agree(key, other, |agreed| {
                    Self::combined(secret.as_ref(), agreed, other, point)
                })?;
                decrypt::<Self>(HPKE_SUITE_TWO, &secret, &message.ciphertext)
            })
        };
        Ok((public, (0..messages).map(open).collect()))
    }
}

/// ring's errors are errors to the standard library only where its feature for that is on.
fn said(error: impl std::fmt::Display) -> Box<dyn std::error::Error> {
    error.to_string().into()
}

fn split(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8])> {
    let parts = bytes.split_at_checked(at);
    Ok(parts.ok_or("a key of another length")?)
}
