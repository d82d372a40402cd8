//! Key epochs as the engine carries them out: what modules say to each other on the ledger, and the change to new keys.
//!
//! ```text
//! a new key epoch is wanted -> the module whose turn it is makes a root and submits its record    Offer
//!   -> every module opens its part, makes the whole record again and compares                     Acknowledge
//!   -> agreed on by more than two thirds -> the next committee epoch that is defined begins it
//! ```
//!
//! What a module says is a transaction like any other: sealed, signed with the module's own key, carried by its host,
//! and acted upon by every module only once it is final.
//!
//! A module that has begun answers nothing and says nothing but one envelope, its sign of life, until it has seen that
//! very envelope in a final block: then what it executed is not an old part of the ledger. The envelope is random, so
//! no older block can hold it.
//!
//! INVARIANT: what is in [`Session`] decides what this module says and whether it answers, never what the results are.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_governance::KeyRefusal;
use sealbook_ledger::{KeyRecord, Opening, RootFile, RootGrant, holder_digest, opening_digest};
use sealbook_opening::OpeningKey;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::payload::{
    OrderBytes, PAYLOAD_VERSION, Signed, Submission, TRANSACTION_SIGNATURE, signed_digest,
};
use sealbook_sealing::{EnvelopeHeader, Purpose, Sealer, signed_binding};
use sealbook_securities::{Code, Outcome};
use zeroize::Zeroizing;

use crate::contracts::LeafKey;
use crate::custody::{HolderIdentity, ModuleKey, grant_root, make_record};
use crate::engine::{Engine, EngineError};
use crate::keys::{EpochKeys, KeyError, Vault};

/// For how many blocks it is one module's turn to make a new root.
const TURN_BLOCKS: u64 = 16;
/// How long after the newest block a module's words may be ordered, in milliseconds.
const WORD_LIFE_MS: u64 = 30_000;

/// What a module says to the others.
#[derive(BorshSerialize, BorshDeserialize)]
pub enum ModuleOrder {
    /// A root for the next key epoch, handed to everybody who is to have it: an encoded [`KeyRecord`].
    Offer(Vec<u8>),
    /// The record with this digest is good: this module opened its part and made the rest again.
    Acknowledge(Digest),
}

/// Whose keys open what later key epochs hand out.
pub enum Custodian {
    /// An execution module, with the root files that it was given: they help where a record does not name its key, because
    /// it was admitted or recovered later.
    Module(ModuleKey, Vec<RootFile>),
    /// An auditor, with all keys that are or were its own.
    Auditor(Vec<ModuleKey>),
}

impl Custodian {
    /// The keys of a key epoch, as its record hands them to this holder.
    fn open(&self, record: &KeyRecord) -> Result<EpochKeys, KeyError> {
        let missing = KeyError::NotGiven(record.key_epoch);
        match self {
            Self::Module(key, files) => {
                let opening = opening_digest(&record.public_key);
                let own = RootFile::of(record.grants().filter(|one| one.recipient == key.digest()));
                let named = (record.key_epoch, &opening);
                let mut files = std::iter::once(&own).chain(files);
                let opened =
                    files.find_map(|file| key.open_root(&record.network, named, file).ok());
                opened.ok_or(missing)
            }
            Self::Auditor(keys) => keys
                .iter()
                .find_map(|key| {
                    let own = key.digest();
                    let bundle = record.bundles.iter().find(|one| one.recipient == own)?;
                    let auditor: OpeningKey = key.opening_key();
                    Some(EpochKeys::from_bundle(
                        &auditor,
                        &record.network,
                        record.key_epoch,
                        &bundle.sealed,
                    ))
                })
                .unwrap_or(Err(missing)),
        }
    }
}

/// A running module's part in the network, apart from the results.
#[derive(Default)]
pub struct Session {
    /// Whether its sign of life was seen in a final block.
    awake: bool,
    /// The sign of life that is under way, and when it expires.
    sign: Option<(Digest, u64)>,
    /// The turn in which this module made its last offer: the height since which a key epoch was wanted, and the turn's
    /// number.
    offered: Option<(u64, u64)>,
    /// The offers that this module has judged: whether they are good, and until when its word for them may be ordered.
    judged: BTreeMap<Digest, (bool, u64)>,
}

impl Engine {
    /// Gives the engine the keys that open later key epochs, and the place where roots are to lie.
    pub fn set_custodian(&mut self, custodian: Custodian, vault: Option<Box<dyn Vault>>) {
        self.custodian = Some(custodian);
        self.vault = vault;
    }

    /// Begins to take part in the network as a module: nothing is answered until a sign of life has come back.
    pub fn begin_session(&mut self) {
        self.session = Some(Session::default());
    }

    /// Ends the part in the network: the engine says nothing more on the ledger, and answers without a sign of life.
    pub fn end_session(&mut self) {
        self.session = None;
    }

    /// Whether the engine answers queries.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.awake)
    }

    /// Looks whether a transaction of a final block is this module's sign of life.
    pub(crate) fn note_sign(&mut self, transaction: &Digest) {
        if let Some(session) = &mut self.session
            && session.sign.is_some_and(|(id, _)| id == *transaction)
        {
            session.awake = true;
            session.sign = None;
        }
    }

    /// The modules of the present epoch, with their keys: those that may speak on the ledger.
    pub(crate) fn module_key(&self, module: &Digest) -> Option<VerifyingKey> {
        let definition = self.governance.definition();
        let validators = definition.validators.iter().map(|seat| &seat.module_key);
        let observers = definition.observers.iter();
        let observers = observers.filter_map(|seat| seat.module_key.as_ref());
        let mut modules = validators.chain(observers);
        let key = modules.find(|key| holder_digest(key) == *module)?;
        HolderIdentity::decode(key)
            .ok()
            .map(|identity| identity.signing)
    }

    /// Executes what a module says.
    pub(crate) fn execute_module_order(&mut self, module: Digest, bytes: &[u8]) -> Outcome {
        let Ok(order) = ModuleOrder::try_from_slice(bytes) else {
            return Outcome::refused(Code::Malformed);
        };
        let done = match order {
            ModuleOrder::Offer(bytes) => match KeyRecord::decode(&bytes) {
                Ok(record) => self.take_offer(module, record),
                Err(_) => return Outcome::refused(Code::Malformed),
            },
            ModuleOrder::Acknowledge(record) => self.governance.acknowledge_keys(module, &record),
        };
        match done {
            Ok(()) => Outcome::SETTLED,
            Err(KeyRefusal::NotEntitled) => Outcome::refused(Code::NotPermitted),
            Err(KeyRefusal::Limit) => Outcome::refused(Code::Limit),
            Err(KeyRefusal::NotFound) => Outcome::refused(Code::NotFound),
            Err(KeyRefusal::NotWanted | KeyRefusal::Recipients) => Outcome::refused(Code::Conflict),
        }
    }

    /// An offer must be for exactly those who are to be given the root. What is sealed in it only they can judge.
    fn take_offer(&mut self, module: Digest, record: KeyRecord) -> Result<(), KeyRefusal> {
        let to = self.governance.recipients();
        let modules = to.modules.iter().map(|key| holder_digest(key));
        let auditors = to.auditors.iter().map(|one| holder_digest(&one.key));
        let holders = to.recovery.holders.iter();
        let holders = holders.map(|one| holder_digest(&one.key));
        let fits = record.network == self.network
            && record.key_epoch == to.key_epoch
            && record.public_key.first() == Some(&to.suite)
            && crate::keys::decode_public(&record.public_key).is_ok()
            && record.roots.iter().map(|one| one.recipient).eq(modules)
            && record.bundles.iter().map(|one| one.recipient).eq(auditors)
            && record
                .shares
                .iter()
                .map(|one| one.share.recipient)
                .eq(holders)
            && record.threshold == to.recovery.threshold;
        if !fits {
            return Err(KeyRefusal::Recipients);
        }
        let digest = record.digest();
        let key = record.public_key.clone();
        self.governance.offer_keys(module, digest, key)?;
        self.grants.extend(record.grants());
        self.new_records.push(record.clone());
        self.records.insert(digest, record);
        Ok(())
    }

    /// Forgets the records of offers that were dropped.
    pub(crate) fn forget_records(&mut self) {
        let rotation = self.governance.rotation();
        let mut kept: BTreeSet<Digest> = rotation
            .iter()
            .flat_map(|rotation| rotation.offers.iter().map(|offer| offer.record))
            .collect();
        kept.extend(
            self.governance
                .planned()
                .map(|planned| planned.opening.record),
        );
        self.records.retain(|digest, _| kept.contains(digest));
    }

    /// Changes to the keys of the epoch that begins, if a key epoch begins with it. The keys before stay for as long as
    /// something that was sealed or blinded with them may come.
    pub(crate) fn begin_key_epoch(&mut self) -> Result<(), EngineError> {
        let opening = self.governance.definition().opening.clone();
        if opening.key_epoch == self.keys.key_epoch {
            return Ok(());
        }
        let mut coming = match self.coming.take() {
            Some(keys) => keys,
            None => self.open_record(&opening)?,
        };
        coming.check(&opening)?;
        if let Some(vault) = &self.vault {
            coming.move_root(vault.as_ref())?;
        }
        let mut former = std::mem::replace(&mut self.keys, coming);
        former.root = None;
        let ended = self.head.height.saturating_add(1);
        self.former.push(Former {
            keys: former,
            ended,
        });
        self.tree.rekey(&self.state, &LeafKey::of(&self.keys.leaf));
        self.grant_to_newcomers(&opening);
        Ok(())
    }

    fn open_record(&self, opening: &Opening) -> Result<EpochKeys, KeyError> {
        let missing = KeyError::NotGiven(opening.key_epoch);
        let record = self.records.get(&opening.record);
        let custodian = self.custodian.as_ref();
        let (Some(record), Some(custodian)) = (record, custodian) else {
            return Err(missing);
        };
        custodian.open(record)
    }

    /// The root for modules that were admitted after the record of this key epoch was made.
    fn grant_to_newcomers(&mut self, opening: &Opening) {
        let record = self.records.get(&opening.record);
        let given: BTreeSet<Digest> = record
            .iter()
            .flat_map(|record| record.roots.iter().map(|one| one.recipient))
            .collect();
        for key in self.governance.recipients().modules {
            if !given.contains(&holder_digest(&key)) {
                self.grants
                    .extend(grant_root(&self.keys, self.network, &key));
            }
        }
    }

    /// The root for the modules that this block admitted. An auditor has no root to give.
    pub(crate) fn grant_to_admitted(&mut self) -> Vec<RootGrant> {
        for key in self.governance.take_new_modules() {
            self.grants
                .extend(grant_root(&self.keys, self.network, &key));
        }
        std::mem::take(&mut self.grants)
    }

    /// Forgets former keys for which nothing can come any more.
    pub(crate) fn forget_former(&mut self) {
        let next = self.head.height.saturating_add(1);
        let oldest = self.uncommitted.keys().next().copied().unwrap_or(next);
        let definition = match &self.head.next_epoch {
            Some(definition) => definition,
            None => self.governance.definition(),
        };
        self.former.retain(|former| {
            definition.opens(former.keys.key_epoch, next) || oldest < former.ended
        });
    }

    /// The keys that envelopes of a key epoch are opened with in the next block or query.
    pub(crate) fn keys_for(&self, key_epoch: u32, height: u64) -> Option<&EpochKeys> {
        if key_epoch == self.keys.key_epoch {
            return Some(&self.keys);
        }
        if !self.governance.definition().opens(key_epoch, height) {
            return None;
        }
        let mut former = self.former.iter().map(|former| &former.keys);
        former.find(|keys| keys.key_epoch == key_epoch)
    }

    /// The keys that were in force at a height.
    pub(crate) fn keys_at(&self, height: u64) -> &EpochKeys {
        let former = self.former.iter().find(|former| height < former.ended);
        former.map_or(&self.keys, |former| &former.keys)
    }

    /// What this module has to say now, as envelopes for its host to carry. To be asked after blocks were executed.
    pub fn words(&mut self) -> Vec<Vec<u8>> {
        let Some(mut session) = self.session.take() else {
            return Vec::new();
        };
        let words = match &self.custodian {
            Some(Custodian::Module(key, _)) => self.say(&mut session, key),
            _ => Vec::new(),
        };
        self.session = Some(session);
        words
    }

    fn say(&self, session: &mut Session, key: &ModuleKey) -> Vec<Vec<u8>> {
        let time_ms = self.head.time_ms;
        if !session.awake {
            let under_way = session
                .sign
                .is_some_and(|(_, expires_ms)| time_ms <= expires_ms);
            if under_way {
                return Vec::new();
            }
            let word = self.word(key, Vec::new());
            session.sign = word.as_ref().map(|(id, expires_ms, _)| (*id, *expires_ms));
            return word.into_iter().map(|(_, _, bytes)| bytes).collect();
        }
        let mut orders = self.judge_offers(session, key);
        orders.extend(self.make_offer(session, key));
        let words = orders.into_iter().filter_map(|order| {
            let bytes = borsh::to_vec(&order).ok()?;
            self.word(key, vec![OrderBytes::Module(bytes)])
        });
        words.map(|(_, _, bytes)| bytes).collect()
    }

    /// Words for offers that are good. A bad one gets none, and is not looked at again.
    fn judge_offers(&self, session: &mut Session, key: &ModuleKey) -> Vec<ModuleOrder> {
        let Some(rotation) = self.governance.rotation() else {
            session.judged.clear();
            return Vec::new();
        };
        let (own, makers) = (key.digest(), self.governance.key_makers());
        if rotation.ready.is_some() || !makers.contains(&own) {
            return Vec::new();
        }
        let mut words = Vec::new();
        let time_ms = self.head.time_ms;
        for offer in &rotation.offers {
            if offer.acknowledged.contains(&own) {
                continue;
            }
            let judged = session.judged.get(&offer.record).copied();
            let good = match judged {
                // Its word is under way, or was lost.
                Some((good, expires_ms)) => good && time_ms > expires_ms,
                None => self.is_good(&offer.record, key),
            };
            if judged.is_none() || good {
                let expires_ms = time_ms.saturating_add(WORD_LIFE_MS);
                session.judged.insert(offer.record, (good, expires_ms));
            }
            if good {
                words.push(ModuleOrder::Acknowledge(offer.record));
            }
        }
        words
    }

    /// Whether this module can open its part of a record, and the rest is what follows from the root in it.
    fn is_good(&self, record: &Digest, key: &ModuleKey) -> bool {
        let Some(record) = self.records.get(record) else {
            return false;
        };
        let own = key.digest();
        let grant = record.grants().find(|grant| grant.recipient == own);
        let Some(Ok(keys)) = grant.map(|grant| key.open_grant(&self.network, &grant)) else {
            return false;
        };
        let Some(root) = &keys.root else {
            return false;
        };
        let root = Secret32::new(*root.secret());
        let again = make_record(&root, self.network, &self.governance.recipients());
        again.is_ok_and(|again| again == *record)
    }

    /// A new root and its record, if one is wanted and it is this module's turn.
    fn make_offer(&self, session: &mut Session, key: &ModuleKey) -> Option<ModuleOrder> {
        let rotation = self.governance.rotation()?;
        let (own, makers) = (key.digest(), self.governance.key_makers());
        let begins = |planned: &sealbook_ledger::EpochDefinition| {
            planned.opening != self.governance.definition().opening
        };
        if rotation.ready.is_some() || self.governance.planned().is_some_and(begins) {
            return None;
        }
        let place = makers.iter().position(|one| *one == own)? as u64;
        let turn = self.head.height.saturating_sub(rotation.since) / TURN_BLOCKS;
        let is_own_turn = turn.checked_rem(makers.len() as u64) == Some(place);
        let has_offered = rotation.offers.iter().any(|offer| offer.module == own);
        if !is_own_turn || has_offered || session.offered == Some((rotation.since, turn)) {
            return None;
        }
        session.offered = Some((rotation.since, turn));
        let root = Secret32::random();
        let record = make_record(&root, self.network, &self.governance.recipients()).ok()?;
        Some(ModuleOrder::Offer(record.encode()))
    }

    /// One sealed and signed transaction of this module: its name, when it expires, its bytes.
    fn word(&self, key: &ModuleKey, orders: Vec<OrderBytes>) -> Option<(Digest, u64, Vec<u8>)> {
        let opening = self.keys.opening.public_key();
        let expires_ms = self.head.time_ms.saturating_add(WORD_LIFE_MS);
        let (suite, key_epoch) = (opening.suite(), self.keys.key_epoch);
        let header = EnvelopeHeader::new(suite, self.network, key_epoch, expires_ms);
        let submission = Submission {
            version: PAYLOAD_VERSION,
            reply_key: *Secret32::random().expose(),
            orders,
        };
        let body = borsh::to_vec(&submission).ok()?;
        let certificate = key.digest();
        let purpose = Purpose::Transaction;
        let sealer = Sealer::begin(&opening, purpose).ok()?;
        let bound = signed_binding(&header, purpose, sealer.encapsulated());
        let message = signed_digest(&bound, &certificate, &body);
        let signed = Signed {
            version: PAYLOAD_VERSION,
            certificate,
            signature: key
                .signing_key()
                .sign(TRANSACTION_SIGNATURE, message.as_bytes()),
            body,
        };
        let plaintext = Zeroizing::new(borsh::to_vec(&signed).ok()?);
        let envelope = sealer.seal(header, &plaintext).ok()?;
        Some((envelope.digest(), expires_ms, envelope.encode()))
    }
}

/// The keys of a key epoch that has ended.
pub struct Former {
    /// The keys, without the root.
    pub keys: EpochKeys,
    /// The first block of the key epoch after it.
    pub ended: u64,
}
