//! The report itself: fixed offsets, and its signature.
//!
//! ```text
//! 000 version u32    | 008 guest policy u64 | 030 privilege level u32 | 034 algorithm u32 | 038 current TCB
//! 048 flags u32      | 050 report data 64   | 090 measurement 48      | 160 migration agent 32
//! 180 reported TCB   | 1a0 chip identity 64 | 1e0 committed TCB       | 1f0 TCB at launch
//! 2a0 signature: r 72, s 72, zero 368                                   4a0 end
//! ```
//!
//! Numbers are little endian, the signature's as well. Versions 2 to 5 have these fields at these offsets; later ones
//! put more into what is reserved before them.

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use crate::{Expected, REPORT_DATA_LENGTH, SnpTcb, VerifyError};

const REPORT_BYTES: usize = 0x4a0;
const SIGNED_BYTES: usize = 0x2a0;
/// The bytes of a number in a signature, of which P-384 needs the first 48.
const NUMBER_BYTES: usize = 72;
const P384_BYTES: usize = 48;

/// The oldest version with the fields above, and the newest that is known.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=5;
/// ECDSA with P-384 and SHA-384, the only algorithm there is.
const ALGORITHM: u32 = 1;
/// In the guest's policy: a migration agent may move the guest, and so read it.
const POLICY_MIGRATION: u64 = 1 << 18;
/// In the guest's policy: the hypervisor may read and write the guest's memory.
const POLICY_DEBUG: u64 = 1 << 19;
/// In the flags: chips do not say who they are.
const FLAG_MASK_CHIP: u32 = 1 << 1;
/// In the flags: which key signed; 0 is the VCEK.
const FLAG_SIGNING_KEY: u32 = 0b111 << 2;

/// A report that has the right form; nobody has vouched for it yet.
pub(super) struct Report<'a> {
    signed: &'a [u8],
    signature: [u8; 2 * P384_BYTES],
    pub(super) report_data: [u8; REPORT_DATA_LENGTH],
    pub(super) measurement: [u8; 48],
    pub(super) chip_id: [u8; 64],
    pub(super) reported_tcb: SnpTcb,
    pub(super) debug_allowed: bool,
    migration_allowed: bool,
    privilege_level: u32,
    current_tcb: SnpTcb,
    committed_tcb: SnpTcb,
    launch_tcb: SnpTcb,
}

impl<'a> Report<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, VerifyError> {
        if bytes.len() != REPORT_BYTES {
            let length = bytes.len();
            return Err(malformed(&format!(
                "a report has {REPORT_BYTES} bytes, not {length}"
            )));
        }
        let version = u32::from_le_bytes(field(bytes, 0x00)?);
        if !VERSIONS.contains(&version) {
            return Err(malformed(&format!("version {version} is not known here")));
        }
        if u32::from_le_bytes(field(bytes, 0x34)?) != ALGORITHM {
            return Err(malformed("the algorithm is not ECDSA with P-384"));
        }
        let flags = u32::from_le_bytes(field(bytes, 0x48)?);
        if flags & FLAG_SIGNING_KEY != 0 {
            return Err(malformed(
                "it is signed with another key than a chip's VCEK",
            ));
        }
        if flags & FLAG_MASK_CHIP != 0 {
            return Err(malformed("the chip hides its identity"));
        }
        let policy = u64::from_le_bytes(field(bytes, 0x08)?);
        Ok(Report {
            signed: bytes.get(..SIGNED_BYTES).unwrap_or_default(),
            signature: signature(bytes)?,
            report_data: field(bytes, 0x50)?,
            measurement: field(bytes, 0x90)?,
            chip_id: field(bytes, 0x1a0)?,
            reported_tcb: tcb(bytes, 0x180)?,
            debug_allowed: policy & POLICY_DEBUG != 0,
            migration_allowed: policy & POLICY_MIGRATION != 0,
            privilege_level: u32::from_le_bytes(field(bytes, 0x30)?),
            current_tcb: tcb(bytes, 0x38)?,
            committed_tcb: tcb(bytes, 0x1e0)?,
            launch_tcb: tcb(bytes, 0x1f0)?,
        })
    }

    pub(super) fn verify_signature(&self, public_key: &[u8]) -> Result<(), VerifyError> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key)
            .verify(self.signed, &self.signature)
            .map_err(|_| VerifyError::Signature("the report's own".to_owned()))
    }

    /// What only reports of this kind have; the signature is verified.
    pub(super) fn judge(&self, expected: &Expected) -> Result<(), VerifyError> {
        if self.migration_allowed {
            return Err(VerifyError::Configuration(
                "a migration agent may move the guest".to_owned(),
            ));
        }
        if self.privilege_level > expected.snp_privilege_level_max {
            return Err(VerifyError::Configuration(format!(
                "privilege level {}, at most {} is accepted",
                self.privilege_level, expected.snp_privilege_level_max
            )));
        }
        let minimum = &expected.snp_tcb_minimum;
        for (which, found) in [
            ("reported", &self.reported_tcb),
            ("current", &self.current_tcb),
            // What is not committed can be rolled back without a trace.
            ("committed", &self.committed_tcb),
            // A guest that was started on flawed firmware stays doubtful when the firmware is replaced below it.
            ("launch", &self.launch_tcb),
        ] {
            if !found.reaches(minimum) {
                return Err(VerifyError::Tcb(format!(
                    "the {which} versions {found:?} do not reach {minimum:?}"
                )));
            }
        }
        Ok(())
    }
}

/// The bytes at an offset.
fn field<const LENGTH: usize>(bytes: &[u8], offset: usize) -> Result<[u8; LENGTH], VerifyError> {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or_else(|| malformed("it is too short"))
}

/// The versions at an offset, in the layout of Milan and Genoa.
fn tcb(bytes: &[u8], offset: usize) -> Result<SnpTcb, VerifyError> {
    let [
        bootloader,
        tee,
        first,
        second,
        third,
        fourth,
        snp,
        microcode,
    ] = field(bytes, offset)?;
    if [first, second, third, fourth] != [0; 4] {
        return Err(malformed("versions have another layout than is known here"));
    }
    Ok(SnpTcb {
        bootloader,
        tee,
        snp,
        microcode,
    })
}

/// Both numbers, big endian. All that is not part of them has to be zero: it is not signed.
fn signature(bytes: &[u8]) -> Result<[u8; 2 * P384_BYTES], VerifyError> {
    let r: [u8; NUMBER_BYTES] = field(bytes, SIGNED_BYTES)?;
    let s: [u8; NUMBER_BYTES] = field(bytes, SIGNED_BYTES + NUMBER_BYTES)?;
    let rest = bytes
        .get(SIGNED_BYTES + 2 * NUMBER_BYTES..)
        .unwrap_or_default();
    let mut fixed = [0; 2 * P384_BYTES];
    for (half, number) in fixed.chunks_exact_mut(P384_BYTES).zip([r, s]) {
        let (value, high) = number.split_at(P384_BYTES);
        if high.iter().any(|byte| *byte != 0) {
            return Err(malformed("the signature's numbers are too large"));
        }
        half.copy_from_slice(value);
        half.reverse();
    }
    if rest.iter().any(|byte| *byte != 0) {
        return Err(malformed("the bytes after the signature are not zero"));
    }
    Ok(fixed)
}

fn malformed(reason: &str) -> VerifyError {
    VerifyError::Malformed(reason.to_owned())
}
