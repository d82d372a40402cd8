//! A network for tests, made the way a real one is: certificates from an authority's directory, four validator seats,
//! a founding, and blocks with certificates signed by the seats' vote keys.
//!
//! `Network` holds what never changes, `Chain` makes blocks, `Play` drives one engine through whole stories.

// Every test binary compiles this file and uses its own part of it.
#![allow(dead_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod certificates;
pub mod module;
pub mod modules;
pub mod play;
pub mod recording;
pub mod words;

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use ed25519_zebra::{SigningKey as VoteKey, VerificationKey};
use sealbook_authority::{Authority, certificate_request};
use sealbook_execution::custody::{Founding, ModuleKey};
use sealbook_execution::{Engine, EpochKeys};
use sealbook_identity::{Role, pem, verify_chain};
use sealbook_ledger::{
    Attachment, Block, EpochDefinition, FinalityCertificate, Genesis, GovernanceRules, Header,
    KeyHolder, KeyRecord, OpeningEpoch, Parameters, PolicyText, Recovery, RootFile, Transaction,
    ValidatorSeat, finalize_message,
};
use sealbook_opening::{OpeningKey, open_reply};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::{Secret32, SecretBytes};
use sealbook_primitives::signature::{Signature, SigningKey, VerifyingKey};
use sealbook_protocol::payload::{
    Attachment as HolderAttachment, OrderBytes, PAYLOAD_VERSION, QUERY_SIGNATURE, QUERY_VERSION,
    Query, Question, Signed, Submission, TRANSACTION_SIGNATURE, signed_digest,
};
use sealbook_sealing::session::SessionKey;
use sealbook_sealing::{
    Envelope, EnvelopeHeader, OpeningPublicKey, Purpose, Sealer, Suite, seal, signed_binding,
};
use tempfile::TempDir;

/// When the network of the tests was made.
pub const CREATED_MS: u64 = 1_344_470_400_000;
const YEAR_MS: u64 = 365 * 86_400_000;
/// How long a test's envelope is valid after the last block.
pub const LIFE_MS: u64 = 60_000;
/// The members that every test network has certificates for; the first is its founding admin.
pub const MEMBERS: [(&str, Role, &str); 9] = [
    ("admin", Role::Admin, "Example Exchange"),
    ("bank", Role::CashAgent, "Example Bank"),
    ("alpha", Role::Firm, "Alpha Securities"),
    ("beta", Role::Firm, "Beta Brokers"),
    ("apple", Role::Issuer, "Apple Inc."),
    ("orange", Role::Issuer, "Orange Inc."),
    ("regulator", Role::Regulator, "Example Authority"),
    ("oracle", Role::Oracle, "Example Rates"),
    ("stranger", Role::Firm, "Stranger Securities"),
];

/// Somebody with a certificate.
pub struct Member {
    pub key: SigningKey,
    pub chain: Vec<Vec<u8>>,
    pub fingerprint: Digest,
}

/// What a test may set apart from the usual when it founds a network.
pub struct Founded {
    pub policies: Vec<PolicyText>,
    pub parameters: Parameters,
    pub governance: GovernanceRules,
    pub recovery: Recovery,
    pub certificate_life_ms: u64,
}

impl Default for Founded {
    fn default() -> Self {
        let policies = sealbook_policies::DEFAULT_FILES
            .iter()
            .map(|(name, text)| PolicyText {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        Self {
            policies,
            parameters: Parameters::default(),
            governance: GovernanceRules::default(),
            recovery: Recovery::default(),
            certificate_life_ms: YEAR_MS,
        }
    }
}

/// A founded network with everybody's keys.
pub struct Network {
    pub genesis: Genesis,
    pub id: Digest,
    pub members: BTreeMap<&'static str, Member>,
    pub votes: Vec<VoteKey>,
    pub module_keys: Vec<Vec<u8>>,
    pub wrapped_roots: Vec<Vec<u8>>,
    pub auditor: Vec<u8>,
    pub audit_bundle: Vec<u8>,
    pub record: KeyRecord,
    pub opening_key: OpeningPublicKey,
    directory: TempDir,
}

/// Four fixed vote keys, ascending by their public halves as a committee sorts them.
pub fn vote_keys(seed: &str) -> Vec<VoteKey> {
    let keys = (0..4_u8).map(|index| vote_key(seed, index)).collect();
    sorted(keys)
}

/// A fixed vote key.
pub fn vote_key(seed: &str, index: u8) -> VoteKey {
    VoteKey::from(hash("sealbook test vote key", &[seed.as_bytes(), &[index]]).0)
}

/// Vote keys in the order of a committee.
pub fn sorted(mut keys: Vec<VoteKey>) -> Vec<VoteKey> {
    keys.sort_unstable_by_key(|key| <[u8; 32]>::from(VerificationKey::from(key)));
    keys
}

/// The public half of a vote key.
pub fn public(key: &VoteKey) -> VerifyingKey {
    VerifyingKey(VerificationKey::from(key).into())
}

/// The parameters of a network whose committee epochs have so many blocks.
pub fn epochs_of(blocks: u32, snapshot_epochs: u32) -> Parameters {
    Parameters {
        epoch_blocks: blocks,
        snapshot_epochs,
        ..Parameters::default()
    }
}

impl Network {
    pub fn new() -> Self {
        Self::founded(Founded::default())
    }

    pub fn founded(with: Founded) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authority");
        let authority = Authority::create(&path, "example", CREATED_MS).unwrap();
        let end_ms = CREATED_MS + with.certificate_life_ms;
        let members: BTreeMap<_, _> = MEMBERS
            .iter()
            .map(|(name, role, organisation)| {
                (
                    *name,
                    certified(
                        &authority,
                        (name, *role, organisation),
                        end_ms,
                        SigningKey::generate(),
                    ),
                )
            })
            .collect();
        let votes = vote_keys("example");
        let (module_keys, module_publics): (Vec<_>, Vec<_>) = (0..4)
            .map(|_| ModuleKey::generate())
            .map(|(file, key)| (file.to_vec(), key))
            .unzip();
        let (auditor, audit_recipient) = ModuleKey::generate();
        let founding = Founding::begin();
        let seat = |(index, (vote, module_key)): (usize, (&VoteKey, &Vec<u8>))| ValidatorSeat {
            name: format!("node-{index}"),
            vote_key: VerifyingKey(VerificationKey::from(vote).into()),
            module_key: module_key.clone(),
            address: format!("127.0.0.1:{}", 4_000 + index),
        };
        let public_key = founding.opening_key(Suite::X25519ChaCha20Poly1305);
        let opening_key = sealbook_execution::keys::decode_public(&public_key).unwrap();
        let genesis = Genesis {
            version: Genesis::VERSION,
            network_name: "example".to_owned(),
            created_ms: CREATED_MS,
            certificate_roots: vec![authority.root().to_vec()],
            validators: votes
                .iter()
                .zip(&module_publics)
                .enumerate()
                .map(seat)
                .collect(),
            observers: Vec::new(),
            opening_epochs: vec![OpeningEpoch {
                key_epoch: 0,
                public_key,
            }],
            audit_recipients: vec![KeyHolder {
                name: "audit-1".to_owned(),
                key: audit_recipient,
            }],
            admins: vec![members["admin"].chain.clone()],
            policy_schema: sealbook_policies::DEFAULT_SCHEMA.to_owned(),
            policies: with.policies,
            parameters: with.parameters,
            governance: with.governance,
            share_commitments: founding.share_commitments(&with.recovery).unwrap(),
            module_measurements: Vec::new(),
            recovery: with.recovery,
        };
        let record = founding.bind(&genesis).unwrap();
        let grants = record.grants();
        let wrapped_roots = grants.map(|grant| RootFile::of([grant]).encode()).collect();
        Self {
            id: genesis.network(),
            genesis,
            members,
            votes,
            module_keys,
            wrapped_roots,
            auditor: auditor.to_vec(),
            audit_bundle: record.bundles[0].sealed.clone(),
            record,
            opening_key,
            directory,
        }
    }

    /// Certifies one more member, with a key of its own.
    pub fn certify(&self, name: &str, role: Role, organisation: &str, end_ms: u64) -> Member {
        let key = SigningKey::generate();
        self.certify_key((name, role, organisation), end_ms, key)
    }

    /// Certifies a key, which may have certificates already.
    pub fn certify_key(
        &self,
        (name, role, organisation): (&str, Role, &str),
        end_ms: u64,
        key: SigningKey,
    ) -> Member {
        let authority = Authority::open(&self.directory.path().join("authority")).unwrap();
        certified(&authority, (name, role, organisation), end_ms, key)
    }

    /// The keys as the module of a seat gets them.
    pub fn keys(&self, seat: usize) -> EpochKeys {
        let module = ModuleKey::read(&self.module_keys[seat]).unwrap();
        module
            .open_first_root(&self.genesis, &self.wrapped_roots[seat])
            .unwrap()
    }

    /// The keys as the auditor gets them.
    pub fn auditor_keys(&self) -> EpochKeys {
        let auditor = ModuleKey::read(&self.auditor).unwrap().opening_key();
        EpochKeys::from_bundle(&auditor, &self.id, 0, &self.audit_bundle).unwrap()
    }

    pub fn engine(&self) -> Engine {
        Engine::new(self.genesis.clone(), self.keys(0)).unwrap()
    }

    /// The header that an honest client puts on an envelope.
    pub fn header(&self, expires_ms: u64) -> EnvelopeHeader {
        EnvelopeHeader::new(Suite::X25519ChaCha20Poly1305, self.id, 0, expires_ms)
    }

    /// Seals orders as a client does.
    pub fn seal(&self, name: &str, expires_ms: u64, orders: Vec<OrderBytes>) -> Sealed {
        self.seal_as(&self.members[name], self.header(expires_ms), orders)
    }

    /// Seals orders of anybody under any header.
    pub fn seal_as(&self, by: &Member, header: EnvelopeHeader, orders: Vec<OrderBytes>) -> Sealed {
        let purpose = Purpose::Transaction;
        let sealer = Sealer::begin(&self.opening_key, purpose).unwrap();
        let bound = signed_binding(&header, purpose, sealer.encapsulated());
        let (signed, reply_key) = sign_orders(by, &bound, orders);
        finish(sealer, header, &borsh::to_vec(&signed).unwrap(), reply_key)
    }

    /// Orders as a client seals them, and the same signed content sealed anew, as whoever can open the first could.
    pub fn seal_twice(
        &self,
        name: &str,
        expires_ms: u64,
        orders: Vec<OrderBytes>,
    ) -> (Sealed, Sealed) {
        let (header, purpose) = (self.header(expires_ms), Purpose::Transaction);
        let sealer = Sealer::begin(&self.opening_key, purpose).unwrap();
        let bound = signed_binding(&header, purpose, sealer.encapsulated());
        let (signed, reply_key) = sign_orders(&self.members[name], &bound, orders);
        let plaintext = borsh::to_vec(&signed).unwrap();
        let again = self.seal_bytes(header, purpose, &plaintext, reply_key.duplicate());
        (finish(sealer, header, &plaintext, reply_key), again)
    }

    /// Seals orders of anybody as a message of a session, under a header that is made one of a session.
    pub fn seal_in_session(
        &self,
        by: &Member,
        header: EnvelopeHeader,
        (key, counter): (&SessionKey, u64),
        orders: Vec<OrderBytes>,
    ) -> Sealed {
        let header = header.in_session();
        let bound = signed_binding(&header, Purpose::Transaction, &key.tag(counter));
        let (signed, reply_key) = sign_orders(by, &bound, orders);
        self.seal_signed_in_session(header, (key, counter), &signed, reply_key)
    }

    /// Seals a payload that may be anything as a message of a session.
    pub fn seal_signed_in_session(
        &self,
        header: EnvelopeHeader,
        (key, counter): (&SessionKey, u64),
        signed: &Signed,
        reply_key: Secret32,
    ) -> Sealed {
        let sealer = Sealer::in_session(header.suite, key, counter);
        finish(sealer, header, &borsh::to_vec(signed).unwrap(), reply_key)
    }

    /// Seals a question as a client does.
    pub fn seal_query(
        &self,
        name: &str,
        expires_ms: u64,
        height_min: u64,
        question: &Question,
    ) -> Sealed {
        self.seal_query_on((name, None), expires_ms, height_min, question)
    }

    /// The same for a question that the block at a height put on record.
    pub fn seal_query_on(
        &self,
        (name, recorded): (&str, Option<u64>),
        expires_ms: u64,
        height_min: u64,
        question: &Question,
    ) -> Sealed {
        let reply_key = Secret32::random();
        let question = question.clone();
        let query = Query {
            version: QUERY_VERSION,
            reply_key: *reply_key.expose(),
            height_min,
            recorded,
            question,
        };
        let body = borsh::to_vec(&query).unwrap();
        let (header, purpose) = (self.header(expires_ms), Purpose::Query);
        let signed = sign(&self.members[name], &header, purpose, QUERY_SIGNATURE, body);
        self.seal_signed(header, purpose, &signed, reply_key)
    }

    /// Seals what [`sign`] has made, under the encapsulated key that it was signed for, whatever else is not as signed.
    pub fn seal_signed(
        &self,
        header: EnvelopeHeader,
        purpose: Purpose,
        signed: &Signed,
        reply_key: Secret32,
    ) -> Sealed {
        let sealer = sealer_of(&self.opening_key, purpose, &signed.body);
        finish(sealer, header, &borsh::to_vec(signed).unwrap(), reply_key)
    }

    pub fn seal_bytes(
        &self,
        header: EnvelopeHeader,
        purpose: Purpose,
        plaintext: &[u8],
        reply_key: Secret32,
    ) -> Sealed {
        let sealer = Sealer::begin(&self.opening_key, purpose).unwrap();
        finish(sealer, header, plaintext, reply_key)
    }

    /// A sealed name with its hash and commitment.
    pub fn seal_name(&self, holder: &str) -> SealedName {
        let blinding = *Secret32::random().expose();
        let content = HolderAttachment {
            version: PAYLOAD_VERSION,
            blinding,
            holder: holder.to_owned(),
        };
        let commitment = content.commitment().0;
        let sealed = seal(
            &self.opening_key,
            self.header(0),
            Purpose::Attachment,
            &borsh::to_vec(&content).unwrap(),
        );
        let bytes = Envelope::encode(&sealed.unwrap());
        SealedName {
            attachment: Attachment::digest_of(&bytes).0,
            commitment,
            bytes,
        }
    }

    /// A certificate for a block by the first `votes` of these keys.
    pub fn certificate_by(&self, keys: &[VoteKey], block: &Block, votes: usize) -> Vec<u8> {
        let (view, parent) = (block.height(), block.height().saturating_sub(1));
        let namespace = self.genesis.namespace();
        let epoch = block.header.epoch;
        let message = finalize_message(&namespace, epoch, view, parent, &block.digest());
        let signatures = keys[..votes]
            .iter()
            .map(|key| Signature(key.sign(&message).to_bytes()))
            .collect();
        let signers = (0..votes).map(|index| index as u16).collect();
        let place = (epoch, view, parent);
        FinalityCertificate::new(place, block.digest(), signers, signatures).encode()
    }

    /// A certificate of a bare quorum.
    pub fn certificate(&self, block: &Block) -> Vec<u8> {
        self.certificate_by(&self.votes, block, 3)
    }
}

fn certified(
    authority: &Authority,
    (name, role, organisation): (&str, Role, &str),
    end_ms: u64,
    key: SigningKey,
) -> Member {
    let request = certificate_request(
        name,
        organisation,
        role,
        None,
        authority.network(),
        &key.seed(),
    );
    let chain = authority
        .approve(&request.unwrap(), (CREATED_MS, end_ms))
        .unwrap();
    let chain = pem::chain_from_pem(&chain).unwrap();
    let roots = [authority.root().clone()];
    let usage = sealbook_identity::Usage::Any;
    let principal = verify_chain(&roots, &chain, authority.network(), CREATED_MS, usage).unwrap();
    let chain = chain.iter().map(|der| der.to_vec()).collect();
    Member {
        key,
        chain,
        fingerprint: principal.fingerprint,
    }
}

fn finish(sealer: Sealer, header: EnvelopeHeader, plaintext: &[u8], reply_key: Secret32) -> Sealed {
    let envelope = sealer.seal(header, plaintext).unwrap();
    Sealed {
        digest: envelope.digest(),
        bytes: envelope.encode(),
        reply_key,
    }
}

/// The sealer whose encapsulated key goes with a body that is signed by hand.
fn sealer_of(key: &OpeningPublicKey, purpose: Purpose, body: &[u8]) -> Sealer {
    let seed = Secret32::new(hash("encapsulated key of a test", &[body]).0);
    Sealer::begin_derived(key, purpose, &seed).unwrap()
}

/// The encapsulated key that goes with a body that is signed by hand: in suite 1 the same for every purpose and recipient.
fn encapsulated_of(body: &[u8]) -> Vec<u8> {
    let anybody = OpeningKey::from_secret(&Secret32::new([9; 32])).public_key();
    let sealer = sealer_of(&anybody, Purpose::Transaction, body);
    sealer.encapsulated().to_vec()
}

/// Signs a body for an envelope with this header, sealed by [`Network::seal_signed`].
pub fn sign(
    by: &Member,
    header: &EnvelopeHeader,
    purpose: Purpose,
    domain: &'static str,
    body: Vec<u8>,
) -> Signed {
    let bound = signed_binding(header, purpose, &encapsulated_of(&body));
    sign_bound(by, &bound, domain, body)
}

fn sign_bound(by: &Member, bound: &[u8], domain: &'static str, body: Vec<u8>) -> Signed {
    let message = signed_digest(bound, &by.fingerprint, &body);
    let signature = by.key.sign(domain, message.as_bytes());
    Signed {
        version: PAYLOAD_VERSION,
        certificate: by.fingerprint,
        signature,
        body,
    }
}

/// What a module says, with a fresh reply key, to be sealed by [`Network::seal_signed`].
pub fn sign_word(key: &ModuleKey, header: &EnvelopeHeader, word: Vec<u8>) -> Signed {
    let (body, _) = submission(vec![OrderBytes::Module(word)]);
    let bound = signed_binding(header, Purpose::Transaction, &encapsulated_of(&body));
    let message = signed_digest(&bound, &key.digest(), &body);
    Signed {
        version: PAYLOAD_VERSION,
        certificate: key.digest(),
        signature: key
            .signing_key()
            .sign(TRANSACTION_SIGNATURE, message.as_bytes()),
        body,
    }
}

fn submission(orders: Vec<OrderBytes>) -> (Vec<u8>, Secret32) {
    let reply_key = Secret32::random();
    let submission = Submission {
        version: PAYLOAD_VERSION,
        reply_key: *reply_key.expose(),
        orders,
    };
    (borsh::to_vec(&submission).unwrap(), reply_key)
}

/// Orders with a fresh reply key, signed for an envelope with this binding.
pub fn sign_orders(by: &Member, bound: &[u8], orders: Vec<OrderBytes>) -> (Signed, Secret32) {
    let (body, reply_key) = submission(orders);
    let signed = sign_bound(by, bound, TRANSACTION_SIGNATURE, body);
    (signed, reply_key)
}

/// An envelope and the key that its reply comes under.
pub struct Sealed {
    pub digest: Digest,
    pub bytes: Vec<u8>,
    pub reply_key: Secret32,
}

impl Sealed {
    /// Opens a reply to this envelope.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> SecretBytes {
        let context = [context, self.digest.as_bytes()].concat();
        open_reply(&self.reply_key, &context, sealed).unwrap()
    }
}

/// A holder's name as it travels.
pub struct SealedName {
    pub bytes: Vec<u8>,
    pub attachment: [u8; 32],
    pub commitment: [u8; 32],
}

/// The proposers' side of the ledger: makes blocks that commit to the results of two blocks before.
#[derive(Clone)]
pub struct Chain {
    pub head: Header,
    /// Digests of results by height from 1, as the network computed them.
    pub roots: Vec<Digest>,
    /// What holds in the epoch of the next block.
    pub definition: EpochDefinition,
    /// What was planned for the epoch after it; the same again if nobody said so.
    pub planned: Option<EpochDefinition>,
    /// The place and the key of the node that carries what blocks list.
    pub carrier: (u16, Rc<SigningKey>),
}

/// The node key that goes with a vote key.
pub fn node_key(key: &VoteKey) -> Rc<SigningKey> {
    Rc::new(SigningKey::from_seed(key.to_bytes()))
}

impl Chain {
    pub fn new(network: &Network) -> Self {
        Self {
            head: network.genesis.block().header,
            roots: Vec::new(),
            definition: network.genesis.first_epoch(),
            planned: None,
            carrier: (0, node_key(&network.votes[0])),
        }
    }

    /// The next block, one second later.
    pub fn next(&mut self, transactions: &[&[u8]], attachments: &[&[u8]]) -> Block {
        self.next_at(self.head.time_ms + 1_000, transactions, attachments)
    }

    pub fn next_at(
        &mut self,
        time_ms: u64,
        transactions: &[&[u8]],
        attachments: &[&[u8]],
    ) -> Block {
        // The header of block h + 2 commits to the root after h.
        let first = self.head.executed_height as usize;
        let until = (self.head.height as usize)
            .saturating_sub(1)
            .min(self.roots.len());
        let roots = self.roots[first.min(until)..until].to_vec();
        self.next_with(time_ms, transactions, attachments, roots)
    }

    /// The next block by a proposer that has not executed anything new.
    pub fn next_without_roots(&mut self, transactions: &[&[u8]]) -> Block {
        self.next_with(self.head.time_ms + 1_000, transactions, &[], Vec::new())
    }

    fn next_with(
        &mut self,
        time_ms: u64,
        transactions: &[&[u8]],
        attachments: &[&[u8]],
        roots: Vec<Digest>,
    ) -> Block {
        let (place, key) = &self.carrier;
        let transactions = transactions
            .iter()
            .map(|bytes| {
                let envelope = Bytes::copy_from_slice(bytes);
                Transaction::carried(*place, key, &self.head.network, envelope)
            })
            .collect();
        let attachments = attachments
            .iter()
            .map(|bytes| Attachment::Present(Bytes::copy_from_slice(bytes)))
            .collect();
        let mut block = Block::after(&self.head, time_ms, transactions, attachments, roots);
        if block.height() == self.definition.last_height {
            let again = || {
                let EpochDefinition {
                    validators,
                    observers,
                    parameters,
                    ..
                } = self.definition.clone();
                self.definition.next(validators, observers, parameters)
            };
            let next = self.planned.take().unwrap_or_else(again);
            block = block.with_next_epoch(next.clone());
            self.definition = next;
        }
        self.head = block.header.clone();
        block
    }
}
