//! The recorded evidence, and what the tests share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::path::Path;

use sealbook_attestation::{
    Claims, Collateral, Evidence, Expected, Kind, Measurement, VerifyError, certificate_table,
};

/// A recorded file.
pub fn recorded(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A recorded report of AMD's with the certificate of its chip.
pub fn snp_evidence(name: &str) -> Evidence {
    let report = recorded(&format!("sev-snp/{name}-report.bin"));
    let vcek = recorded(&format!("sev-snp/{name}-vcek.der"));
    Evidence::new(Kind::SevSnp, report, certificate_table(&vcek)).unwrap()
}

/// What a report of AMD's says, read at the offsets of AMD's specification.
pub fn snp_expected(report: &[u8]) -> Expected {
    let measurement = Measurement::SevSnp(report[0x90..0xc0].try_into().unwrap());
    Expected::new(
        report[0x50..0x90].try_into().unwrap(),
        BTreeSet::from([measurement]),
    )
}

/// A recorded quote of Intel's with its collateral.
pub fn tdx_evidence(name: &str) -> Evidence {
    let quote = recorded(&format!("tdx/{name}.quote"));
    Evidence::new(Kind::Tdx, quote, collateral(name).encode()).unwrap()
}

/// Recorded collateral.
pub fn collateral(name: &str) -> Collateral {
    let json: serde_json::Value =
        serde_json::from_slice(&recorded(&format!("tdx/{name}.json"))).unwrap();
    let text = |key: &str| json[key].as_str().unwrap().to_owned();
    let bytes = |key: &str| hex::decode(text(key)).unwrap();
    Collateral {
        root_ca_revocations: bytes("root_ca_crl"),
        platform_issuer_chain: text("pck_crl_issuer_chain"),
        platform_revocations: bytes("pck_crl"),
        tcb_issuer_chain: text("tcb_info_issuer_chain"),
        tcb_info: text("tcb_info"),
        tcb_info_signature: bytes("tcb_info_signature"),
        enclave_issuer_chain: text("qe_identity_issuer_chain"),
        enclave_identity: text("qe_identity"),
        enclave_identity_signature: bytes("qe_identity_signature"),
        platform_chain: json["pck_certificate_chain"].as_str().map(str::to_owned),
    }
}

/// Where a quote's TD report begins: a quote of version 5 has its type and size before it.
pub fn td_report(quote: &[u8]) -> usize {
    if quote[0] == 4 { 48 } else { 54 }
}

/// What a quote of Intel's says, read at the offsets of Intel's specification.
pub fn tdx_expected(quote: &[u8]) -> Expected {
    let report = &quote[td_report(quote)..];
    let register = |index: usize| report[328 + 48 * index..][..48].try_into().unwrap();
    let measurement = Measurement::Tdx {
        initial: report[136..184].try_into().unwrap(),
        runtime: [register(0), register(1), register(2), register(3)],
    };
    Expected::new(
        report[520..584].try_into().unwrap(),
        BTreeSet::from([measurement]),
    )
}

/// The same bytes with one bit turned, another one of the eight at each position.
pub fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 1 << (at % 8);
    flipped
}

/// Calls `judge` for every position of `length`, on all cores.
pub fn everywhere(length: usize, judge: impl Fn(usize) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let judge = &judge;
            scope.spawn(move || (first..length).step_by(threads).for_each(judge));
        }
    });
}

/// The error's name, without what it says: `Debug` of a variant up to its fields.
pub fn variant(result: &Result<Claims, VerifyError>) -> String {
    match result {
        Ok(_) => "Ok".to_owned(),
        Err(error) => {
            let text = format!("{error:?}");
            let end = text.find(|one: char| !one.is_alphanumeric());
            text[..end.unwrap_or(text.len())].to_owned()
        }
    }
}
