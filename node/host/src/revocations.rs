//! The authorities' revocation lists that a node is given as files: read at its start, and again every minute, so that a
//! revocation counts without a restart.
//!
//! INVARIANT: a list is used only when it was verified, and never gives way to an older one or to none while the node
//! runs. A file that cannot be used leaves the lists in force that are known, and the log says so; should their time
//! run out, no member of their authorities gets a new connection until there are newer ones. Nodes do: agreement does
//! not wait for the CA.
//!
//! A connection that is open when its certificate is revoked, by a list or on the ledger, is closed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealbook_identity::files::{FileError, read_lists};
use sealbook_identity::{CertificateDer, RevocationError, RevocationList, Revocations};

use crate::clock::{Clock, SystemClock};

const INTERVAL: Duration = Duration::from_secs(60);

/// Why lists are not used.
#[derive(Debug, thiserror::Error)]
pub enum ListsError {
    /// A file cannot be read, or its list does not hold.
    #[error(transparent)]
    File(#[from] FileError),
    /// The lists do not go together, or not after those that are known.
    #[error(transparent)]
    Lists(#[from] RevocationError),
}

impl ListsError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File(error) => error.hint(),
            Self::Lists(error) => error.hint(),
        }
    }
}

/// The files, what their lists are verified with, and who uses them.
#[derive(Clone)]
pub struct Lists {
    /// Where they are.
    pub paths: Vec<PathBuf>,
    /// The roots of the network's certificate authority.
    pub roots: Vec<CertificateDer<'static>>,
    /// The network's name in certificates.
    pub network: String,
    /// What links and the client service ask.
    pub revocations: Revocations,
    /// What lists are held against.
    pub clock: Arc<SystemClock>,
}

impl Lists {
    /// Reads the files anew. Says whether anything changed.
    ///
    /// # Errors
    /// Something about them is wrong; what was known before stays in force.
    pub fn renew(&self) -> Result<bool, ListsError> {
        let now_ms = self.clock.now_ms();
        let lists = read_lists(&self.paths, &self.roots, &self.network, now_ms)?;
        let shown: Vec<String> = lists.iter().map(show).collect();
        let changed = self.revocations.replace(lists)?;
        if changed {
            tracing::info!(lists = %shown.join("; "), "revocation lists in force");
        }
        Ok(changed)
    }

    /// Which of the lists in force should have been followed by a newer one, and what to do about it.
    #[must_use]
    pub fn out_of_date(&self) -> Option<(String, &'static str)> {
        let now_ms = self.clock.now_ms();
        let lists = self.revocations.lists();
        let old = lists.iter().filter(|list| list.is_out_of_date(now_ms));
        let old: Vec<&str> = old.map(|list| list.role().word()).collect();
        let roles = old.join(", ");
        (!old.is_empty()).then(|| {
            (
                format!("out of date: {roles}; members with these roles get no new connection"),
                "give the node the authority's present list; `sealbook ca crl` makes one",
            )
        })
    }

    /// Reads the files anew again and again, without an end.
    pub async fn watch(self) {
        if self.paths.is_empty() {
            std::future::pending::<()>().await;
        }
        let mut known = self.out_of_date();
        loop {
            tokio::time::sleep(INTERVAL).await;
            let lists = self.clone();
            let renewed = tokio::task::spawn_blocking(move || lists.renew()).await;
            let problem = match renewed {
                Ok(Ok(_)) => self.out_of_date(),
                Ok(Err(error)) => Some((format!("{error}; those known stay"), error.hint())),
                Err(_) => Some(("they could not be read".to_owned(), "look at the log")),
            };
            if let Some((error, hint)) = &problem
                && problem != known
            {
                tracing::warn!(%error, hint, "revocation lists");
            }
            known = problem;
        }
    }
}

fn show(list: &RevocationList) -> String {
    let (role, number, count) = (list.role(), list.number(), list.len());
    format!("{role} number {number}, {count} revoked")
}
