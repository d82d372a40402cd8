//! The chain from AMD's pinned root to the key of one chip at one level of firmware.
//!
//! AMD signs certificates with RSA-PSS, SHA-384 and a salt of 48 bytes; nothing else is accepted, whatever a
//! certificate says of itself. The root (ARK) and the certificate below it (ASK) are pinned byte by byte, so only the
//! chip's own certificate (VCEK) comes from outside.

use ring::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use x509_parser::asn1_rs::{FromDer, Oid, oid};
use x509_parser::certificate::X509Certificate;

use super::Product;
use crate::collateral::{TABLE_ENTRY_BYTES, VCEK_ENTRY};
use crate::{SnpTcb, VerifyError};

const MILAN_ARK: &[u8] = include_bytes!("../../roots/amd-milan-ark.der");
const MILAN_ASK: &[u8] = include_bytes!("../../roots/amd-milan-ask.der");
const GENOA_ARK: &[u8] = include_bytes!("../../roots/amd-genoa-ark.der");
const GENOA_ASK: &[u8] = include_bytes!("../../roots/amd-genoa-ask.der");

/// Most entries in a table of certificates; AMD defines six kinds.
const MAX_TABLE_ENTRIES: usize = 16;

/// The extensions of a VCEK, below AMD's 1.3.6.1.4.1.3704.1.
const BOOTLOADER: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.1);
const TEE: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.2);
const SNP: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.3);
const MICROCODE: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.8);
const CHIP: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.4);
const RSA_PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);

/// A root and the certificate that it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    ark: Vec<u8>,
    ask: Vec<u8>,
}

impl Root {
    pub(super) fn of(product: Product) -> Self {
        match product {
            Product::Milan => Root::danger_new(MILAN_ARK, MILAN_ASK),
            Product::Genoa => Root::danger_new(GENOA_ARK, GENOA_ASK),
        }
    }

    pub(super) fn danger_new(ark: &[u8], ask: &[u8]) -> Self {
        Root {
            ark: ark.to_owned(),
            ask: ask.to_owned(),
        }
    }
}

/// What a believed VCEK says.
pub(super) struct Chip {
    /// The point on P-384, uncompressed.
    pub(super) public_key: Vec<u8>,
    pub(super) chip_id: [u8; 64],
    pub(super) tcb: SnpTcb,
    pub(super) valid_until_ms: u64,
}

/// The VCEK in a table of certificates; other entries are skipped, but have to lie inside the table.
pub(super) fn find_vcek(table: &[u8]) -> Result<&[u8], VerifyError> {
    if table.is_empty() {
        return Err(VerifyError::NoCollateral);
    }
    let mut vcek = None;
    for entry in table.chunks(TABLE_ENTRY_BYTES).take(MAX_TABLE_ENTRIES) {
        let entry: [u8; TABLE_ENTRY_BYTES] = entry
            .try_into()
            .map_err(|_| malformed("the table of certificates ends inside an entry"))?;
        if entry == [0; TABLE_ENTRY_BYTES] {
            return vcek.ok_or(VerifyError::NoCollateral);
        }
        let [identifier @ .., o0, o1, o2, o3, l0, l1, l2, l3] = entry;
        let offset = index([o0, o1, o2, o3])?;
        let length = index([l0, l1, l2, l3])?;
        let certificate = offset
            .checked_add(length)
            .and_then(|end| table.get(offset..end))
            .ok_or_else(|| malformed("a certificate lies outside of its table"))?;
        if identifier == VCEK_ENTRY && vcek.replace(certificate).is_some() {
            return Err(malformed("the table has two VCEKs"));
        }
    }
    Err(malformed("the table of certificates has no end"))
}

/// The chip that `vcek` certifies, by one of the roots, at the given time.
pub(super) fn chip(roots: &[Root], vcek: &[u8], now_ms: u64) -> Result<Chip, VerifyError> {
    let vcek = certificate(vcek)?;
    for root in roots {
        let ark = certificate(&root.ark)?;
        let ask = certificate(&root.ask)?;
        if ask.subject().as_raw() != vcek.issuer().as_raw() {
            continue;
        }
        signed_by(&ark, &ark, "the root certificate")?;
        signed_by(&ask, &ark, "the certificate below the root")?;
        signed_by(&vcek, &ask, "the chip's certificate")?;
        let mut valid_until_ms = u64::MAX;
        for one in [&ark, &ask, &vcek] {
            valid_until_ms = valid_until_ms.min(valid(one, now_ms)?);
        }
        return Ok(Chip {
            public_key: vcek.public_key().subject_public_key.data.to_vec(),
            chip_id: extension(&vcek, &CHIP)?
                .try_into()
                .map_err(|_| malformed("the chip's identity has not 64 bytes"))?,
            tcb: SnpTcb {
                bootloader: small_number(extension(&vcek, &BOOTLOADER)?)?,
                tee: small_number(extension(&vcek, &TEE)?)?,
                snp: small_number(extension(&vcek, &SNP)?)?,
                microcode: small_number(extension(&vcek, &MICROCODE)?)?,
            },
            valid_until_ms,
        });
    }
    Err(VerifyError::Signature(
        "the chip's certificate is not below an accepted root".to_owned(),
    ))
}

/// The certificate that is exactly these bytes.
fn certificate(bytes: &[u8]) -> Result<X509Certificate<'_>, VerifyError> {
    match X509Certificate::from_der(bytes) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(malformed("bytes follow a certificate")),
        Err(error) => Err(VerifyError::Malformed(format!("a certificate: {error}"))),
    }
}

fn signed_by(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    which: &str,
) -> Result<(), VerifyError> {
    let broken = || VerifyError::Signature(which.to_owned());
    // The algorithm stands twice, and only once under the signature.
    let algorithm = &certificate.signature_algorithm;
    if algorithm.algorithm != RSA_PSS || *algorithm != certificate.tbs_certificate.signature {
        return Err(broken());
    }
    let signature = &certificate.signature_value;
    if signature.unused_bits != 0 {
        return Err(broken());
    }
    let key = &issuer.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key)
        .verify(certificate.tbs_certificate.as_ref(), &signature.data)
        .map_err(|_| broken())
}

/// Until when a certificate holds, in milliseconds, if it holds now.
fn valid(certificate: &X509Certificate<'_>, now_ms: u64) -> Result<u64, VerifyError> {
    // Seconds since 1970; a time before that is far enough in the past to be 0.
    let milliseconds = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    let validity = certificate.validity();
    if now_ms < milliseconds(validity.not_before.timestamp()) {
        return Err(VerifyError::NotYetValid("a certificate"));
    }
    // The last second counts in full.
    let until_ms = milliseconds(validity.not_after.timestamp()).saturating_add(999);
    if now_ms > until_ms {
        return Err(VerifyError::Expired("a certificate"));
    }
    Ok(until_ms)
}

/// The value of an extension that has to be there once.
fn extension<'a>(
    certificate: &X509Certificate<'a>,
    oid: &Oid<'_>,
) -> Result<&'a [u8], VerifyError> {
    match certificate.get_extension_unique(oid) {
        Ok(Some(extension)) => Ok(extension.value),
        _ => Err(malformed("the chip's certificate lacks an extension")),
    }
}

/// A DER integer from 0 to 255.
fn small_number(der: &[u8]) -> Result<u8, VerifyError> {
    match der {
        [2, 1, value @ 0..=0x7f] | [2, 2, 0, value @ 0x80..=0xff] => Ok(*value),
        _ => Err(malformed(
            "a version in the chip's certificate is no small number",
        )),
    }
}

fn index(bytes: [u8; 4]) -> Result<usize, VerifyError> {
    usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| malformed("an offset is too large"))
}

fn malformed(reason: &str) -> VerifyError {
    VerifyError::Malformed(reason.to_owned())
}
