//! What members may read, one module a question: who may ask, what it answers, in which order.
//!
//! Every view is asked in the name of a caller and answers only what its
//! [`Authority`](crate::Authority) permits. "Not there" and "not yours" are the same answer.
//! Numbers are [`Amount`](crate::Amount)s, which show themselves as decimal strings. Holders' names
//! are outside the books: the asking code hands in a function that knows them.

pub(crate) mod access_log;
pub(crate) mod audit;
pub(crate) mod certified;
pub(crate) mod events;
pub(crate) mod holdings;
pub(crate) mod registry;
pub(crate) mod trades;

use crate::rows::{AccountIndex, Holder};
use crate::state::State;

/// Finds the name behind an account; `None` if it was erased or never arrived.
pub type Names<'a> = &'a dyn Fn(AccountIndex) -> Option<String>;

impl State {
    /// The holder's name: the issuer's organisation for a treasury.
    fn holder_name(&self, account: AccountIndex, names: Names<'_>) -> Option<String> {
        let row = self.accounts.row(account);
        match row.holder {
            Holder::Issuer => Some(self.members.row(row.owner).organisation.as_str().to_owned()),
            Holder::Named(_) => names(account),
        }
    }
}
