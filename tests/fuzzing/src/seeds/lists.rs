//! Seeds: revocation lists.

use rcgen::RevocationReason::{CertificateHold, KeyCompromise, PrivilegeWithdrawn, Superseded};
use sealbook_identity::pem;

use super::{Group, named};
use crate::fixtures::people::{DAY_MS, NOW_MS, authorities, list, signed_part};

pub(super) fn revocation_lists() -> Group {
    let later = NOW_MS + DAY_MS;
    let some = [
        (1, KeyCompromise),
        (0x80, Superseded),
        (u64::MAX, PrivilegeWithdrawn),
        (7, CertificateHold),
    ];
    let (firms, nodes) = (list("firm", &some, later), list("node", &some[..1], later));
    let empty = list("firm", &[], later);
    let twice = list("firm", &[(5, Superseded), (5, KeyCompromise)], later);
    let stale = list("firm", &some, NOW_MS - 1000);
    let admins = list("admin", &[], later);
    let [_, firm, node] = authorities() else {
        return Vec::new();
    };
    let pairs = [(firm.clone(), firms.clone()), (node.clone(), nodes.clone())];
    let text = pem::lists_to_pem(&pairs).expect("lists");
    vec![
        named("admins-part", signed_part(&admins)),
        named("empty", empty),
        named("file", text.into_bytes()),
        named("firms-part", signed_part(&firms)),
        named("firms", firms),
        named("nodes-part", signed_part(&nodes)),
        named("nodes", nodes),
        named("stale", stale),
        named("refused-twice", twice),
    ]
}
