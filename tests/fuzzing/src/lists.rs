//! Target: revocation lists.

use sealbook_identity::revocation::{LIST_BYTES_MAX, LIST_ENTRIES_MAX, LISTS_MAX};
use sealbook_identity::{
    Certificate, RevocationError, RevocationList, RevocationReason, Revocations, pem,
};

use crate::exact::neighbours_are_refused;
use crate::fixtures::people::{NETWORK, NOW_MS, Signer, authorities, people, signed};

/// A revocation list: as it stands, as the signed part of one, which is signed here with the issuing authorities' known
/// key, and as a file with lists and authorities.
pub fn revocation_list(data: &[u8]) -> bool {
    let whole = check_list(data);
    let part = check_list(&signed(data, Signer::Issuing));
    let file = check_file(data);
    whole || part || file
}

fn verify(der: &[u8], now_ms: u64) -> Result<RevocationList, RevocationError> {
    RevocationList::verify(der, authorities(), &people().roots, NETWORK, now_ms)
}

fn check_list(der: &[u8]) -> bool {
    let list = match verify(der, NOW_MS) {
        Ok(list) => list,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
            return false;
        }
    };
    assert!(der.len() <= LIST_BYTES_MAX && list.len() <= LIST_ENTRIES_MAX);
    assert!(list.this_update_ms() <= NOW_MS);
    assert_eq!(list.revoked(&[]).is_some(), list.revoked(&[0]).is_some());
    if let Some(before_ms) = list.this_update_ms().checked_sub(1) {
        assert!(verify(der, before_ms).is_err());
    }
    let end_ms = list.next_update_ms();
    assert!(!list.is_out_of_date(end_ms) && list.is_out_of_date(end_ms.saturating_add(1)));
    neighbours_are_refused(der, |bytes| verify(bytes, NOW_MS).is_ok());
    let of = |authorities: &[Certificate], roots: &[Certificate], network| {
        RevocationList::verify(der, authorities, roots, network, NOW_MS)
    };
    let roots = &people().roots;
    assert_eq!(of(&[], roots, NETWORK), Err(RevocationError::NoAuthority));
    assert!(of(authorities(), &[], NETWORK).is_err());
    assert!(of(authorities(), roots, "elsewhere").is_err());
    // The signature is the end of the list.
    let mut altered = der.to_vec();
    if let Some(byte) = altered.last_mut() {
        *byte ^= 0x10;
    }
    assert_eq!(
        verify(&altered, NOW_MS),
        Err(RevocationError::BadSignature { role: list.role() })
    );
    for reason in RevocationReason::ALL {
        assert_eq!(RevocationReason::from_code(reason.code()), Some(reason));
    }
    let known = Revocations::new(vec![list.clone()]).expect("one list");
    assert_eq!(known.replace(vec![list.clone()]), Ok(false));
    assert_eq!(known.lists(), [list]);
    true
}

fn check_file(data: &[u8]) -> bool {
    let Ok((lists, authorities)) = pem::lists_from_bytes(data) else {
        return false;
    };
    assert!(lists.len() <= LISTS_MAX && authorities.len() <= LISTS_MAX);
    let roots = &people().roots;
    let mut read = false;
    for list in &lists {
        read |= RevocationList::verify(list, &authorities, roots, NETWORK, NOW_MS).is_ok();
    }
    // What is written is what was read, list by list after its authority.
    let pairs: Vec<_> = authorities.into_iter().zip(lists).collect();
    if let Ok(text) = pem::lists_to_pem(&pairs)
        && !pairs.is_empty()
    {
        let again = pem::lists_from_bytes(text.as_bytes()).expect("what was written");
        let (authorities, lists): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        assert_eq!(again, (lists, authorities));
    }
    read
}
