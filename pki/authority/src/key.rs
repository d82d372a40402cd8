//! A signing key in the form that the certificate encoder wants.
//!
//! INVARIANT: the seed is kept in wiped memory. The encoder's own key is made for one signature and
//! its encoding wiped afterwards; ring's expanded copy lives on the stack for that moment and is
//! beyond our reach.

use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use sealbook_identity::pem::seed_to_pkcs8;
use sealbook_primitives::{
    secret::Secret32,
    signature::{SigningKey as MemberKey, VerifyingKey},
};
use zeroize::Zeroize as _;

/// An Ed25519 key that signs certificates or requests.
pub(crate) struct SeedKey {
    seed: Secret32,
    public: VerifyingKey,
}

impl SeedKey {
    pub(crate) fn new(seed: Secret32) -> Self {
        let public = MemberKey::from_secret(&seed).verifying_key();
        Self { seed, public }
    }

    pub(crate) const fn seed(&self) -> &Secret32 {
        &self.seed
    }
}

impl PublicKeyData for SeedKey {
    fn der_bytes(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for SeedKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let der = seed_to_pkcs8(&self.seed);
        let mut pair = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(der.expose()),
            &PKCS_ED25519,
        )?;
        let signature = pair.sign(message);
        pair.zeroize();
        signature
    }
}

/// An applicant's public key.
pub(crate) struct PublicKey(pub(crate) VerifyingKey);

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}
