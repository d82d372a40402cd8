//! Target: keys, statements and words of holders, as modules and the owners of keys read them.

use borsh::BorshDeserialize;
use sealbook_execution::custody::{HolderIdentity, MAX_FILE_BYTES, ModuleKey};
use sealbook_execution::rotation::ModuleOrder;
use sealbook_execution::shared_key::{MAX_SHARE_FILE_BYTES, assemble, identity_of};
use sealbook_execution::statement::ModuleStatement;
use sealbook_primitives::hash::Digest;
use zeroize::Zeroizing;

use crate::exact::neighbours_are_refused;
use crate::key_record;

/// What the first byte says the rest is.
pub(crate) const IDENTITY: u8 = 0;
pub(crate) const KEY_FILE: u8 = 1;
pub(crate) const STATEMENT: u8 = 2;
pub(crate) const SHARE_FILE: u8 = 3;
pub(crate) const WORD: u8 = 4;

/// Something of a holder's: the first byte says what.
pub fn holder(data: &[u8]) -> bool {
    match data.split_first() {
        Some((&IDENTITY, bytes)) => identity(bytes),
        Some((&KEY_FILE, bytes)) => key_file(bytes),
        Some((&STATEMENT, bytes)) => statement(bytes),
        Some((&SHARE_FILE, bytes)) => share_file(bytes),
        Some((&WORD, bytes)) => word(bytes),
        _ => false,
    }
}

fn identity(bytes: &[u8]) -> bool {
    let Ok(identity) = HolderIdentity::decode(bytes) else {
        return false;
    };
    assert_eq!(identity.encode(), bytes, "an identity with two encodings");
    neighbours_are_refused(bytes, |bytes| HolderIdentity::decode(bytes).is_ok());
    true
}

fn key_file(bytes: &[u8]) -> bool {
    let Ok(key) = ModuleKey::read(bytes) else {
        return false;
    };
    assert!(bytes.len() <= MAX_FILE_BYTES);
    assert!(identity(key.identity()));
    neighbours_are_refused(bytes, |bytes| ModuleKey::read(bytes).is_ok());
    // What it signs is its own.
    let network = Digest([3; 32]);
    let signed = ModuleStatement::sign(&key, network, Digest([4; 32])).encode();
    let verified = ModuleStatement::verify(&signed, key.identity(), &network);
    assert_eq!(verified, Some(Digest([4; 32])));
    true
}

fn statement(bytes: &[u8]) -> bool {
    let Some(statement) = ModuleStatement::decode(bytes) else {
        return false;
    };
    assert_eq!(statement.encode(), bytes, "a statement with two encodings");
    neighbours_are_refused(bytes, |bytes| ModuleStatement::decode(bytes).is_some());
    // A key that it is not signed with: it may be read, and says nothing.
    let (_, stranger) = ModuleKey::generate();
    let verified = ModuleStatement::verify(bytes, &stranger, &statement.network);
    assert_eq!(verified, None);
    true
}

fn share_file(bytes: &[u8]) -> bool {
    if identity_of(bytes).is_none() {
        return false;
    }
    assert!(bytes.len() <= MAX_SHARE_FILE_BYTES);
    neighbours_are_refused(bytes, |bytes| identity_of(bytes).is_some());
    // Alone or twice it makes no key: nobody finds shares that fit a public key.
    let file = || Zeroizing::new(bytes.to_vec());
    assert!(assemble(&[file()]).is_err());
    assert!(assemble(&[file(), file()]).is_err());
    true
}

fn word(bytes: &[u8]) -> bool {
    let Ok(order) = ModuleOrder::try_from_slice(bytes) else {
        return false;
    };
    let encoded = borsh::to_vec(&order).unwrap_or_default();
    assert_eq!(encoded, bytes, "a module's word with two encodings");
    if let ModuleOrder::Offer(record) = &order {
        key_record(record);
    }
    true
}
