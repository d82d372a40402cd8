//! Targets: what the ledger is made of, and what proves that it is final.

use borsh::BorshDeserialize;
use bytes::Bytes;
use sealbook_identity::{Certificate, Usage, verify_chain};
use sealbook_ledger::{
    Attachment, BLOCK_VERSION, Block, BlockError, Committee, EpochDefinition, FinalityCertificate,
    FinalityProof, Genesis, Header, MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_BLOCK_BYTES,
    MAX_GENESIS_BYTES, MAX_KEY_HOLDERS, MAX_MANIFEST_BYTES, MAX_PROOF_BYTES, MAX_QUOTA_LEVEL,
    MAX_RECEIPT_BYTES, MAX_ROOTS, MAX_SNAPSHOT_PIECES, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS,
    Receipt, Recovery, SnapshotManifest, Transaction,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::Signature;
use sealbook_sdk::{MAX_STATEMENT_BYTES, RegistryStatement};

use crate::exact::{exact, neighbours_are_refused};
use crate::fixtures::network::{chain, network};
use crate::fixtures::registry;
use crate::words::check_commitment;
use crate::{envelope, opening_key};

const FOLLOWED: usize = 4;

/// A block with its body: as it stands, and with a header that was made to commit to what the body became.
pub fn block(data: &[u8]) -> bool {
    let whole = check_block(data);
    let mended = !whole && mend_block(data).is_some_and(|bytes| check_block(&bytes));
    whole || mended
}

/// A block as it is encoded. What is left of an attachment has the tag 1, as `Ok` has.
#[derive(BorshDeserialize)]
struct WireBlock {
    _version: u16,
    header: Header,
    transactions: Vec<(u16, Signature, Vec<u8>)>,
    attachments: Vec<Result<Digest, Vec<u8>>>,
}

/// The block with the roots of its body in its header. It is read if it keeps the limits.
fn mend_block(data: &[u8]) -> Option<Vec<u8>> {
    let wire = WireBlock::try_from_slice(data).ok()?;
    let transactions = wire.transactions.into_iter();
    let transactions = transactions.map(|(carrier, signature, envelope)| {
        Transaction::new(carrier, signature, Bytes::from(envelope))
    });
    let attachments = wire.attachments.into_iter().map(|one| match one {
        Ok(digest) => Attachment::Erased(digest),
        Err(bytes) => Attachment::Present(Bytes::from(bytes)),
    });
    let (parent, time_ms) = (&wire.header, wire.header.time_ms);
    let mut block = Block::after(
        parent,
        time_ms,
        transactions.collect(),
        attachments.collect(),
        Vec::new(),
    );
    block.header = Header {
        version: BLOCK_VERSION,
        transactions_root: block.header.transactions_root,
        attachments_root: block.header.attachments_root,
        ..wire.header
    };
    let envelopes = block.transactions.iter().map(|one| one.envelope().len());
    let sealed = block.attachments.iter().filter_map(Attachment::bytes);
    let within = block.header.roots.len() <= MAX_ROOTS
        && block.transactions.len() <= MAX_TRANSACTIONS
        && block.attachments.len() <= MAX_ATTACHMENTS
        && envelopes.max() <= Some(MAX_TRANSACTION_BYTES)
        && sealed.map(Bytes::len).max() <= Some(MAX_ATTACHMENT_BYTES);
    let bytes = block.encode();
    assert_eq!(Block::decode(&bytes, usize::MAX).is_ok(), within);
    within.then_some(bytes)
}

fn check_block(data: &[u8]) -> bool {
    let Ok(block) = Block::decode(data, MAX_BLOCK_BYTES) else {
        return false;
    };
    assert!(data.len() <= MAX_BLOCK_BYTES);
    assert_eq!(block.encode(), data, "a block with two encodings");
    assert_eq!(block.encoded_length(), data.len());
    assert_eq!(block.check_body(), Ok(()));
    neighbours_are_refused(data, |bytes| Block::decode(bytes, MAX_BLOCK_BYTES).is_ok());
    assert!(Block::decode(data, data.len()).is_ok());
    let refused = Block::decode(data, data.len().saturating_sub(1));
    assert!(matches!(refused, Err(BlockError::TooLarge { .. })));

    let header = &block.header;
    assert_eq!(header.committed_roots().count(), header.roots.len());
    let founding = network().genesis.block().header;
    let follows = header.check_follows(&founding);
    assert!(follows.is_err() || header.height == 1);
    let mut other = header.clone();
    other.time_ms ^= 1;
    assert_ne!(other.digest(), header.digest());

    let first = founding_epoch();
    for transaction in block.transactions.iter().take(FOLLOWED) {
        if let Some(key) = first.carrier(transaction.carrier) {
            // Whether it holds is not known; that a signature for one network holds in no other is.
            let holds = transaction.verify_carrier(&header.network, key).is_ok();
            let elsewhere = founding.digest();
            assert!(!holds || transaction.verify_carrier(&elsewhere, key).is_err());
        }
        envelope(transaction.envelope());
    }
    check_erasure(&block);
    check_continuation(&block);
    true
}

fn founding_epoch() -> &'static EpochDefinition {
    &network().first
}

/// Attachments may be erased: the digest stays, and so does what the header commits to.
fn check_erasure(block: &Block) {
    let mut erased = block.clone();
    for attachment in &mut erased.attachments {
        *attachment = Attachment::Erased(attachment.digest());
    }
    assert_eq!(erased.check_body(), Ok(()));
    assert_eq!(erased.digest(), block.digest());
    assert_eq!(Block::decode(&erased.encode(), MAX_BLOCK_BYTES), Ok(erased));
}

/// A block made after this one follows it, if any can.
fn check_continuation(block: &Block) {
    let parent = &block.header;
    let next = Block::after(parent, parent.time_ms, Vec::new(), Vec::new(), Vec::new());
    let room = parent.height < u64::MAX && parent.executed_height <= parent.height;
    assert_eq!(next.header.check_follows(parent).is_ok(), room);
    assert_eq!(next.check_body(), Ok(()));
}

/// A finality certificate, held against the committee of the fixtures: as it stands, and with the votes that the
/// members it names would have given.
pub fn certificate(data: &[u8]) -> bool {
    let Ok(certificate) = FinalityCertificate::decode(data) else {
        return false;
    };
    assert!(data.len() <= 64 * 1024);
    assert_eq!(certificate.encode(), data, "two encodings");
    neighbours_are_refused(data, |bytes| FinalityCertificate::decode(bytes).is_ok());
    let network = network();
    let committee = network.first.committee().expect("the fixtures' committee");
    let namespace = network.genesis.namespace();
    if certificate.verify(&committee, &namespace).is_ok() {
        check_final(&certificate, &committee, &namespace);
    }
    let mut voted = certificate;
    network.vote(&mut voted);
    let (signers, members) = (&voted.signers, committee.members().len());
    let lawful = voted.epoch == committee.epoch()
        && signers.is_sorted_by(|one, two| one < two)
        && (committee.quorum()..=members).contains(&signers.len())
        && signers.iter().all(|one| usize::from(*one) < members);
    assert_eq!(voted.verify(&committee, &namespace).is_ok(), lawful);
    if lawful {
        check_final(&voted, &committee, &namespace);
    }
    true
}

/// What a certificate that holds must be, and that it holds for nothing else.
fn check_final(certificate: &FinalityCertificate, committee: &Committee, namespace: &[u8]) {
    let signers = &certificate.signers;
    assert!(signers.len() >= committee.quorum());
    assert_eq!(signers.len(), certificate.signatures.len());
    assert!(signers.is_sorted_by(|one, two| one < two));
    let members = committee.members().len();
    assert!(signers.iter().all(|one| usize::from(*one) < members));
    let holds = |one: &FinalityCertificate| one.verify(committee, namespace).is_ok();
    let altered = |alter: &dyn Fn(&mut FinalityCertificate)| {
        let mut other = certificate.clone();
        alter(&mut other);
        holds(&other)
    };
    assert!(!altered(&|one| one.epoch ^= 1));
    assert!(!altered(&|one| one.view ^= 1));
    assert!(!altered(&|one| one.parent_view ^= 1));
    assert!(!altered(&|one| one.block.0 = one.block.0.map(|byte| !byte)));
    assert!(certificate.verify(committee, b"elsewhere").is_err());
}

/// The definition of a committee epoch.
pub fn epoch(data: &[u8]) -> bool {
    let Some(definition) = exact::<EpochDefinition>(data) else {
        return false;
    };
    let digest = definition.committee_digest();
    let mut reversed = definition.clone();
    reversed.validators.reverse();
    assert_eq!(reversed.committee_digest(), digest);
    if definition.check().is_err() {
        return true;
    }
    let committee = definition.committee().expect("it was checked");
    assert_eq!(committee.members().len(), definition.validators.len());
    assert!(committee.quorum() * 3 > committee.members().len() * 2);
    assert!(definition.same_committee(&reversed));
    let heights = definition.first_height..=definition.last_height;
    assert!(heights.contains(&definition.plan_height()));
    for (place, key) in (0..).zip(definition.carriers()) {
        assert_eq!(definition.carrier(place), Some(key));
        assert_eq!(definition.carrier_place(key), Some(place));
    }
    let parameters = &definition.parameters;
    assert_eq!(parameters.check(), Ok(()));
    for level in 0..=MAX_QUOTA_LEVEL {
        let (more, less) = (
            parameters.carrier_quota(level),
            parameters.carrier_quota(level.saturating_add(1)),
        );
        assert!(more >= less && less > 0);
    }
    let next = definition.next(
        definition.validators.clone(),
        definition.observers.clone(),
        definition.parameters.clone(),
    );
    // Only at the end of the numbers there is no next one.
    let room = definition.epoch < u64::MAX && next.last_height < u64::MAX;
    assert!(!room || next.check_follows(&definition).is_ok());
    check_opening(&definition);
    let begins = next.with_key_epoch(definition.opening.public_key.clone(), digest);
    let room = room && definition.opening.key_epoch < u32::MAX;
    assert!(!room || begins.check_follows(&definition).is_ok());
    check_opening(&begins);
    true
}

/// Which key epochs are open: the present one, the one before for its time of grace, and no other.
fn check_opening(definition: &EpochDefinition) {
    let opening = &definition.opening;
    let first = opening.public_key.first().copied();
    assert_eq!(Some(opening.suite()), first);
    let grace = u64::from(definition.parameters.key_grace_blocks);
    let ends = opening.since_height.saturating_add(grace);
    let heights = [
        definition.first_height,
        definition.last_height,
        ends.saturating_sub(1),
        ends,
    ];
    let (present, before) = (opening.key_epoch, opening.key_epoch.checked_sub(1));
    for height in heights {
        assert!(definition.opens(present, height));
        assert!(before.is_none_or(|one| definition.opens(one, height) == (height < ends)));
        for other in [present.checked_add(1), present.checked_sub(2)] {
            assert!(other.is_none_or(|one| !definition.opens(one, height)));
        }
    }
}

/// A genesis document.
pub fn genesis(data: &[u8]) -> bool {
    let Ok(genesis) = Genesis::decode(data) else {
        return false;
    };
    assert!(data.len() <= MAX_GENESIS_BYTES);
    assert_eq!(genesis.encode(), data, "a genesis with two encodings");
    neighbours_are_refused(data, |bytes| Genesis::decode(bytes).is_ok());
    let first = genesis.first_epoch();
    assert_eq!(first.check(), Ok(()));
    assert!(genesis.committee().is_ok());
    assert_eq!(genesis.governance.check(), Ok(()));
    assert!(epoch(
        &borsh::to_vec(&first).expect("an epoch can be written")
    ));
    assert_eq!(
        genesis.namespace(),
        genesis.network().to_string().as_bytes()
    );
    assert_eq!(genesis.namespace().len(), 64);
    let founding = genesis.block();
    assert_eq!(founding.header.network, genesis.network());
    assert!(block(&founding.encode()));
    for one in genesis.opening_epochs.iter().take(FOLLOWED) {
        opening_key(&one.public_key);
    }
    let Recovery { threshold, holders } = &genesis.recovery;
    assert!(usize::from(*threshold) <= holders.len());
    assert_eq!(genesis.share_commitments.len(), holders.len());
    for list in [&genesis.audit_recipients, holders] {
        assert!(list.len() <= MAX_KEY_HOLDERS);
        for holder in list.iter().take(FOLLOWED) {
            opening_key(&holder.key);
        }
    }
    let certificates = |chain: &Vec<Vec<u8>>| -> Vec<Certificate> {
        chain.iter().cloned().map(Certificate::from).collect()
    };
    let roots = certificates(&genesis.certificate_roots);
    for chain in genesis.admins.iter().take(FOLLOWED) {
        let (name, now_ms) = (&genesis.network_name, genesis.created_ms);
        let chain = certificates(chain);
        if let Ok(admin) = verify_chain(&roots, &chain, name, now_ms, Usage::Any) {
            assert_eq!(&admin.network, name);
        }
    }
    true
}

/// The manifest of a sealed snapshot.
pub fn manifest(data: &[u8]) -> bool {
    let Ok(manifest) = SnapshotManifest::decode(data) else {
        return false;
    };
    assert!(data.len() <= MAX_MANIFEST_BYTES);
    assert_eq!(manifest.encode(), data, "a manifest with two encodings");
    neighbours_are_refused(data, |bytes| SnapshotManifest::decode(bytes).is_ok());
    assert!((1..=MAX_SNAPSHOT_PIECES).contains(&manifest.pieces().count()));
    check_commitment(&manifest.commitment);
    // Names may be erased; nothing else may change.
    let mut nameless = manifest.clone();
    nameless.name_pieces.clear();
    assert_eq!(nameless.digest(), manifest.digest());
    assert_eq!(
        SnapshotManifest::decode(&nameless.encode()),
        Ok(nameless.clone())
    );
    nameless.state_pieces.reverse();
    nameless.key_epoch ^= 1;
    assert_ne!(nameless.digest(), manifest.digest());
    true
}

/// A proof that headers are final, held against the genesis document of the fixtures: as it stands, and certified anew.
pub fn proof(data: &[u8]) -> bool {
    let Ok(proof) = FinalityProof::decode(data) else {
        return false;
    };
    assert!(data.len() <= MAX_PROOF_BYTES);
    assert_eq!(proof.encode(), data, "a proof with two encodings");
    neighbours_are_refused(data, |bytes| FinalityProof::decode(bytes).is_ok());
    check_proof(&proof);
    // Headers that follow each other and certificates of those who were in office, whatever the headers say.
    let mut mended = proof;
    network().certify(&mut mended);
    check_proof(&mended);
    true
}

/// What a proof that holds must be, and that it holds for nothing else.
fn check_proof(proof: &FinalityProof) {
    let genesis = &network().genesis;
    let Ok(known) = proof.verify(genesis) else {
        return;
    };
    let last = proof.headers.last().expect("a proof of something");
    assert_eq!(last.network, genesis.network());
    assert_eq!(last.committee, known.committee_digest());
    assert_eq!(proof.certificate.block, last.digest());
    assert_eq!(proof.certificate.epoch, last.epoch);
    let follow = proof
        .headers
        .windows(2)
        .all(|pair| matches!(pair, [one, two] if two.check_follows(one).is_ok()));
    assert!(follow);
    let altered = |alter: &dyn Fn(&mut FinalityProof)| {
        let mut other = proof.clone();
        alter(&mut other);
        other.verify(genesis).is_ok()
    };
    assert!(!altered(&|one| one.certificate.view ^= 1));
    assert!(!altered(&|one| one.certificate.signers.clear()));
    assert!(!altered(&|one| one.headers.clear()));
    assert!(!altered(&|one| {
        if let Some(header) = one.headers.last_mut() {
            header.time_ms ^= 1;
        }
    }));
    // Whoever needs fewer headers may cut them off at the front.
    assert!(proof.headers.len() == 1 || altered(&|one| drop(one.headers.remove(0))));
}

/// A receipt, held against the genesis document of the fixtures.
pub fn receipt(data: &[u8]) -> bool {
    let Ok(receipt) = Receipt::decode(data) else {
        return false;
    };
    assert!(data.len() <= MAX_RECEIPT_BYTES);
    assert_eq!(receipt.encode(), data, "a receipt with two encodings");
    neighbours_are_refused(data, |bytes| Receipt::decode(bytes).is_ok());
    check_commitment(&receipt.commitment);
    let genesis = &network().genesis;
    let Ok(proven) = receipt.verify(genesis) else {
        return true;
    };
    assert!(proven.committed_by > proven.height);
    assert_eq!(proven.height, receipt.commitment.height);
    assert!(receipt.proof.verify(genesis).is_ok());
    let altered = |alter: &dyn Fn(&mut Receipt)| {
        let mut other = receipt.clone();
        alter(&mut other);
        other.verify(genesis).is_ok()
    };
    assert!(!altered(
        &|one| one.transaction.0 = one.transaction.0.map(|byte| !byte)
    ));
    assert!(!altered(&|one| one.carrier ^= 1));
    assert!(!altered(&|one| one.commitment.state_root.0[0] ^= 1));
    assert!(!altered(&|one| one.outcomes.blinding[0] ^= 1));
    assert!(!altered(&|one| one.outcomes.shown.clear()));
    true
}

/// A statement of a registry, held against the same genesis document.
pub fn statement(data: &[u8]) -> bool {
    let Ok(statement) = RegistryStatement::decode(data) else {
        return false;
    };
    assert!(data.len() <= MAX_STATEMENT_BYTES);
    assert_eq!(statement.encode(), data, "a statement with two encodings");
    neighbours_are_refused(data, |bytes| RegistryStatement::decode(bytes).is_ok());
    let genesis = &network().genesis;
    // That of the fixtures holds.
    let fixture = statement.key == registry::KEY && statement.rows == registry::rows();
    let same = fixture && statement.head == registry::head();
    let proven = statement.verify(genesis);
    assert!(!same || statement.receipt != chain().receipt().encode() || proven.is_ok());
    if proven.is_ok() {
        let altered = |alter: &dyn Fn(&mut RegistryStatement)| {
            let mut other = statement.clone();
            alter(&mut other);
            other.verify(genesis).is_ok()
        };
        assert!(!altered(&|one| one.key[0] ^= 1));
        assert!(!altered(&|one| one.head.issued ^= 1));
        assert!(!altered(&|one| one.head.height ^= 1));
        assert!(statement.rows.is_empty() || !altered(&|one| drop(one.rows.pop())));
    }
    true
}
