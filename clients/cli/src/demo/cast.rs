//! Who takes part: the five companies are real, everybody else is plainly made up.

use sealbook_identity::{Lei, Role};
use sealbook_securities::{AccountId, LongName, MemberName};

use crate::demo::data::{Data, Share};
use crate::error::{CliError, Result};
use crate::members::Enrolment;

/// The cash agent.
pub const BANK: &str = "bank";
/// The regulator.
pub const REGULATOR: &str = "regulator";
/// The operator.
pub const ADMIN: &str = "admin";

/// Short name and clients of each firm; the first leads the offering.
const FIRMS: [(&str, [&str; 4]); 4] = [
    (
        "alder",
        [
            "Amelia Sample",
            "Bruno Sample",
            "Chiyo Sample",
            "Sample Pension Fund One",
        ],
    ),
    (
        "birch",
        [
            "Dana Sample",
            "Emil Sample",
            "Fumiko Sample",
            "Sample Pension Fund Two",
        ],
    ),
    (
        "hazel",
        [
            "Greta Sample",
            "Hugo Sample",
            "Ines Sample",
            "Sample Insurance One",
        ],
    ),
    (
        "maple",
        [
            "Jonas Sample",
            "Keiko Sample",
            "Lena Sample",
            "Sample Insurance Two",
        ],
    ),
];

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The firm's own.
    House,
    /// A client's.
    Client,
    /// Where the offered shares wait for the underwriters.
    Offering,
}

/// A firm's account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// The firm that keeps it, by its place in [`Cast::firms`].
    pub firm: usize,
    /// Whose it is.
    pub holder: LongName,
    /// What it is for.
    pub purpose: Purpose,
}

/// Everybody.
#[derive(Debug, Clone)]
pub struct Cast {
    /// Short names of the firms.
    pub firms: Vec<MemberName>,
    /// The firms' accounts.
    pub accounts: Vec<Account>,
    /// Short names of the issuers, in the order of the shares.
    pub issuers: Vec<MemberName>,
    /// The issues' treasury accounts, in the order of the shares.
    pub treasuries: Vec<AccountId>,
}

fn own<T, E>(result: Result<T, E>) -> Result<T> {
    result.map_err(|_| CliError::new("the demo's own names are not of their form"))
}

fn titled(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn firm_organisation(name: &str) -> String {
    format!("{} Securities (sample)", titled(name))
}

/// An LEI that anybody sees is none of the register's, with correct check digits (ISO 17442).
fn sample_lei(name: &str) -> Result<Lei> {
    own(Lei::from_base(&format!(
        "SAMPLE00{:0>10}",
        name.to_uppercase()
    )))
}

/// The first word of the company's name; IBM goes by its ticker.
fn issuer_name(share: &Share) -> String {
    let word = share
        .company
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_lowercase();
    if share.company.split(' ').count() > 2 {
        share.ticker.to_lowercase()
    } else {
        word
    }
}

impl Cast {
    /// The cast for these shares.
    ///
    /// # Errors
    /// A name is not of its form, which a test excludes.
    pub fn new(data: &Data) -> Result<Self> {
        let mut cast = Self {
            firms: Vec::new(),
            accounts: Vec::new(),
            issuers: Vec::new(),
            treasuries: Vec::new(),
        };
        for (firm, (name, clients)) in FIRMS.iter().enumerate() {
            cast.firms.push(own(MemberName::new(name))?);
            let upper = name.to_uppercase();
            let house = firm_organisation(name);
            cast.open(format!("{upper}-HOUSE"), firm, &house, Purpose::House)?;
            for (number, client) in (1..).zip(clients) {
                cast.open(
                    format!("{upper}-CLIENT-{number}"),
                    firm,
                    client,
                    Purpose::Client,
                )?;
            }
            if firm == 0 {
                cast.open(format!("{upper}-OFFERING"), firm, &house, Purpose::Offering)?;
            }
        }
        for share in &data.shares {
            cast.issuers
                .push(own(MemberName::new(&issuer_name(share)))?);
            cast.treasuries
                .push(own(AccountId::new(&format!("{}-TREASURY", share.ticker)))?);
        }
        Ok(cast)
    }

    fn open(&mut self, id: String, firm: usize, holder: &str, purpose: Purpose) -> Result<()> {
        let (id, holder) = (own(AccountId::new(&id))?, own(LongName::new(holder))?);
        self.accounts.push(Account {
            id,
            firm,
            holder,
            purpose,
        });
        Ok(())
    }

    /// Everybody who has to be enrolled.
    ///
    /// # Errors
    /// A name is not of its form, which a test excludes.
    pub fn enrolments(&self, data: &Data) -> Result<Vec<Enrolment>> {
        let mut all = Vec::new();
        let mut enrol = |name: &str, role, organisation: &str, lei| {
            let (name, organisation) = (name.to_owned(), organisation.to_owned());
            all.push(Enrolment {
                name,
                organisation,
                role,
                lei: Some(lei),
            });
        };
        enrol(
            BANK,
            Role::CashAgent,
            "Trust Bank (sample)",
            sample_lei(BANK)?,
        );
        let regulator = "Securities Commission (sample)";
        enrol(
            REGULATOR,
            Role::Regulator,
            regulator,
            sample_lei(REGULATOR)?,
        );
        for (issuer, share) in self.issuers.iter().zip(&data.shares) {
            enrol(issuer.as_str(), Role::Issuer, &share.company, share.lei);
        }
        for firm in &self.firms {
            let name = firm.as_str();
            enrol(
                name,
                Role::Firm,
                &firm_organisation(name),
                sample_lei(name)?,
            );
        }
        Ok(all)
    }

    /// The firm at a place.
    ///
    /// # Errors
    /// There is none.
    pub fn firm(&self, place: usize) -> Result<MemberName> {
        self.firms
            .get(place)
            .copied()
            .ok_or_else(|| CliError::new("the demo lacks a firm"))
    }

    /// The account at a place.
    ///
    /// # Errors
    /// There is none.
    pub fn account(&self, place: usize) -> Result<&Account> {
        self.accounts
            .get(place)
            .ok_or_else(|| CliError::new("the demo lacks an account"))
    }

    /// The treasury of a share.
    ///
    /// # Errors
    /// There is none.
    pub fn treasury(&self, share: usize) -> Result<AccountId> {
        self.treasuries
            .get(share)
            .copied()
            .ok_or_else(|| CliError::new("the demo lacks a treasury"))
    }

    /// Accounts of a purpose, with their places.
    pub fn accounts_for(&self, purpose: Purpose) -> impl Iterator<Item = (usize, &Account)> {
        self.accounts
            .iter()
            .enumerate()
            .filter(move |(_, account)| account.purpose == purpose)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn everybody_can_be_enrolled_and_made_up_identifiers_look_it() {
        let data = Data::read().unwrap();
        let cast = Cast::new(&data).unwrap();
        let names: Vec<_> = cast.issuers.iter().map(|issuer| issuer.as_str()).collect();
        assert_eq!(names, ["apple", "google", "ibm", "microsoft", "facebook"]);
        assert_eq!(cast.accounts.len(), 4 * 5 + 1);
        for enrolment in cast.enrolments(&data).unwrap() {
            sealbook_identity::check_short_name(&enrolment.name).unwrap();
            sealbook_identity::check_organisation(&enrolment.organisation).unwrap();
            let made_up = enrolment.role != Role::Issuer;
            assert_eq!(
                enrolment.lei.unwrap().as_str().starts_with("SAMPLE00"),
                made_up
            );
            assert_eq!(enrolment.organisation.ends_with("(sample)"), made_up);
        }
    }
}
