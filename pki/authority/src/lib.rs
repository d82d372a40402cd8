//! The built-in certificate authority, the only part of Sealbook that holds authorities' keys.
//!
//! An offline root certifies one issuing authority for each role; these certify members and nodes
//! on their requests. Whoever steals one issuing key gains one role and no other, and losing one
//! stops nobody who is certified already. Private keys of members never come here: a member makes
//! its request with [`certificate_request`] where its key lives and sends the request alone.
//!
//! | module | what it is |
//! |---|---|
//! | [`Authority`] | the directory of keys and certificates; approves requests |
//! | [`certificate_request`] | what a member sends |
//! | [`Issued`] | an entry of the inventory of everything that was ever issued, and perhaps revoked |
//! | [`SignedList`] | a revocation list of one issuing authority |
//! | [`standings`] | which certificates end soon |
//! | [`Token`] | one certificate for whoever has it, without anybody looking at the request |
//!
//! Whether a short name is taken is not decided here: the ledger registers members.

#![forbid(unsafe_code)]

mod authority;
mod error;
mod inventory;
mod key;
mod profile;
mod request;
mod revocation;
mod rotation;
mod standing;
mod token;

pub use authority::{Authority, ISSUING_VALIDITY_MS, ROOT_VALIDITY_MS};
pub use error::AuthorityError;
pub use inventory::Issued;
pub use request::certificate_request;
pub use revocation::{LIST_VALIDITY_MS, SignedList};
pub use standing::{Standing, standings};
pub use token::{MESSAGE_BYTES_MAX, Promised, Redeemed, TOKEN_BYTES_MAX, Token, TokenError};
