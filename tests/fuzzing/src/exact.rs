//! The property that all decoders share: one value, one encoding.

use borsh::{BorshDeserialize, BorshSerialize};

/// Reads exactly one value from all of `data`. What is read encodes to `data` again, and neither a shorter nor a longer
/// input is read.
pub(crate) fn exact<T: BorshSerialize + BorshDeserialize>(data: &[u8]) -> Option<T> {
    let value = T::try_from_slice(data).ok()?;
    let again = borsh::to_vec(&value).expect("what was read can be written");
    assert_eq!(again, data, "a second encoding of the same value was read");
    neighbours_are_refused(data, |bytes| T::try_from_slice(bytes).is_ok());
    Some(value)
}

/// Encodings say where they end: with a byte more or less, what was read is read no more.
pub(crate) fn neighbours_are_refused(data: &[u8], is_read: impl Fn(&[u8]) -> bool) {
    let longer = [data, &[0]].concat();
    assert!(!is_read(&longer), "a byte too many was read");
    if let Some((_, shorter)) = data.split_last() {
        assert!(
            !is_read(shorter),
            "a byte was missing, and nobody missed it"
        );
    }
}
