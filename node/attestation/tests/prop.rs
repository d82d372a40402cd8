//! Nothing panics, whatever the bytes; and nothing but the genuine passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[cfg(feature = "verify")]
mod support;

use proptest::prelude::*;
use sealbook_attestation::{Collateral, Evidence, Kind};

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Process), Just(Kind::SevSnp), Just(Kind::Tdx)]
}

proptest! {
    #[test]
    fn evidence_survives_the_round_trip(
        kind in kinds(),
        statement in prop::collection::vec(any::<u8>(), 0..300),
        auxiliary in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let evidence = Evidence::new(kind, statement, auxiliary).unwrap();
        prop_assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence));
    }

    #[test]
    fn what_is_read_has_one_encoding(
        first in 0_u8..3,
        second in 0_u8..5,
        rest in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let bytes = [&[first, second][..], &rest].concat();
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes);
        }
        if let Ok(collateral) = Collateral::decode(&rest) {
            prop_assert_eq!(collateral.encode(), rest);
        }
    }
}

#[cfg(feature = "verify")]
mod verifiers {
    use sealbook_attestation::{
        Gate, Policy, ProcessVerifier, SevSnpVerifier, TdxVerifier, Verifier,
    };

    use super::*;
    use crate::support::{collateral, snp_evidence, snp_expected, tdx_evidence, tdx_expected};

    fn gate(own: Option<Collateral>) -> Gate {
        let policy = Policy {
            accept_process: true,
            ..Policy::default()
        };
        Gate::new(policy)
            .with(Kind::Process, ProcessVerifier::new(policy))
            .with(Kind::SevSnp, SevSnpVerifier::default())
            .with(Kind::Tdx, TdxVerifier::new(own))
    }

    /// A part of the bytes replaced by others, shorter or longer.
    fn spliced(bytes: &[u8], at: prop::sample::Index, removed: usize, inserted: &[u8]) -> Vec<u8> {
        let at = at.index(bytes.len());
        let end = bytes.len().min(at + removed);
        [&bytes[..at], inserted, &bytes[end..]].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn noise_is_refused(
            kind in kinds(),
            statement in prop::collection::vec(any::<u8>(), 0..1300),
            auxiliary in prop::collection::vec(any::<u8>(), 0..600),
            now_ms in any::<u64>(),
        ) {
            let expected = snp_expected(snp_evidence("milan").statement());
            let evidence = Evidence::new(kind, statement, auxiliary).unwrap();
            prop_assert!(gate(None).verify(&evidence, &expected, now_ms).is_err());
            let own = Some(collateral("up-to-date"));
            prop_assert!(gate(own).verify(&evidence, &expected, now_ms).is_err());
        }

        #[test]
        fn spliced_reports_do_not_pass(
            in_statement in any::<bool>(),
            at in any::<prop::sample::Index>(),
            removed in 0_usize..40,
            inserted in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let genuine = snp_evidence("milan");
            let expected = snp_expected(genuine.statement());
            let change = |bytes: &[u8], change: bool| {
                if change { spliced(bytes, at, removed, &inserted) } else { bytes.to_vec() }
            };
            let statement = change(genuine.statement(), in_statement);
            let auxiliary = change(genuine.auxiliary(), !in_statement);
            let evidence = Evidence::new(Kind::SevSnp, statement, auxiliary).unwrap();
            let judged = gate(None).verify(&evidence, &expected, 1_800_000_000_000);
            prop_assert!(judged.is_err() || evidence == genuine);
        }

        #[test]
        fn spliced_quotes_and_collateral_say_nothing_new(
            in_statement in any::<bool>(),
            at in any::<prop::sample::Index>(),
            removed in 0_usize..40,
            inserted in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let now_ms = 1_751_328_000_000;
            let genuine = tdx_evidence("up-to-date");
            let expected = tdx_expected(genuine.statement());
            let claims = gate(None).verify(&genuine, &expected, now_ms).unwrap();
            let change = |bytes: &[u8], change: bool| {
                if change { spliced(bytes, at, removed, &inserted) } else { bytes.to_vec() }
            };
            let statement = change(genuine.statement(), in_statement);
            let auxiliary = change(genuine.auxiliary(), !in_statement);
            let evidence = Evidence::new(Kind::Tdx, statement, auxiliary).unwrap();
            if let Ok(judged) = gate(None).verify(&evidence, &expected, now_ms) {
                prop_assert_eq!(judged, claims);
            }
        }
    }
}
