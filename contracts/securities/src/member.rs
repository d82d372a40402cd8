//! Members of the network as the books know them: who they are, by which certificate and key.

use core::fmt;
use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::{ValueError, ValueKind};
use crate::lei::Lei;
use crate::text::{LongName, MemberName};

/// What a member is. The encoding is the place in this list.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Role {
    /// The operator: an exchange or a central securities depository.
    Admin,
    /// A bank or broker.
    Firm,
    /// A company whose securities are in the books.
    Issuer,
    /// A supervisor.
    Regulator,
    /// Whoever issues money tokens of a currency.
    CashAgent,
    /// Whoever signs outside values.
    Oracle,
    /// A node of the network.
    Node,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 7] = [
        Self::Admin,
        Self::Firm,
        Self::Issuer,
        Self::Regulator,
        Self::CashAgent,
        Self::Oracle,
        Self::Node,
    ];

    /// The role's name in certificates and policies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Firm => "firm",
            Self::Issuer => "issuer",
            Self::Regulator => "regulator",
            Self::CashAgent => "cash-agent",
            Self::Oracle => "oracle",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| ValueError::new(ValueKind::Role, text))
    }
}

/// Somebody who is to become a member.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewMember {
    /// The short name, unique in the network.
    pub name: MemberName,
    /// The role.
    pub role: Role,
    /// The organisation's name.
    pub organisation: LongName,
    /// The organisation's LEI, if it has one.
    pub lei: Option<Lei>,
    /// The fingerprint of the certificate, unique in the network.
    pub certificate: [u8; 32],
    /// The public key that signs the member's orders.
    pub key: [u8; 32],
}

impl NewMember {
    /// Checks texts as they come from a certificate.
    ///
    /// # Errors
    /// [`ValueError`] for the first of them that is wrong.
    pub fn parse(
        name: &str,
        role: &str,
        organisation: &str,
        lei: Option<&str>,
        certificate: [u8; 32],
        key: [u8; 32],
    ) -> Result<Self, ValueError> {
        Ok(Self {
            name: MemberName::new(name)?,
            role: role.parse()?,
            organisation: LongName::new(organisation)?,
            lei: lei.map(Lei::new).transpose()?,
            certificate,
            key,
        })
    }
}

/// A member: a row of the members' table.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// The short name.
    pub name: MemberName,
    /// The role.
    pub role: Role,
    /// The organisation's name.
    pub organisation: LongName,
    /// The organisation's LEI.
    pub lei: Option<Lei>,
    /// The fingerprint of the certificate that it was admitted under. Which others it has, the caller of this crate
    /// knows.
    pub certificate: [u8; 32],
    /// The public key in that certificate.
    pub key: [u8; 32],
}

impl From<NewMember> for Member {
    fn from(new: NewMember) -> Self {
        let NewMember {
            name,
            role,
            organisation,
            lei,
            certificate,
            key,
        } = new;
        Self {
            name,
            role,
            organisation,
            lei,
            certificate,
            key,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_their_names() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        assert!("Admin".parse::<Role>().is_err());
    }

    #[test]
    fn new_members_are_checked() {
        let parse = |name, role, lei| NewMember::parse(name, role, "Alpha", lei, [1; 32], [2; 32]);
        assert!(parse("alpha", "firm", Some("HWUPKR0MPOU8FGXBT394")).is_ok());
        assert!(parse("alpha", "firm", None).is_ok());
        assert!(parse("alpha", "firm", Some("HWUPKR0MPOU8FGXBT395")).is_err());
        assert!(parse("alpha", "broker", None).is_err());
        assert!(parse("Alpha", "firm", None).is_err());
    }
}
