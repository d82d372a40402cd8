//! The registry of an issue: who held how much of it, now or at any past moment.
//!
//! Who may ask: whoever may read the registry with accounts and firms, or at least the names and
//! numbers, of this issue; the fuller view is given to whoever may have it.
//!
//! What it answers: the issued total, the treasury's units, and one row for every other account
//! above zero, blocked units included. `issued = treasury + sum of the rows` at every moment.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::Amount;
use crate::authority::{Action, Authority, Relation};
use crate::history::Moment;
use crate::instruction::RecordTime;
use crate::isin::Isin;
use crate::outcome::{Code, Outcome};
use crate::rows::{AccountIndex, IssueIndex, MemberId};
use crate::state::State;
use crate::text::{AccountId, MemberName};
use crate::views::Names;

/// The registry of one issue at one moment.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegistryView {
    /// The issue.
    pub isin: Isin,
    /// The height of the block that the moment lies in, or at whose end it lies.
    pub as_of_height: u64,
    /// Decimals of all quantities in it.
    pub decimals: u8,
    /// All units there were.
    pub issued: Amount,
    /// The treasury's units.
    pub treasury: Amount,
    /// Everybody else's.
    pub holders: RegistryHolders,
}

/// The rows of a registry, as full as the caller may see them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RegistryHolders {
    /// Names and numbers, one row an account, sorted by name and then quantity.
    Shareholders(Vec<ShareholderRow>),
    /// With accounts and firms, sorted by account in byte order.
    Full(Vec<RegistryRow>),
}

/// What the issuer sees of one account.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ShareholderRow {
    /// The holder's name; `None` if it was erased.
    pub holder: Option<String>,
    /// How many units.
    pub quantity: Amount,
}

/// What an operator or supervisor sees of one account.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegistryRow {
    /// The account.
    pub account: AccountId,
    /// The holder's name; `None` if it was erased.
    pub holder: Option<String>,
    /// The firm that keeps the account.
    pub firm: MemberName,
    /// How many units.
    pub quantity: Amount,
}

impl State {
    /// The registry of `isin` as of a moment.
    ///
    /// # Errors
    /// The outcome to answer instead: `not-permitted` for roles that may read no registry,
    /// `not-found` for issues that are not the caller's or do not exist, `unknown-record-time` for
    /// a height that is not reached yet.
    pub fn registry(
        &self,
        caller: MemberId,
        authority: &dyn Authority,
        isin: &Isin,
        as_of: RecordTime,
        names: Names<'_>,
    ) -> Result<RegistryView, Outcome> {
        self.members.find(caller).ok_or(Code::NotAMember)?;
        // Who may read it is judged before the moment is.
        let moment = self.moment(as_of);
        let of = self.readable(caller, authority, isin)?;
        Ok(self.registry_of(of, isin, moment?, names))
    }

    /// The same as of a moment that is known.
    pub(crate) fn registry_at(
        &self,
        caller: MemberId,
        authority: &dyn Authority,
        isin: &Isin,
        moment: Moment,
        names: Names<'_>,
    ) -> Result<RegistryView, Outcome> {
        self.members.find(caller).ok_or(Code::NotAMember)?;
        let of = self.readable(caller, authority, isin)?;
        Ok(self.registry_of(of, isin, moment, names))
    }

    /// The issue, and whether the caller may read it in full.
    pub(crate) fn readable(
        &self,
        caller: MemberId,
        authority: &dyn Authority,
        isin: &Isin,
    ) -> Result<(IssueIndex, bool), Code> {
        let permits = |relation| {
            let full = authority.permits(Action::ReadRegistry, relation);
            full.then_some(true).or_else(|| {
                authority
                    .permits(Action::ReadShareholders, relation)
                    .then_some(false)
            })
        };
        permits(Relation::Own).ok_or(Code::NotPermitted)?;
        let (index, issue) = self.issue_by_isin(isin).ok_or(Code::NotFound)?;
        let own = issue.issuer == caller;
        let full = permits(if own { Relation::Own } else { Relation::Other });
        Ok((index, full.ok_or(Code::NotFound)?))
    }

    fn registry_of(
        &self,
        (index, full): (IssueIndex, bool),
        isin: &Isin,
        moment: Moment,
        names: Names<'_>,
    ) -> RegistryView {
        let issue = self.issues.row(index);
        let amount = |units| Amount {
            units,
            decimals: issue.decimals,
        };
        let (treasury, rows) = self.registry_rows(index, issue.treasury, moment.sequence);
        RegistryView {
            isin: *isin,
            as_of_height: moment.height,
            decimals: issue.decimals,
            issued: amount(self.issued_history.value_at(index, moment.sequence)),
            treasury: amount(treasury),
            holders: if full {
                self.full_rows(&rows, amount, names)
            } else {
                self.shareholder_rows(&rows, amount, names)
            },
        }
    }

    /// The treasury's units, and all other accounts above zero.
    pub(crate) fn registry_rows(
        &self,
        issue: IssueIndex,
        treasury: AccountIndex,
        sequence: u64,
    ) -> (u64, Vec<(AccountIndex, u64)>) {
        let mut treasury_units = 0;
        let mut rows = Vec::new();
        for index in self.positions_of(issue) {
            let account = self.positions.row(*index).account;
            let units = self.position_history.value_at(*index, sequence);
            if account == treasury {
                treasury_units = units;
            } else if units > 0 {
                rows.push((account, units));
            }
        }
        (treasury_units, rows)
    }

    fn full_rows(
        &self,
        rows: &[(AccountIndex, u64)],
        amount: impl Fn(u64) -> Amount,
        names: Names<'_>,
    ) -> RegistryHolders {
        let mut full: Vec<_> = rows
            .iter()
            .map(|(index, units)| {
                let account = self.accounts.row(*index);
                RegistryRow {
                    account: account.id,
                    holder: self.holder_name(*index, names),
                    firm: self.members.row(account.owner).name,
                    quantity: amount(*units),
                }
            })
            .collect();
        full.sort_unstable_by_key(|row| row.account);
        RegistryHolders::Full(full)
    }

    fn shareholder_rows(
        &self,
        rows: &[(AccountIndex, u64)],
        amount: impl Fn(u64) -> Amount,
        names: Names<'_>,
    ) -> RegistryHolders {
        let mut list: Vec<_> = rows
            .iter()
            .map(|(index, units)| {
                let holder = self.holder_name(*index, names);
                let quantity = amount(*units);
                (
                    beginning(holder.as_deref()),
                    ShareholderRow { holder, quantity },
                )
            })
            .collect();
        // Rows that are equal in both fields are equal altogether, so that their order tells
        // nothing about accounts.
        list.sort_unstable_by(|(begins, a), (other, b)| {
            let whole = || (&a.holder, a.quantity.units).cmp(&(&b.holder, b.quantity.units));
            begins.cmp(other).then_with(whole)
        });
        let list = list.into_iter().map(|(_, row)| row).collect();
        RegistryHolders::Shareholders(list)
    }
}

/// The first bytes of a name, as a number in their order: most names are put in order by these, without a look at the names.
fn beginning(name: Option<&str>) -> u128 {
    let bytes = name.unwrap_or_default().bytes();
    let padded = bytes.chain(std::iter::repeat(0)).take(16);
    padded.fold(0, |number, byte| number << 8 | u128::from(byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::world::{
        APPLE, GOOGLE, World, allocate, issue_units, open_day, register, split, transfer,
    };
    use crate::world::{Permissions, refused};
    use crate::{Code, Role};

    #[test]
    fn the_issuer_sees_names_and_numbers_only() {
        let mut world = World::furnished();
        world.settle("alpha", transfer(APPLE, "A-1", "B-1", "600"));
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "400"));
        let view = world.registry("apple", APPLE, RecordTime::Now).unwrap();
        let RegistryHolders::Shareholders(rows) = &view.holders else {
            panic!("{view:?}")
        };
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.holder.as_deref().unwrap(), row.quantity.units))
            .collect();
        assert_eq!(rows, [("Holder of A-2", 400), ("Holder of B-1", 600)]);
        assert_eq!(
            (view.issued.units, view.treasury.units),
            (1_000_000, 999_000)
        );
    }

    #[test]
    fn rows_sort_by_name_and_then_quantity() {
        let mut world = World::furnished();
        world.settle("admin", allocate(APPLE, "A-2", "9"));
        world.settle("admin", allocate(APPLE, "B-1", "100"));
        let (apple, rules) = (world.id("apple"), Permissions(Role::Issuer));
        let isin = Isin::new(APPLE).unwrap();
        let names = |index: AccountIndex| (index.0 != 1).then(|| "Same".to_owned());
        let view = world
            .state
            .registry(apple, &rules, &isin, RecordTime::Now, &names)
            .unwrap();
        let RegistryHolders::Shareholders(rows) = view.holders else {
            panic!("wrong view")
        };
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| (row.holder, row.quantity.units))
            .collect();
        let same = || Some("Same".to_owned());
        assert_eq!(rows, [(None, 1000), (same(), 9), (same(), 100)]);
    }

    #[test]
    fn beginnings_never_contradict_the_names() {
        let mut names: Vec<Option<String>> = vec![None];
        for text in [
            "",
            "a",
            "ab",
            "a\0",
            "ab\0",
            "b",
            "Ä",
            "株式会社",
            "0123456789abcde",
        ] {
            for end in ["", "f", "g", "fg", "ffffffffffffffffffffff", "\u{10ffff}"] {
                names.push(Some(format!("{text}{end}")));
            }
        }
        for a in &names {
            for b in &names {
                let by_beginning = beginning(a.as_deref()).cmp(&beginning(b.as_deref()));
                assert_eq!(by_beginning.then_with(|| a.cmp(b)), a.cmp(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn admin_and_regulator_see_all_of_it() {
        let world = World::furnished();
        for name in ["admin", "regulator"] {
            let view = world.registry(name, APPLE, RecordTime::Now).unwrap();
            let RegistryHolders::Full(rows) = view.holders else {
                panic!("wrong view")
            };
            let row = &rows[0];
            assert_eq!((row.account.as_str(), row.firm.as_str()), ("A-1", "alpha"));
            assert_eq!(
                (row.holder.as_deref(), row.quantity.units),
                (Some("Holder of A-1"), 1000)
            );
        }
    }

    #[test]
    fn not_there_and_not_yours_are_the_same() {
        let world = World::furnished();
        let ask = |name, isin| world.registry(name, isin, RecordTime::Now).unwrap_err();
        assert_eq!(ask("google", APPLE), refused(Code::NotFound));
        assert_eq!(ask("google", GOOGLE), refused(Code::NotFound));
        assert_eq!(ask("admin", GOOGLE), refused(Code::NotFound));
        for name in ["alpha", "bank", "oracle"] {
            assert_eq!(ask(name, APPLE), refused(Code::NotPermitted));
            assert_eq!(ask(name, GOOGLE), refused(Code::NotPermitted));
        }
        let names = |_| None;
        let isin = Isin::new(APPLE).unwrap();
        let stranger = MemberId(99);
        let rules = Permissions(Role::Admin);
        let answer = world
            .state
            .registry(stranger, &rules, &isin, RecordTime::Now, &names);
        assert_eq!(answer.unwrap_err(), refused(Code::NotAMember));
    }

    #[test]
    fn every_past_moment_is_found_again() {
        let mut world = World::new();
        world.next_block();
        world.order_in_block("alpha", "a1", crate::world::open_account("A-1"));
        world.order_in_block("alpha", "a2", crate::world::open_account("A-2"));
        world.settle("admin", register(APPLE, "apple", 0, "T")); // height 2
        world.settle("admin", issue_units(APPLE, "100")); // 3
        world.settle("admin", open_day("2012-08-08")); // 4
        world.next_block(); // 5: several orders, among them two openings
        world.order_in_block("admin", "1", allocate(APPLE, "A-1", "10"));
        world.order_in_block("admin", "2", open_day("2012-08-09"));
        world.order_in_block("admin", "3", allocate(APPLE, "A-2", "20"));
        world.order_in_block("admin", "4", open_day("2012-08-13"));
        world.order_in_block("admin", "5", allocate(APPLE, "A-1", "30"));
        world.next_block(); // 6: empty
        world.next_block(); // 7
        world.order_in_block("admin", "6", open_day("2012-08-14"));
        world.order_in_block("admin", "7", split(APPLE, 2, 1));
        let height = |height| world.registry_text(APPLE, RecordTime::Height(height));
        let time = |time| world.registry_text(APPLE, RecordTime::Time(time));
        let date = |date: &str| world.registry_text(APPLE, RecordTime::Date(date.parse().unwrap()));
        assert_eq!(height(0), "0: 0 = 0 + []");
        assert_eq!(height(2), "2: 0 = 0 + []");
        assert_eq!(height(3), "3: 100 = 100 + []");
        assert_eq!(height(5), "5: 100 = 40 + [A-1=40 A-2=20]");
        assert_eq!(height(6), "6: 100 = 40 + [A-1=40 A-2=20]");
        assert_eq!(height(7), "7: 200 = 80 + [A-1=80 A-2=40]");
        assert_eq!(time(0), "0: 0 = 0 + []");
        assert_eq!(time(3000), "3: 100 = 100 + []");
        assert_eq!(time(4999), "4: 100 = 100 + []");
        assert_eq!(time(u64::MAX), "7: 200 = 80 + [A-1=80 A-2=40]");
        assert_eq!(date("2012-01-01"), "3: 100 = 100 + []");
        assert_eq!(date("2012-08-08"), "5: 100 = 90 + [A-1=10]");
        assert_eq!(date("2012-08-09"), "5: 100 = 70 + [A-1=10 A-2=20]");
        assert_eq!(date("2012-08-12"), "5: 100 = 70 + [A-1=10 A-2=20]");
        assert_eq!(date("2012-08-13"), "6: 100 = 40 + [A-1=40 A-2=20]");
        assert_eq!(date("2012-08-14"), "7: 200 = 80 + [A-1=80 A-2=40]");
        assert_eq!(date("9999-12-31"), "7: 200 = 80 + [A-1=80 A-2=40]");
        let future = world
            .registry("admin", APPLE, RecordTime::Height(8))
            .unwrap_err();
        assert_eq!(future, refused(Code::UnknownRecordTime));
        let future = world
            .registry("admin", APPLE, RecordTime::Height(u64::MAX))
            .unwrap_err();
        assert_eq!(future, refused(Code::UnknownRecordTime));
    }
}
