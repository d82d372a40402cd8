//! Register an issue.
//!
//! What it is: an ISIN gets its issuer, its terms and its treasury account.
//!
//! What it checks: at most eight decimals (`malformed`); the issuer is a member with that role
//! (`unknown-issuer`); neither the ISIN nor the treasury's identifier is in use (`taken`).
//!
//! What it changes: one row among the issues, with nothing issued yet; one account, which belongs
//! to the issuer and which nobody can use as a source but the issue's own actions.

use crate::currency::CurrencyCode;
use crate::events::Done;
use crate::instruction::IssueKind;
use crate::isin::Isin;
use crate::member::Role;
use crate::outcome::Code;
use crate::rows::{Account, Happened, Holder, Issue};
use crate::state::State;
use crate::text::{AccountId, LongName, MemberName};

/// The most decimals that an issue's quantities may have.
const DECIMALS_MAX: u8 = 8;

pub(crate) struct Terms<'a> {
    pub(crate) isin: Isin,
    pub(crate) issuer: MemberName,
    pub(crate) name: &'a LongName,
    pub(crate) kind: IssueKind,
    pub(crate) decimals: u8,
    pub(crate) currency: CurrencyCode,
    pub(crate) treasury: AccountId,
}

pub(crate) fn check(decimals: u8) -> Result<(), Code> {
    if decimals <= DECIMALS_MAX {
        Ok(())
    } else {
        Err(Code::Malformed)
    }
}

pub(crate) fn apply(state: &mut State, terms: &Terms<'_>) -> Result<Done, Code> {
    let (issuer, member) = state
        .member_by_name(&terms.issuer)
        .ok_or(Code::UnknownIssuer)?;
    if member.role != Role::Issuer {
        return Err(Code::UnknownIssuer);
    }
    if state.lookups.issues_by_isin.contains_key(&terms.isin)
        || state.account_index(&terms.treasury).is_some()
    {
        return Err(Code::Taken);
    }
    let treasury = state.add_account(Account {
        id: terms.treasury,
        owner: issuer,
        holder: Holder::Issuer,
    });
    let issue = state.issues.push(Issue {
        isin: terms.isin,
        issuer,
        name: terms.name.clone(),
        kind: terms.kind,
        decimals: terms.decimals,
        currency: terms.currency,
        treasury,
        issued: 0,
    });
    state.lookups.issues_by_isin.insert(terms.isin, issue);
    state.lookups.by_issue.push(Vec::new());
    Ok(Done::settled(Happened::Registered(issue)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{APPLE, GOOGLE, World, open_account, register};
    use crate::{Code, Isin};

    #[test]
    fn an_issue_is_registered_with_its_treasury() {
        let mut world = World::new();
        world.settle("admin", register(APPLE, "apple", 8, "APPLE-T"));
        let (_, issue) = world
            .state
            .issue_by_isin(&Isin::new(APPLE).unwrap())
            .unwrap();
        let treasury = world.state.account(issue.treasury).unwrap();
        assert_eq!((issue.issued, treasury.owner), (0, world.id("apple")));
        assert!(treasury.is_treasury());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut world = World::new();
        world.settle("alpha", open_account("A-1"));
        world.settle("admin", register(APPLE, "apple", 0, "APPLE-T"));
        world.refuse(
            "admin",
            register(GOOGLE, "google", 9, "GOOGLE-T"),
            Code::Malformed,
        );
        world.refuse(
            "admin",
            register(GOOGLE, "nobody", 0, "GOOGLE-T"),
            Code::UnknownIssuer,
        );
        world.refuse(
            "admin",
            register(GOOGLE, "alpha", 0, "GOOGLE-T"),
            Code::UnknownIssuer,
        );
        world.refuse("admin", register(GOOGLE, "google", 0, "A-1"), Code::Taken);
        world.refuse(
            "admin",
            register(GOOGLE, "google", 0, "APPLE-T"),
            Code::Taken,
        );
        world.refuse(
            "admin",
            register(APPLE, "google", 0, "GOOGLE-T"),
            Code::Taken,
        );
        for member in ["alpha", "apple", "regulator", "bank", "oracle"] {
            let order = register(GOOGLE, "google", 0, "GOOGLE-T");
            world.refuse(member, order, Code::NotPermitted);
        }
        world.settle("admin", register(GOOGLE, "google", 0, "GOOGLE-T"));
    }
}
