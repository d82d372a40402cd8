//! Seeds of the records of key epochs, and of the files of grants.

use sealbook_ledger::{MAX_GRANTS, RootFile, RootGrant};

use super::{Group, named, to_bytes};
use crate::fixtures::network::network;

pub(super) fn key_records() -> Group {
    let record = &network().record;
    let mut bare = record.clone();
    bare.bundles.clear();
    bare.threshold = 0;
    bare.shares.clear();
    let mut other_version = bare.clone();
    other_version.version += 1;
    vec![
        named("refused-version", other_version.encode()),
        named("full", record.encode()),
        named("no-shares", bare.encode()),
    ]
}

/// A file with the grants of the fixtures' record, and with one of an older key epoch.
pub(super) fn root_bytes() -> Vec<u8> {
    let grants: Vec<RootGrant> = network().record.grants().collect();
    let mut older = grants.clone();
    older.truncate(1);
    for grant in &mut older {
        grant.key_epoch = 0;
    }
    RootFile::of(grants.into_iter().chain(older)).encode()
}

pub(super) fn root_files() -> Group {
    let mut other_version = RootFile::default().encode();
    if let Some(version) = other_version.first_mut() {
        *version += 1;
    }
    let grant = network().record.grants().next().expect("a grant");
    let numbered = |key_epoch: usize| RootGrant {
        key_epoch: u32::try_from(key_epoch).expect("few grants"),
        sealed: Vec::new(),
        ..grant.clone()
    };
    let full = RootFile::of((0..MAX_GRANTS).map(numbered)).encode();
    // The version and the number of grants, then the grants.
    let (version, _) = full.split_at(2);
    let (_, grants) = full.split_at(6);
    let count = u32::try_from(MAX_GRANTS + 1)
        .expect("few grants")
        .to_le_bytes();
    let surplus = [version, &count, grants, &to_bytes(&numbered(MAX_GRANTS))].concat();
    vec![
        named("refused-version", other_version),
        named("refused-surplus", surplus),
        named("empty", RootFile::default().encode()),
        named("grants", root_bytes()),
        named("as-many-as-may-be", full),
    ]
}
