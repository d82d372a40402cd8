//! Seeds of what holders have and say.

use sealbook_execution::custody::ModuleKey;
use sealbook_execution::rotation::ModuleOrder;
use sealbook_execution::statement::ModuleStatement;
use sealbook_primitives::hash::Digest;

use super::{Group, named, to_bytes};
use crate::fixtures::network::network;
use crate::holders::{IDENTITY, KEY_FILE, SHARE_FILE, STATEMENT, WORD};

pub(super) fn holders() -> Group {
    let kind = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let file = [&[3_u8][..], &[11; 32]].concat();
    let key = ModuleKey::read(&file).expect("a key file");
    let statement = ModuleStatement::sign(&key, Digest([5; 32]), Digest([6; 32])).encode();
    let other_version = [&[9], statement.get(1..).unwrap_or_default()].concat();
    let commitments = vec![Digest([7; 32]), Digest([8; 32]), Digest([9; 32])];
    let share = [&[1_u8, 2][..], &[13; 32]].concat();
    let shared = to_bytes(&(1_u8, 2_u8, key.identity().to_vec(), commitments, share));
    let offer = ModuleOrder::Offer(network().record.encode());
    let acknowledge = ModuleOrder::Acknowledge(network().record.digest());
    vec![
        named("identity", kind(IDENTITY, key.identity())),
        named("refused-identity", kind(IDENTITY, &[0; 1_300])),
        named("key-file", kind(KEY_FILE, &file)),
        named("refused-key-file", kind(KEY_FILE, &[2; 33])),
        named("statement", kind(STATEMENT, &statement)),
        named("refused-statement", kind(STATEMENT, &other_version)),
        named("share-file", kind(SHARE_FILE, &shared)),
        named("offer", kind(WORD, &to_bytes(&offer))),
        named("acknowledge", kind(WORD, &to_bytes(&acknowledge))),
    ]
}
