//! Targets: how roots are handed out.

use std::collections::BTreeSet;

use sealbook_ledger::{
    KeyRecord, MAX_GRANTS, MAX_RECORD_BYTES, RootFile, RootGrant, opening_digest,
};

use crate::exact::neighbours_are_refused;
use crate::opening_key;

/// The record of a key epoch, and the grants that follow from it.
pub fn key_record(data: &[u8]) -> bool {
    let Ok(record) = KeyRecord::decode(data) else {
        return false;
    };
    assert!(data.len() <= MAX_RECORD_BYTES);
    assert_eq!(record.version, KeyRecord::VERSION);
    assert_eq!(record.encode(), data, "a record with two encodings");
    neighbours_are_refused(data, |bytes| KeyRecord::decode(bytes).is_ok());
    let altered = |alter: &dyn Fn(&mut KeyRecord)| {
        let mut other = record.clone();
        alter(&mut other);
        other.digest()
    };
    let digests = [
        record.digest(),
        altered(&|one| one.network.0[0] ^= 1),
        altered(&|one| one.key_epoch ^= 1),
        altered(&|one| one.public_key.push(0)),
        altered(&|one| one.roots.extend(one.bundles.first().cloned())),
        altered(&|one| one.threshold ^= 1),
    ];
    let different: BTreeSet<_> = digests.iter().collect();
    // A record without bundles has nothing that could move to the roots.
    let expected = digests.len() - usize::from(record.bundles.is_empty());
    assert_eq!(different.len(), expected);

    let opening = opening_digest(&record.public_key);
    let grants: Vec<RootGrant> = record.grants().collect();
    assert_eq!(grants.len(), record.roots.len());
    for (grant, root) in grants.iter().zip(&record.roots) {
        assert_eq!(
            (grant.network, grant.key_epoch),
            (record.network, record.key_epoch)
        );
        assert_eq!((grant.opening, grant.recipient), (opening, root.recipient));
        assert_eq!(grant.sealed, root.sealed);
    }
    check_kept(&grants);
    opening_key(&record.public_key);
    true
}

/// What a module is given of the network's roots.
pub fn root_file(data: &[u8]) -> bool {
    let Ok(file) = RootFile::decode(data) else {
        return false;
    };
    assert!(data.len() <= MAX_RECORD_BYTES);
    assert_eq!(file.encode(), data, "a file with two encodings");
    neighbours_are_refused(data, |bytes| RootFile::decode(bytes).is_ok());
    let grants = file.grants();
    assert!(grants.len() <= MAX_GRANTS);
    // What is there already is not added again.
    let mut same = file.clone();
    for grant in grants {
        same.add(grant.clone());
    }
    assert_eq!(same, file);
    check_kept(grants);
    true
}

/// Under what a file keeps a grant, once.
fn key(grant: &RootGrant) -> impl Ord + use<> {
    (grant.key_epoch, grant.opening, grant.recipient)
}

/// A file made of these grants keeps the newest, each once, and in their order.
fn check_kept(grants: &[RootGrant]) {
    let file = RootFile::of(grants.iter().cloned());
    let different: BTreeSet<_> = grants.iter().map(key).collect();
    let newest = different.len().saturating_sub(MAX_GRANTS);
    assert!(
        file.grants()
            .iter()
            .map(key)
            .eq(different.into_iter().skip(newest))
    );
    let bytes = file.encode();
    let fits = bytes.len() <= MAX_RECORD_BYTES;
    assert_eq!(RootFile::decode(&bytes).is_ok(), fits);
}
