//! Which certificates end soon, and with which authorities: what is renewed in time stops nobody.

use std::collections::BTreeMap;

use sealbook_identity::{Role, chain_end_ms};

use crate::{Authority, AuthorityError, Issued, inventory};

/// How a certificate stands at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is valid, and the last of its holder.
    Valid,
    /// It ends soon, and its holder has no later one.
    EndsSoon,
    /// It ended not long ago, and its holder has no later one.
    Ended,
    /// It ended long ago, and its holder has no later one: who wanted another would have said so.
    Past,
    /// Its holder has a later one.
    Renewed,
    /// It was revoked.
    Revoked,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Valid,
        Self::EndsSoon,
        Self::Ended,
        Self::Past,
        Self::Renewed,
        Self::Revoked,
    ];

    /// In one word, or two.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::EndsSoon => "ends-soon",
            Self::Ended => "ended",
            Self::Past => "past",
            Self::Renewed => "renewed",
            Self::Revoked => "revoked",
        }
    }
}

/// For how long what has ended is worth a word.
const ENDED_MS: u64 = 90 * 86_400_000;

/// How each of these, oldest first, stands at `now_ms`, where soon is within `soon_ms`. Holders are told apart by name and
/// role; the last that was issued to one is the one that it uses.
pub fn standings(issued: &[Issued], now_ms: u64, soon_ms: u64) -> Vec<Standing> {
    let holder = |one: &Issued| (one.name.clone(), one.role);
    let mut last: BTreeMap<(String, Role), usize> = BTreeMap::new();
    for (place, one) in issued.iter().enumerate() {
        if one.revoked.is_none() {
            last.insert(holder(one), place);
        }
    }
    let of = |(place, one): (usize, &Issued)| {
        if one.revoked.is_some() {
            Standing::Revoked
        } else if last.get(&holder(one)).is_some_and(|last| *last > place) {
            Standing::Renewed
        } else if one.not_after_ms.saturating_add(ENDED_MS) < now_ms {
            Standing::Past
        } else if one.not_after_ms < now_ms {
            Standing::Ended
        } else if one.not_after_ms < now_ms.saturating_add(soon_ms) {
            Standing::EndsSoon
        } else {
            Standing::Valid
        }
    };
    issued.iter().enumerate().map(of).collect()
}

impl Authority {
    /// The last moments of the root (without a role) and of the issuing authorities, milliseconds since 1970 (UTC).
    ///
    /// # Errors
    /// A certificate cannot be read.
    pub fn ends(&self) -> Result<Vec<(Option<Role>, u64)>, AuthorityError> {
        let issuing = self.issuing.iter();
        let issuing = issuing.map(|(role, one)| (Some(*role), &one.certificate));
        let all = std::iter::once((None, self.root())).chain(issuing);
        all.map(|(role, certificate)| {
            let end_ms = chain_end_ms(std::slice::from_ref(certificate));
            Ok((role, end_ms.map_err(AuthorityError::SelfCheck)?))
        })
        .collect()
    }

    /// Until when the last revocation lists are in force, milliseconds since 1970 (UTC), by role.
    ///
    /// # Errors
    /// The inventory cannot be read.
    pub fn lists_end(&self) -> Result<Vec<(Role, u64)>, AuthorityError> {
        let known = inventory::read(&self.inventory_path())?;
        let end = |role| Some((role, known.next_update_ms(role)?));
        Ok(Role::ALL.into_iter().filter_map(end).collect())
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use sealbook_identity::{RevocationReason, revocation::Revoked};

    use super::*;

    #[test]
    fn only_the_last_of_a_holder_is_worth_a_warning() {
        let issued = |name: &str, role, not_after_ms, is_revoked: bool| Issued {
            name: name.to_owned(),
            role,
            serial: String::new(),
            not_after_ms,
            revoked: is_revoked.then_some(Revoked {
                revoked_ms: 1,
                reason: RevocationReason::Superseded,
            }),
        };
        let now = 100 + ENDED_MS;
        let issued =
            |name, role, end: u64, is_revoked| issued(name, role, end + ENDED_MS, is_revoked);
        let all = [
            (issued("a", Role::Firm, 99, false), Standing::Renewed),
            (issued("a", Role::Firm, 700, false), Standing::Renewed),
            (issued("a", Role::Issuer, 99, false), Standing::Ended),
            (issued("a", Role::Firm, 300, false), Standing::Valid),
            (issued("b", Role::Firm, 100, false), Standing::EndsSoon),
            (issued("b", Role::Firm, 400, true), Standing::Revoked),
            (issued("c", Role::Firm, 149, false), Standing::EndsSoon),
            (issued("d", Role::Firm, 150, false), Standing::Valid),
        ];
        let (issued, expected): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        assert_eq!(standings(&issued, now, 50), expected);
        let long_ago = standings(&issued, now + ENDED_MS, 50);
        assert_eq!(long_ago[1..3], [Standing::Renewed, Standing::Past]);
    }
}
