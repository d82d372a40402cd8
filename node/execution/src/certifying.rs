//! Certified registries: an order has every module compute the root of an issue's registry, which is then part of its
//! outcome and as final as that; whoever may read the registry asks for the rows and computes the root itself.
//!
//! INVARIANT: the root follows from the books alone, not from names, which may be erased.

use sealbook_primitives::hash::Digest;
use sealbook_protocol::payload::AsOf;
use sealbook_protocol::registry::{
    CertifiedHolder, CertifiedPage, CertifiedRow, RegistryHead, registry_root,
};
use sealbook_securities::{
    AccountIndex, Authority, CertifiedRows, Code, Holder, Isin, MemberId, NewAccess, Outcome,
    Reading, RecordTime,
};

use crate::engine::Engine;
use crate::permissions::Permissions;
use crate::readings::{certified, digest_of, record_time};

/// How many positions a member may have certified with each block. An order may go beyond; the member then waits for as
/// many blocks as that takes.
pub const CERTIFIED_PER_BLOCK: u64 = 200_000;
/// What an order counts besides its positions.
const ORDER_WORK: u64 = 64;
/// About how long the rows of one answer are at most, encoded.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// A registry to be certified, in the order of its leaves.
struct Registry {
    head: RegistryHead,
    rows: Vec<([u8; 32], u64, AccountIndex)>,
}

impl Engine {
    pub(crate) fn execute_certify(
        &mut self,
        (reader, certificate): (MemberId, Digest),
        isin: &str,
        as_of: AsOf,
        key: &[u8; 32],
    ) -> Outcome {
        let (Ok(parsed), Some(moment)) = (Isin::new(isin), record_time(as_of)) else {
            return Outcome::refused(Code::Malformed);
        };
        let Some(member) = self.state.member(reader) else {
            return Outcome::refused(Code::NotAMember);
        };
        let (name, role) = (member.name, member.role);
        let height = self.state.height();
        let Self {
            state,
            policies,
            certifying,
            ..
        } = self;
        let authority = Permissions {
            policies,
            member: name.as_str(),
            role: role.as_str(),
        };
        // Whether it may be read is judged before anything is said about how much it is.
        let by = (reader, &authority as &dyn Authority);
        let work = match state.positions_in(by, &parsed) {
            Ok(positions) => (positions as u64).saturating_add(ORDER_WORK),
            Err(code) => return Outcome::refused(code),
        };
        let done = certifying.get(&reader).copied().unwrap_or(0);
        let all = done.saturating_add(work);
        if done > 0 && all > CERTIFIED_PER_BLOCK {
            return Outcome::refused(Code::Limit);
        }
        let found = match state.certified_rows(by, &parsed, moment, height) {
            Ok(found) => found,
            Err(code) => return Outcome::refused(code),
        };
        certifying.insert(reader, all);
        let reading = Reading::Registry(parsed, found.as_of);
        if state.needs_record(reader, &authority, &reading) {
            let question = borsh::to_vec(&certified(isin, as_of)).unwrap_or_default();
            let outcome = state.put_on_record(&NewAccess {
                reader,
                certificate: certificate.0,
                reading,
                question: digest_of(&question).0,
                disclosed_ms: 0,
                authority: &authority,
            });
            if !outcome.is_accepted() {
                return outcome;
            }
        }
        let Some(registry) = self.registry(&parsed, &found) else {
            return Outcome::refused(Code::NotFound);
        };
        let rows: Vec<([u8; 32], u64)> = registry.rows.iter().map(|row| (row.0, row.1)).collect();
        Outcome::certified(registry_root(key, &registry.head, &rows).0)
    }

    /// With each block a part of what members had certified is done with.
    pub(crate) fn certify_on(&mut self) {
        self.certifying.retain(|_, work| {
            *work = work.saturating_sub(CERTIFIED_PER_BLOCK);
            *work > 0
        });
    }

    /// Rows of a registry that the block at a height certified, from one on.
    pub(crate) fn certified_page(
        &self,
        by: (MemberId, &dyn Authority),
        isin: &str,
        as_of: AsOf,
        (height, from): (u64, u32),
    ) -> Result<CertifiedPage, Code> {
        let (Ok(isin), Some(as_of)) = (Isin::new(isin), record_time(as_of)) else {
            return Err(Code::Malformed);
        };
        // Nothing was certified before the first block.
        if height == 0 {
            return Err(Code::UnknownRecordTime);
        }
        let found = self.state.certified_rows(by, &isin, as_of, height)?;
        let registry = self.registry(&isin, &found).ok_or(Code::NotFound)?;
        let mut length = 0_usize;
        let mut rows = Vec::new();
        for (commitment, quantity, account) in registry.rows.iter().skip(from as usize) {
            if length >= PAGE_BYTES {
                break;
            }
            let row = CertifiedRow {
                holder: self.certified_holder(*account, *commitment),
                quantity: *quantity,
            };
            length = length.saturating_add(match &row.holder {
                CertifiedHolder::Named { holder, .. } => holder.len().saturating_add(45),
                CertifiedHolder::Unnamed(_) => 41,
            });
            rows.push(row);
        }
        Ok(CertifiedPage {
            head: registry.head,
            rows,
        })
    }

    fn registry(&self, isin: &Isin, found: &CertifiedRows) -> Option<Registry> {
        let mut rows = Vec::with_capacity(found.rows.len());
        for (account, quantity) in &found.rows {
            rows.push((self.commitment_of(*account)?, *quantity, *account));
        }
        rows.sort_unstable();
        Some(Registry {
            head: RegistryHead {
                isin: isin.to_string(),
                as_of: moment_of(found.as_of),
                height: found.height,
                time_ms: found.time_ms,
                decimals: found.decimals,
                issued: found.issued,
                treasury: found.treasury,
                holders: u32::try_from(rows.len()).ok()?,
            },
            rows,
        })
    }

    /// The commitment to the name of an account's holder; that of the issuer's organisation, which is no secret, for the
    /// treasury of another issue.
    fn commitment_of(&self, account: AccountIndex) -> Option<[u8; 32]> {
        let row = self.state.account(account)?;
        Some(match row.holder {
            Holder::Named(reference) => reference.commitment,
            Holder::Issuer => self.issuer_as_holder(row.owner)?.commitment(),
        })
    }

    fn issuer_as_holder(&self, issuer: MemberId) -> Option<CertifiedHolder> {
        Some(CertifiedHolder::Named {
            blinding: [0; 32],
            holder: self.state.member(issuer)?.organisation.as_str().to_owned(),
        })
    }

    fn certified_holder(&self, account: AccountIndex, commitment: [u8; 32]) -> CertifiedHolder {
        let unnamed = CertifiedHolder::Unnamed(commitment);
        match self.state.account(account) {
            Some(row) if row.is_treasury() => self.issuer_as_holder(row.owner).unwrap_or(unnamed),
            _ => self.names.get(account).map_or(unnamed, |name| {
                let (blinding, holder) = (name.blinding, name.holder.clone());
                CertifiedHolder::Named { blinding, holder }
            }),
        }
    }
}

const fn moment_of(time: RecordTime) -> AsOf {
    match time {
        RecordTime::Now => AsOf::Now,
        RecordTime::Height(height) => AsOf::Height(height),
        RecordTime::Time(time_ms) => AsOf::Time(time_ms),
        RecordTime::Date(date) => AsOf::Date {
            year: date.year(),
            month: date.month(),
            day: date.day(),
        },
    }
}
