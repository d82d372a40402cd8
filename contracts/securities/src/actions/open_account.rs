//! Open an account.
//!
//! What it is: a firm opens an account for a holder. The holder's name is not here: an attachment
//! carries it, and the books keep the attachment's hash and a blinded commitment to the name.
//!
//! What it checks: the identifier is not in use anywhere in the network (`taken`).
//!
//! What it changes: one row among the accounts; the account belongs to the caller.

use crate::events::Done;
use crate::instruction::HolderReference;
use crate::outcome::Code;
use crate::rows::{Account, Happened, Holder};
use crate::state::{Caller, State};
use crate::text::AccountId;

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    account: AccountId,
    holder: HolderReference,
) -> Result<Done, Code> {
    if state.account_index(&account).is_some() {
        return Err(Code::Taken);
    }
    state.add_account(Account {
        id: account,
        owner: caller.member,
        holder: Holder::Named(holder),
    });
    Ok(Done::settled(Happened::Own))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::Code;
    use crate::world::{APPLE, World, open_account, register};

    #[test]
    fn firms_open_accounts_under_free_identifiers() {
        let mut world = World::new();
        world.settle("admin", register(APPLE, "apple", 0, "APPLE-T"));
        world.settle("alpha", open_account("A-1"));
        world.refuse("alpha", open_account("A-1"), Code::Taken);
        world.refuse("beta", open_account("A-1"), Code::Taken);
        world.refuse("beta", open_account("APPLE-T"), Code::Taken);
        for member in ["admin", "apple", "regulator", "bank", "oracle"] {
            world.refuse(member, open_account("X-1"), Code::NotPermitted);
        }
        world.settle("beta", open_account("a-1"));
    }
}
