#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use commonware_consensus::simplex::types::{ConflictingFinalize, Finalize};
use commonware_consensus::simplex::types::{
    ConflictingNotarize, Notarize, Nullify, NullifyFinalize, Proposal as EngineProposal,
};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use commonware_utils::ordered::Set;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;

use super::*;
use crate::committee::engine_signer;

/// Takes everything.
#[derive(Clone)]
struct Nobody;

impl Reporter for Nobody {
    type Activity = Activity<Scheme, EngineDigest>;

    fn report(&mut self, _: Self::Activity) -> Feedback {
        Feedback::Ok
    }
}

fn signer(namespace: &[u8], number: u8) -> Scheme {
    let key = |number| {
        let seed = SigningKey::from_seed([number; 32]);
        engine_key(seed.verifying_key().as_bytes()).unwrap()
    };
    let members = Set::from_iter_dedup([key(1), key(2), key(3), key(4)]);
    let private = engine_signer(&Secret32::new([number; 32])).unwrap();
    Scheme::signer(namespace, members, private).unwrap()
}

fn proposal(byte: u8) -> EngineProposal<EngineDigest> {
    let round = Round::new(Epoch::new(7), View::new(3));
    EngineProposal::new(round, View::new(2), to_engine(&Digest([byte; 32])))
}

#[test]
fn a_contradiction_is_handed_over_when_it_is_proved() {
    deterministic::Runner::default().start(|context| async move {
        let (ours, other) = (b"this network", b"another network");
        let liar = signer(ours, 2);
        let notarize = |scheme, byte| Notarize::sign(scheme, proposal(byte)).unwrap();
        let finalize = |scheme, byte| Finalize::sign(scheme, proposal(byte)).unwrap();
        let nullify = Nullify::sign::<EngineDigest>(&liar, proposal(1).round).unwrap();
        let proved = [
            Activity::ConflictingNotarize(ConflictingNotarize::new(
                notarize(&liar, 1),
                notarize(&liar, 2),
            )),
            Activity::ConflictingFinalize(ConflictingFinalize::new(
                finalize(&liar, 1),
                finalize(&liar, 2),
            )),
            Activity::NullifyFinalize(NullifyFinalize::new(nullify, finalize(&liar, 1))),
        ];
        // Somebody could have signed for another network, or not at all.
        let elsewhere = signer(other, 2);
        let unproved = Activity::ConflictingNotarize(ConflictingNotarize::new(
            notarize(&liar, 1),
            notarize(&elsewhere, 2),
        ));

        let (queue, mut received) = deliveries(4);
        let blocks_max = 4;
        let counters = Arc::new(Counters::default());
        let mut observed = Observed::new(
            Nobody,
            7,
            (context.child("random"), signer(ours, 1)),
            (counters.clone(), EvidenceSender { queue, blocks_max }),
        );
        let _ = observed.report(unproved);
        assert!(received.try_recv().is_err());
        let accused = *SigningKey::from_seed([2; 32]).verifying_key().as_bytes();
        for activity in &proved {
            let _ = observed.report(activity.clone());
            let Ok(Delivery::Contradiction(key, evidence)) = received.try_recv() else {
                panic!("no evidence");
            };
            assert_eq!((key, evidence), (accused, activity.encode()));
        }
        assert_eq!(counters.contradictions.load(Ordering::Relaxed), 3);
        // Room for blocks stays.
        for _ in 0..1_000 {
            let _ = observed.report(proved[0].clone());
        }
        assert!(received.len() <= 2 * EVIDENCE_MAX);
    });
}
