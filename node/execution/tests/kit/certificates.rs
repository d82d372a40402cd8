//! Certificates beside those that everybody begins with, and the orders about them.

use sealbook_identity::RevocationReason;
use sealbook_primitives::signature::SigningKey;
use sealbook_protocol::payload::{OrderBytes, RevocationTarget};
use sealbook_securities::{Code, Outcome};

use super::play::{Play, outcomes};
use super::{CREATED_MS, MEMBERS, Member, Sealed};

pub const YEAR_MS: u64 = 365 * 86_400_000;
pub const COMPROMISE: u8 = RevocationReason::KeyCompromise.code();
pub const SUPERSEDED: u8 = RevocationReason::Superseded.code();

pub fn refused(code: Code) -> [Outcome; 1] {
    [Outcome::refused(code)]
}

pub fn revoke(name: &str, reason: u8) -> Vec<OrderBytes> {
    let target = RevocationTarget::Member(name.to_owned());
    vec![OrderBytes::Revoke { target, reason }]
}

pub fn revoke_one(of: &Member, reason: u8) -> Vec<OrderBytes> {
    let target = RevocationTarget::Certificate(of.chain.clone());
    vec![OrderBytes::Revoke { target, reason }]
}

pub fn renew(chain: &[Vec<u8>]) -> Vec<OrderBytes> {
    let chain = chain.to_vec();
    vec![OrderBytes::Renew { chain }]
}

pub fn same_key(of: &Member) -> SigningKey {
    SigningKey::from_secret(&of.key.seed())
}

/// A further certificate of a member, for its own key or another.
pub fn certified(play: &Play, name: &str, key: SigningKey, end_ms: u64) -> Member {
    let (name, role, organisation) = MEMBERS.into_iter().find(|one| one.0 == name).unwrap();
    let network = &play.network;
    network.certify_key((name, role, organisation), end_ms, key)
}

pub fn again(play: &Play, name: &str) -> Member {
    let key = same_key(&play.network.members[name]);
    certified(play, name, key, CREATED_MS + 2 * YEAR_MS)
}

pub fn under_new_key(play: &Play, name: &str) -> Member {
    let end_ms = CREATED_MS + 2 * YEAR_MS;
    certified(play, name, SigningKey::generate(), end_ms)
}

pub fn sealed_by(play: &Play, by: &Member, orders: Vec<OrderBytes>) -> Sealed {
    let header = play.network.header(play.expiry());
    play.network.seal_as(by, header, orders)
}

/// Submits under any certificate.
pub fn submit_as(play: &mut Play, by: &Member, orders: Vec<OrderBytes>) -> Vec<Outcome> {
    let sealed = sealed_by(play, by, orders);
    let executed = play.step(&[&sealed.bytes], &[]);
    outcomes(&sealed, &executed)
}
