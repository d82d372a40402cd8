//! Tokens: one certificate for whoever has one, for what it says and for nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;

use common::{DAY_MS, Fixture, NETWORK, NOW_MS, fixture};
use sealbook_authority::{
    Authority, AuthorityError, ISSUING_VALIDITY_MS, MESSAGE_BYTES_MAX, Promised, Redeemed, Token,
    TokenError, certificate_request,
};
use sealbook_identity::{CertificateDer, Lei, Role, Usage, fingerprint, verify_chain};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{Secret32, SecretBytes};
use sealbook_primitives::signature::SigningKey;

fn lei() -> Lei {
    "5493001KJTIIGC8Y1R12".parse().unwrap()
}

fn promised() -> Promised {
    Promised {
        network: String::new(),
        name: "alpha".to_owned(),
        role: Role::Firm,
        organisation: "Alpha Securities (example)".to_owned(),
        lei: Some(lei()),
        until_ms: NOW_MS + DAY_MS,
        days: 30,
        root: Digest::ZERO,
    }
}

fn request_of(promised: &Promised, seed: &Secret32) -> String {
    certificate_request(
        &promised.name,
        &promised.organisation,
        promised.role,
        promised.lei,
        NETWORK,
        seed,
    )
    .unwrap()
}

impl Fixture {
    fn token(&self) -> Token {
        self.authority.make_token(promised()).unwrap()
    }

    fn redeem(&self, message: &[u8], now_ms: u64) -> Option<Redeemed> {
        self.authority.redeem(message, now_ms).unwrap()
    }

    /// What becomes of a request under a token.
    fn attempt(
        &self,
        token: &Token,
        request: &str,
        now_ms: u64,
    ) -> Result<Vec<CertificateDer<'static>>, TokenError> {
        let sealed = token.request(request).unwrap();
        let redeemed = self.redeem(&sealed, now_ms).unwrap();
        let told = token.answered(&sealed, request, &redeemed.answer, now_ms);
        assert_eq!(told.is_err(), redeemed.refused.is_some());
        told
    }

    fn issued(&self) -> usize {
        self.authority.inventory().unwrap().len()
    }
}

/// A token as it travels in a file.
fn carried(token: &Token) -> Token {
    Token::read(&token.to_text()).ok().unwrap()
}

#[test]
fn a_token_gives_one_certificate_and_the_same_one_again() {
    let fixture = fixture();
    let token = carried(&fixture.token());
    assert_eq!(token.promised.network, NETWORK);
    assert_eq!(token.promised.root, fingerprint(fixture.authority.root()));
    let seed = Secret32::random();
    let request = request_of(&token.promised, &seed);
    let chain = fixture.attempt(&token, &request, NOW_MS).unwrap();
    let roots = [fixture.authority.root().clone()];
    let holder = verify_chain(&roots, &chain, NETWORK, NOW_MS, Usage::Member).unwrap();
    assert_eq!((holder.name.as_str(), holder.role), ("alpha", Role::Firm));
    assert_eq!(holder.lei, Some(lei()));
    assert_eq!(holder.key, SigningKey::from_secret(&seed).verifying_key());
    assert_eq!(holder.not_after_ms, NOW_MS + 30 * DAY_MS);
    // Whoever lost the answer asks again, and nothing more is issued.
    let again = fixture.attempt(&token, &request, NOW_MS + 5_000).unwrap();
    assert_eq!(again, chain);
    assert_eq!(fixture.issued(), 1);
    // Another key gets nothing.
    let other = request_of(&token.promised, &Secret32::random());
    let told = fixture.attempt(&token, &other, NOW_MS).unwrap_err();
    assert!(told.to_string().contains("used for another"), "{told}");
    assert_eq!(fixture.issued(), 1);
    // Also after the token has ended, which gives nothing new.
    let late = NOW_MS + DAY_MS + 1;
    assert_eq!(fixture.attempt(&token, &request, late).unwrap(), chain);
    let unused = fixture.token();
    let told = fixture.attempt(&unused, &request, late).unwrap_err();
    assert!(told.to_string().contains("ended"), "{told}");
    assert_eq!(fixture.issued(), 1);
}

#[test]
fn of_two_keys_at_once_one_is_certified() {
    let fixture = fixture();
    for _ in 0..20 {
        let before = fixture.issued();
        let token = fixture.token();
        let certified = std::thread::scope(|scope| {
            let attempts = [(); 4].map(|()| {
                let request = request_of(&token.promised, &Secret32::random());
                let sealed = token.request(&request).unwrap();
                let path = fixture.path.clone();
                scope.spawn(move || {
                    // Each with an authority of its own, as another process has it.
                    let authority = Authority::open(&path).unwrap();
                    let redeemed = authority.redeem(&sealed, NOW_MS).unwrap().unwrap();
                    redeemed.refused.is_none()
                })
            });
            let certified = attempts.map(|attempt| attempt.join().unwrap());
            certified.into_iter().filter(|certified| *certified).count()
        });
        assert_eq!((certified, fixture.issued() - before), (1, 1));
    }
}

#[test]
fn after_a_crash_the_same_request_is_certified_and_no_other() {
    let fixture = fixture();
    let token = fixture.token();
    let request = request_of(&token.promised, &Secret32::random());
    let _ = fixture.attempt(&token, &request, NOW_MS).unwrap();
    let part = |extension: &str| {
        let name = format!("{}.{extension}", token.id());
        fixture.path.join("tokens").join(name)
    };
    // It was noted that the token is used, and no more.
    fs::remove_file(part("pem")).unwrap();
    let other = request_of(&token.promised, &Secret32::random());
    assert!(fixture.attempt(&token, &other, NOW_MS).is_err());
    assert_eq!(fixture.issued(), 1);
    let _ = fixture.attempt(&token, &request, NOW_MS).unwrap();
    assert_eq!(fixture.issued(), 2);
    // What was written is noticed where it is not whole, and the token stays unused.
    fs::write(part("token"), "sealbook-token 1\n").unwrap();
    let sealed = token.request(&request).unwrap();
    assert!(fixture.authority.redeem(&sealed, NOW_MS).is_err());
    // A token that is taken back is one that never was.
    fs::remove_file(part("token")).unwrap();
    assert!(fixture.redeem(&sealed, NOW_MS).is_none());
}

#[test]
fn what_the_token_does_not_say_is_refused_and_leaves_it_unused() {
    let fixture = fixture();
    let token = fixture.token();
    let seed = Secret32::random();
    let good = promised();
    let with = |change: &dyn Fn(&mut Promised)| {
        let mut other = good.clone();
        change(&mut other);
        request_of(&other, &seed)
    };
    let elsewhere = certificate_request(
        &good.name,
        &good.organisation,
        good.role,
        good.lei,
        "other",
        &seed,
    )
    .unwrap();
    for (request, word) in [
        (with(&|one| one.name = "beta".to_owned()), "name"),
        (with(&|one| one.role = Role::Admin), "role"),
        (
            with(&|one| one.organisation = "Alpha".to_owned()),
            "organisation",
        ),
        (with(&|one| one.lei = None), "organisation"),
        (elsewhere, "network"),
        ("no request".to_owned(), "request"),
        (String::new(), "request"),
    ] {
        let told = fixture.attempt(&token, &request, NOW_MS).unwrap_err();
        assert!(told.to_string().contains(word), "{word}: {told}");
        assert!(!told.hint().is_empty());
    }
    let request = request_of(&good, &seed);
    assert!(
        fixture
            .attempt(&token, &request, NOW_MS + 2 * DAY_MS)
            .is_err()
    );
    assert_eq!(fixture.issued(), 0);
    let _ = fixture.attempt(&token, &request, NOW_MS).unwrap();
}

#[test]
fn strangers_hear_nothing_and_what_is_altered_does_not_open() {
    let fixture = fixture();
    let (token, other) = (fixture.token(), fixture.token());
    let request = request_of(&token.promised, &Secret32::random());
    let sealed = token.request(&request).unwrap();
    for place in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[place] ^= 1;
        assert!(fixture.redeem(&altered, NOW_MS).is_none(), "byte {place}");
    }
    for length in 0..sealed.len() {
        assert!(fixture.redeem(&sealed[..length], NOW_MS).is_none());
    }
    let mut swapped = sealed.clone();
    swapped[1..17].copy_from_slice(&other.request(&request).unwrap()[1..17]);
    assert!(fixture.redeem(&swapped, NOW_MS).is_none());
    assert!(
        fixture
            .redeem(&vec![1; MESSAGE_BYTES_MAX + 1], NOW_MS)
            .is_none()
    );
    assert!(token.request(&"x".repeat(MESSAGE_BYTES_MAX)).is_err());
    assert_eq!(fixture.issued(), 0);

    let answer = fixture.redeem(&sealed, NOW_MS).unwrap().answer;
    let told = |request_sealed: &[u8], answer: &[u8]| {
        let told = token.answered(request_sealed, &request, answer, NOW_MS);
        matches!(told, Err(TokenError::DoesNotOpen))
    };
    assert!(!told(&sealed, &answer));
    for place in 0..answer.len() {
        let mut altered = answer.clone();
        altered[place] ^= 1;
        assert!(told(&sealed, &altered), "byte {place}");
    }
    for length in 0..answer.len() {
        assert!(told(&sealed, &answer[..length]));
    }
    // An answer is to one request alone.
    assert!(told(&token.request(&request).unwrap(), &answer));
    // Neither certificate nor names travel in the clear, and the secret stands in no file but its own.
    for bytes in [&sealed, &answer] {
        let found = bytes
            .windows(5)
            .any(|window| window == b"alpha" || window == b"BEGIN");
        assert!(!found);
    }
    let text = String::from_utf8(token.to_text().expose().to_vec()).unwrap();
    let (_, secret) = text.trim_end().rsplit_once(' ').unwrap();
    assert_eq!(secret.len(), 64);
    for entry in fs::read_dir(fixture.path.join("tokens")).unwrap() {
        let path = entry.unwrap().path();
        let kept = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        assert!(!kept.contains(secret), "{path:?}");
    }
}

#[test]
fn another_authority_cannot_answer_for_the_one_in_the_token() {
    let (fixture, stranger) = (fixture(), fixture());
    let token = fixture.token();
    let request = request_of(&token.promised, &Secret32::random());
    // The stranger got hold of the token's files, so that it can seal answers, and has no key of the authority.
    let folder = stranger.path.join("tokens");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(fixture.path.join("tokens")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let sealed = token.request(&request).unwrap();
    let answer = stranger.redeem(&sealed, NOW_MS).unwrap().answer;
    let told = token.answered(&sealed, &request, &answer, NOW_MS);
    assert!(
        matches!(told, Err(TokenError::WrongCertificate(_))),
        "{told:?}"
    );
}

#[test]
fn tokens_are_made_for_lawful_names_and_within_the_authoritys_time() {
    let fixture = fixture();
    let with = |change: &dyn Fn(&mut Promised)| {
        let mut other = promised();
        change(&mut other);
        fixture.authority.make_token(other).map(|token| token.id())
    };
    assert!(with(&|_| ()).is_ok());
    let name = with(&|one| one.name = "Alpha!".to_owned());
    assert!(matches!(name, Err(AuthorityError::Name(_))));
    let organisation = with(&|one| one.organisation = "A\nlei -".to_owned());
    assert!(matches!(organisation, Err(AuthorityError::Name(_))));
    let late = with(&|one| one.until_ms = NOW_MS + ISSUING_VALIDITY_MS);
    assert!(matches!(late, Err(AuthorityError::Validity { .. })));
    let long = with(&|one| one.days = u32::MAX);
    assert!(matches!(long, Err(AuthorityError::Validity { .. })));
    fs::remove_file(fixture.path.join("issuing-firm.key")).unwrap();
    let authority = Authority::open(&fixture.path).unwrap();
    let absent = authority.make_token(promised()).err();
    assert!(matches!(
        absent,
        Some(AuthorityError::KeyAbsent { role: Role::Firm })
    ));
}

/// A token as this version writes it, and a request that was sealed under it.
const PINNED: &str = "sealbook-token 1\n\
    network demo\n\
    name alpha\n\
    role firm\n\
    organisation Alpha Securities (example)\n\
    lei 5493001KJTIIGC8Y1R12\n\
    until 1795219200000\n\
    days 30\n\
    root 0707070707070707070707070707070707070707070707070707070707070707\n\
    id 000102030405060708090a0b0c0d0e0f\n\
    secret 0808080808080808080808080808080808080808080808080808080808080808\n";
const SEALED: &str = "01000102030405060708090a0b0c0d0e0f9194ed3ff85db5b38d105b1adcc2517e0a0090d80afea5a276ef7460d9ceead29dcef28db2e7";
/// An answer to it.
const ANSWER: &str = "01b798bbe66c09d3e523245b0bd3bb18c5d956c6ba0d47a6501ed66e8917c4c559ad6a2e009c96fc72e13940519c91a65f342dca062306895199de1ef4a91ecf4d39b4bc8001a79efc1b3e8243f23e035f1469b80929b7f1b70e3fd2d23c";

#[test]
fn the_text_and_the_seal_are_pinned() {
    let read = |text: &str| Token::read(&SecretBytes::copy_of(text.as_bytes()));
    let token = read(PINNED).ok().unwrap();
    assert_eq!(token.to_text().expose(), PINNED.as_bytes());
    for altered in [
        String::new(),
        PINNED.replace("sealbook-token 1", "sealbook-token 2"),
        PINNED.replace("role firm", "role king"),
        PINNED.replace("0a0b", "0A0B"),
        PINNED.replace("days 30", "days 030"),
        PINNED.replace("name alpha\n", ""),
        PINNED.trim_end().to_owned(),
        format!("{PINNED}\n"),
        PINNED.replace("0808\n", "08\n"),
    ] {
        assert!(
            matches!(read(&altered), Err(TokenError::Malformed)),
            "{altered}"
        );
    }
    let fixture = fixture();
    let folder = fixture.path.join("tokens");
    fs::create_dir(&folder).unwrap();
    let (lines, _) = PINNED.split_once("id ").unwrap();
    fs::write(folder.join(format!("{}.token", token.id())), lines).unwrap();
    let key = folder.join(format!("{}.key", token.id()));
    sealbook_identity::files::write_private_key(&key, &Secret32::new([8; 32])).unwrap();
    let bytes = |digits: &str| -> Vec<u8> {
        let pairs = digits.as_bytes().chunks(2);
        let text = pairs.map(|pair| std::str::from_utf8(pair).unwrap());
        text.map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    };
    let sealed = bytes(SEALED);
    let redeemed = fixture.redeem(&sealed, NOW_MS).unwrap();
    let why = redeemed.refused.unwrap();
    let shown: String = redeemed
        .answer
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let told = token.answered(&sealed, "no request", &bytes(ANSWER), NOW_MS);
    assert!(
        matches!(told, Err(TokenError::Refused(said)) if said == why),
        "{shown}"
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_token_or_none(
        before in 0..PINNED.len(),
        text in "[ -~\n]{0,40}",
        after in 0..PINNED.len(),
    ) {
        let text = format!("{}{text}{}", &PINNED[..before], &PINNED[after..]);
        if let Ok(token) = Token::read(&SecretBytes::copy_of(text.as_bytes())) {
            assert_eq!(token.to_text().expose(), text.as_bytes());
        }
    }
}
