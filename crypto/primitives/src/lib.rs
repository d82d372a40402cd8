//! The cryptographic building blocks of Sealbook: thin names over well-kept crates.
//!
//! Every hash and every signature carries a domain string, so that bytes made for one purpose
//! can never be taken for another. Secrets live in zeroizing types without `Debug`, `Clone` or
//! `PartialEq`. Encodings are canonical: one value has one encoding, and decoders refuse
//! trailing bytes and input above a limit.
//!
//! | module | what it names |
//! |---|---|
//! | [`hash`] | BLAKE3 under a domain, plain and keyed |
//! | [`secret`] | zeroizing secrets, HKDF-SHA256 derivation |
//! | [`signature`] | Ed25519 under the ZIP-215 rules, single and batch |
//! | [`aead`] | ChaCha20-Poly1305 |
//! | [`padding`] | Padmé padding, which hides lengths |
//! | [`random`] | the operating system's random numbers |
//! | [`encoding`] | canonical borsh with a size limit |
//!
//! This crate keeps nothing: there is no state that a crash could damage.

#![forbid(unsafe_code)]

pub mod aead;
pub mod encoding;
pub mod hash;
pub mod padding;
pub mod random;
pub mod secret;
pub mod signature;
