//! What a holder of a certificate may be on the network.

use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};

/// The capacity in which a certificate's holder takes part. Exactly one stands in each certificate.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Role {
    /// The operator: an exchange or central securities depository.
    Admin,
    /// A bank or broker that acts for clients.
    Firm,
    /// A listed company.
    Issuer,
    /// A supervisor, who audits everything and changes nothing.
    Regulator,
    /// A trust bank or central bank that issues and redeems money.
    CashAgent,
    /// A source of outside values that signs rates and prices.
    Oracle,
    /// A machine that takes part in ordering and serves clients; never a member.
    Node,
}

impl Role {
    /// Every role, in the order of the encoding.
    pub const ALL: [Self; 7] = [
        Self::Admin,
        Self::Firm,
        Self::Issuer,
        Self::Regulator,
        Self::CashAgent,
        Self::Oracle,
        Self::Node,
    ];

    /// The role's word in certificates, file names and on the command line.
    pub const fn word(self) -> &'static str {
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

    /// Whether the holder is a member, who signs instructions, and not a machine.
    pub const fn is_member(self) -> bool {
        !matches!(self, Self::Node)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

/// The text names none of the roles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such role; the roles are admin, firm, issuer, regulator, cash-agent, oracle and node")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.word() == text)
            .ok_or(UnknownRole)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role.to_string().parse::<Role>(), Ok(role));
            // The encoding is consensus data: one byte, the index in `ALL`.
            assert_eq!(borsh::to_vec(&role).unwrap(), [index as u8]);
        }
    }

    #[test]
    fn other_words_are_refused() {
        for word in ["", "Admin", "cash_agent", "admin ", "issuing", "-"] {
            assert_eq!(word.parse::<Role>(), Err(UnknownRole));
        }
    }
}
