//! The engine's finalizations and the ledger's certificates, one into the other.

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Finalization, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::certificate::Signers;
use commonware_cryptography::ed25519;
use commonware_cryptography::ed25519::certificate::Certificate;
use commonware_utils::Participant;
use sealbook_ledger::FinalityCertificate;
use sealbook_primitives::signature::Signature;

use crate::block::{EngineDigest, from_engine, to_engine};

/// A finalization by our committee over one of our digests.
pub(crate) type EngineFinalization = Finalization<Scheme, EngineDigest>;

/// The ledger's form. `None` if the finalization has a signer beyond the ledger's limits, which no
/// committee has.
pub(crate) fn to_ledger(finalization: &EngineFinalization) -> Option<FinalityCertificate> {
    let proposal = &finalization.proposal;
    let signers = finalization.certificate.signers.iter();
    let signers: Option<Vec<u16>> = signers.map(|one| u16::try_from(one.get()).ok()).collect();
    let signatures: Option<Vec<Signature>> = finalization
        .certificate
        .signatures
        .iter()
        .map(|one| {
            <[u8; 64]>::try_from(one.encode().as_ref())
                .map(Signature)
                .ok()
        })
        .collect();
    Some(FinalityCertificate::new(
        (
            proposal.round.epoch().get(),
            proposal.round.view().get(),
            proposal.parent.get(),
        ),
        from_engine(&proposal.payload),
        signers?,
        signatures?,
    ))
}

/// The engine's form, for a committee of `members`. `None` if the certificate does not fit that
/// committee.
pub(crate) fn to_engine_form(
    certificate: &FinalityCertificate,
    members: usize,
) -> Option<EngineFinalization> {
    if certificate.signers.len() != certificate.signatures.len() {
        return None;
    }
    let indices = certificate
        .signers
        .iter()
        .map(|one| Participant::new(u32::from(*one)));
    let signers = Signers::new(u32::try_from(members).ok()?, indices).ok()?;
    let signatures: Option<Vec<_>> = certificate
        .signatures
        .iter()
        .map(|one| {
            ed25519::Signature::decode(Copying(one.as_bytes()))
                .map(Into::into)
                .ok()
        })
        .collect();
    let round = Round::new(Epoch::new(certificate.epoch), View::new(certificate.view));
    let parent = View::new(certificate.parent_view);
    Some(Finalization {
        proposal: Proposal::new(round, parent, to_engine(&certificate.block)),
        certificate: Certificate {
            signers,
            signatures: signatures?,
        },
    })
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use commonware_consensus::simplex::types::Finalize;
    use commonware_parallel::Sequential;
    use commonware_utils::non_empty;
    use commonware_utils::ordered::Set;
    use sealbook_ledger::Committee;
    use sealbook_primitives::hash::{Digest, hash};
    use sealbook_primitives::secret::Secret32;
    use sealbook_primitives::signature::SigningKey;

    use super::*;
    use crate::committee::{engine_key, engine_signer};

    const NAMESPACE: &[u8] = b"a network";

    struct Made {
        committee: Committee,
        finalization: EngineFinalization,
        certificate: FinalityCertificate,
    }

    /// A certificate of the first `votes` of `members`, made by the engine.
    fn made_by_the_engine(members: u8, votes: usize, views: (u64, u64), block: Digest) -> Made {
        let seeds: Vec<Secret32> = (1..=members)
            .map(|byte| Secret32::new([byte; 32]))
            .collect();
        let keys: Vec<_> = seeds
            .iter()
            .map(|seed| SigningKey::from_secret(seed).verifying_key())
            .collect();
        let set = Set::from_iter_dedup(keys.iter().map(|key| engine_key(key.as_bytes()).unwrap()));
        let (view, parent) = (View::new(views.0), View::new(views.1));
        let proposal = Proposal::new(Round::new(Epoch::zero(), view), parent, to_engine(&block));
        let schemes = seeds.iter().map(|seed| {
            let signer = engine_signer(seed).unwrap();
            Scheme::signer(NAMESPACE, set.clone(), signer).unwrap()
        });
        let schemes: Vec<_> = schemes.collect();
        let ballots: Vec<_> = schemes
            .iter()
            .take(votes)
            .map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap())
            .collect();
        let finalization =
            Finalization::from_finalizes(&schemes[0], non_empty![@ballots.iter()], &Sequential);
        let finalization = finalization.unwrap();
        let certificate = to_ledger(&finalization).unwrap();
        Made {
            committee: Committee::new(0, keys).unwrap(),
            finalization,
            certificate,
        }
    }

    #[test]
    fn what_the_engine_certifies_verifies_without_it() {
        // Views around the widths of the engine's variable-length integers.
        for (view, parent) in [
            (1, 0),
            (127, 126),
            (128, 127),
            (300, 5),
            (u64::MAX, 1 << 35),
        ] {
            for (members, votes) in [(1, 1), (4, 3), (4, 4), (7, 5), (13, 9)] {
                let block = hash("test block", &[&[members]]);
                let made = made_by_the_engine(members, votes, (view, parent), block);
                made.certificate.verify(&made.committee, NAMESPACE).unwrap();
                assert_eq!(made.certificate.block, block);
                let back = to_engine_form(&made.certificate, usize::from(members)).unwrap();
                assert_eq!(back, made.finalization);
                let stored = FinalityCertificate::decode(&made.certificate.encode()).unwrap();
                assert_eq!(stored, made.certificate);
            }
        }
    }

    #[test]
    fn an_altered_certificate_does_not_verify() {
        let made = made_by_the_engine(4, 3, (300, 299), hash("test block", &[]));
        let refused = |alter: &dyn Fn(&mut FinalityCertificate)| {
            let mut certificate = made.certificate.clone();
            alter(&mut certificate);
            assert_ne!(certificate, made.certificate);
            certificate.verify(&made.committee, NAMESPACE).unwrap_err();
        };
        refused(&|one| one.version = 2);
        refused(&|one| one.epoch = 1);
        refused(&|one| one.view = 301);
        refused(&|one| one.parent_view = 298);
        refused(&|one| one.block.0[31] ^= 1);
        refused(&|one| one.signers[2] = 3 - one.signers[2]);
        refused(&|one| one.signers.swap(0, 1));
        refused(&|one| one.signers[1] = one.signers[0]);
        refused(&|one| one.signers[2] = 4);
        refused(&|one| one.signatures.swap(0, 1));
        refused(&|one| {
            one.signers.pop();
            one.signatures.pop();
        });
        refused(&|one| one.signatures.truncate(2));
        for signature in 0..3 {
            for byte in 0..64 {
                refused(&|one| one.signatures[signature].0[byte] ^= 1);
            }
        }
        made.certificate
            .verify(&made.committee, b"another network")
            .unwrap_err();
        let other = made_by_the_engine(5, 4, (300, 299), hash("test block", &[]));
        made.certificate
            .verify(&other.committee, NAMESPACE)
            .unwrap_err();
    }

    #[test]
    fn a_certificate_that_does_not_fit_the_committee_has_no_engine_form() {
        let made = made_by_the_engine(4, 3, (2, 1), hash("test block", &[]));
        let mut certificate = made.certificate.clone();
        certificate.signers[2] = 4;
        assert!(to_engine_form(&certificate, 4).is_none());
        certificate.signatures.pop();
        assert!(to_engine_form(&certificate, 5).is_none());
    }
}
