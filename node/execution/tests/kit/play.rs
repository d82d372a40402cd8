//! One engine and the network around it, driven by the words that members use.

use borsh::BorshDeserialize;
use ed25519_zebra::SigningKey as VoteKey;
use sealbook_execution::engine::{ANSWER_CONTEXT, FINAL_CONTEXT, OUTCOME_CONTEXT};
use sealbook_execution::{Engine, EngineError, Executed, Output};
use sealbook_governance::{Action, Change};
use sealbook_ledger::{
    Block, Commitment, EpochStep, FinalityCertificate, FinalityProof, Header, SnapshotManifest,
    SnapshotReference,
};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::module::SnapshotOffer;
use sealbook_protocol::payload::{
    Answer, AnswerBody, AsOf, FinalNotice, OrderBytes, Question, Reply,
};
use sealbook_securities::{Code, Outcome, RegistryHolders, RegistryView};

use super::words::{self, order};
use super::{Chain, Founded, LIFE_MS, Network, Sealed, public, sorted};

/// A network, its chain and one engine that executes it.
pub struct Play {
    pub network: Network,
    pub chain: Chain,
    pub engine: Engine,
    /// Every block with its own certificate, for a second engine.
    pub blocks: Vec<(Vec<u8>, Vec<u8>)>,
    /// Snapshots that the engine made, with their pieces.
    pub snapshots: Vec<Snapshot>,
    /// Pieces of the one that is being made.
    pub pieces: Vec<Vec<u8>>,
    /// What the engine would have carried to the ledger.
    pub carried: Vec<Vec<u8>>,
    /// The results after every block.
    pub commitments: Vec<Commitment>,
    /// The vote keys of the present committee.
    pub votes: Vec<VoteKey>,
    /// All vote keys, of committees past and to come.
    pub pool: Vec<VoteKey>,
    references: u64,
}

/// A snapshot as a host keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    pub manifest: SnapshotManifest,
    pub pieces: Vec<Vec<u8>>,
}

impl Play {
    /// A network of which only the founding admin is a member.
    pub fn empty(with: Founded) -> Self {
        let network = Network::founded(with);
        let (chain, engine) = (Chain::new(&network), network.engine());
        Self {
            votes: network.votes.clone(),
            pool: network.votes.clone(),
            commitments: Vec::new(),
            network,
            chain,
            engine,
            blocks: Vec::new(),
            snapshots: Vec::new(),
            pieces: Vec::new(),
            carried: Vec::new(),
            references: 0,
        }
    }

    /// Everybody but the stranger admitted, an issue of 1,000,000 units, accounts and B-1 with names, 1,000
    /// units on A-1 and money on B-1.
    pub fn furnished() -> Self {
        Self::furnished_with(Founded::default())
    }

    pub fn furnished_with(with: Founded) -> Self {
        let mut play = Self::empty(with);
        for (name, ..) in &super::MEMBERS[1..8] {
            assert_eq!(play.admit(name), Outcome::SETTLED, "{name}");
        }
        play.settle("admin", words::open_day("2012-08-09"));
        play.settle("admin", words::register());
        play.settle("admin", words::issue_units("1000000"));
        play.settle_account("alpha", "A-1", "Hanako Sato");
        play.settle_account("alpha", "A-2", "Ichiro Suzuki");
        play.settle_account("beta", "B-1", "Maria Rossi");
        play.settle("admin", words::allocate("A-1", "1000"));
        play.settle("bank", words::mint("B-1", "500000.00"));
        play.settle("bank", words::mint("APPLE-T", "100000.00"));
        play
    }

    /// When an envelope that is sealed now expires.
    pub fn expiry(&self) -> u64 {
        self.chain.head.time_ms + LIFE_MS
    }

    /// Executes the next block with its own certificate.
    pub fn execute(&mut self, block: &Block) -> Result<Executed, EngineError> {
        let certificate = self.certificate(block);
        let mut all = Vec::new();
        let Self {
            engine,
            pieces,
            snapshots,
            carried,
            ..
        } = self;
        engine.execute_each(&[block.encode()], &certificate, |output| match output {
            Output::Executed(executed) => all.push(*executed),
            Output::Carry(envelope) => carried.push(envelope),
            Output::Piece { index, sealed, .. } => {
                assert_eq!(index as usize, pieces.len());
                pieces.push(sealed);
            }
            Output::Snapshot(manifest) => snapshots.push(Snapshot {
                manifest: *manifest,
                pieces: std::mem::take(pieces),
            }),
        })?;
        let executed = all.pop().unwrap();
        assert!(all.is_empty());
        assert_eq!(executed.commitment, *self.engine.commitment());
        self.chain.roots.push(executed.commitment.digest());
        self.commitments.push(executed.commitment.clone());
        if let Some(next) = &block.header.next_epoch {
            let seats = &next.validators;
            let votes = self.pool.iter().filter(|key| {
                let key = public(key);
                seats.iter().any(|seat| seat.vote_key == key)
            });
            self.votes = sorted(votes.copied().collect());
        }
        if executed.next_epoch.is_some() && block.header.next_epoch.is_none() {
            self.chain.planned.clone_from(&executed.next_epoch);
        }
        self.blocks.push((block.encode(), certificate));
        Ok(executed)
    }

    /// A certificate of a bare quorum of the present committee.
    pub fn certificate(&self, block: &Block) -> Vec<u8> {
        let (count, keys) = (self.votes.len(), &self.votes);
        self.network
            .certificate_by(keys, block, count - (count - 1) / 3)
    }

    /// Executes empty blocks until the engine has this height.
    pub fn run_to(&mut self, height: u64) {
        while self.engine.height() < height {
            self.step(&[], &[]);
        }
        assert_eq!(self.engine.height(), height);
    }

    /// Executes empty blocks up to the end of the present epoch.
    pub fn end_epoch(&mut self) {
        self.run_to(self.engine.definition().last_height);
    }

    pub fn govern(&mut self, name: &str, action: Action) -> Outcome {
        let reference = self.reference();
        self.submit(name, vec![words::govern(&reference, action)], &[])[0]
    }

    /// Makes a change that one elector can decide.
    pub fn decide(&mut self, change: &Change) {
        let outcome = self.govern("admin", words::propose(change));
        assert_eq!(outcome, Outcome::SETTLED);
    }

    pub fn network_root(&self) -> Digest {
        self.engine.commitment().network_root
    }

    pub fn header(&self, height: u64) -> Header {
        let (block, _) = &self.blocks[height as usize - 1];
        Block::decode(block, usize::MAX).unwrap().header
    }

    /// Proof that the header at a height is final.
    pub fn proof(&self, height: u64) -> FinalityProof {
        let certified = |height: u64| {
            let (_, certificate) = &self.blocks[height as usize - 1];
            let certificate = FinalityCertificate::decode(certificate).unwrap();
            (self.header(height), certificate)
        };
        let mut steps = Vec::new();
        let mut known = self.network.genesis.first_epoch();
        for boundary in 1..height {
            let (header, certificate) = certified(boundary);
            if let Some(next) = header.next_epoch.clone()
                && !next.same_committee(&known)
            {
                known = next;
                steps.push(EpochStep {
                    header,
                    certificate,
                });
            }
        }
        let (header, certificate) = certified(height);
        FinalityProof::new(steps, vec![header], certificate)
    }

    /// An offer of a snapshot, with the first results that name it and the first header that commits to those.
    pub fn offer(&self, snapshot: &Snapshot) -> SnapshotOffer {
        let manifest = &snapshot.manifest;
        let named = Some(SnapshotReference {
            height: manifest.height,
            digest: manifest.digest(),
        });
        let commitment = self.commitments.iter().find(|one| one.snapshot == named);
        let commitment = commitment.unwrap().clone();
        let root = (commitment.height, commitment.digest());
        let committed_by = (1..=self.engine.height()).find(|height| {
            self.header(*height)
                .committed_roots()
                .any(|one| one == root)
        });
        SnapshotOffer {
            manifest: manifest.encode(),
            commitment,
            proof: self.proof(committed_by.unwrap()).encode(),
        }
    }

    /// Executes a block with this content.
    pub fn step(&mut self, transactions: &[&[u8]], attachments: &[&[u8]]) -> Executed {
        let block = self.chain.next(transactions, attachments);
        self.execute(&block).unwrap()
    }

    pub fn reference(&mut self) -> String {
        self.references += 1;
        format!("~{}", self.references)
    }

    pub fn seal(&self, name: &str, orders: Vec<OrderBytes>) -> Sealed {
        self.network.seal(name, self.expiry(), orders)
    }

    /// Submits orders in a block of their own and reads the reply.
    pub fn submit(&mut self, name: &str, orders: Vec<OrderBytes>, names: &[&[u8]]) -> Vec<Outcome> {
        let sealed = self.seal(name, orders);
        let executed = self.step(&[&sealed.bytes], names);
        outcomes(&sealed, &executed)
    }

    pub fn order(&mut self, name: &str, instruction: sealbook_securities::Instruction) -> Outcome {
        let reference = self.reference();
        self.submit(name, vec![order(&reference, instruction)], &[])[0]
    }

    #[track_caller]
    pub fn settle(&mut self, name: &str, instruction: sealbook_securities::Instruction) {
        assert_eq!(self.order(name, instruction), Outcome::SETTLED);
    }

    pub fn admit(&mut self, name: &str) -> Outcome {
        let chain = self.network.members[name].chain.clone();
        let reference = self.reference();
        self.submit("admin", vec![OrderBytes::Admit { reference, chain }], &[])[0]
    }

    pub fn settle_account(&mut self, firm: &str, account: &str, holder: &str) {
        let name = self.network.seal_name(holder);
        let instruction = words::open_account(account, name.attachment, name.commitment);
        let reference = self.reference();
        let outcome = self.submit(firm, vec![order(&reference, instruction)], &[&name.bytes])[0];
        assert_eq!(outcome, Outcome::SETTLED);
    }

    /// Asks a question and opens the answer.
    pub fn ask(&mut self, name: &str, question: &Question) -> Answer {
        self.ask_sealed(name, question).0
    }

    /// The opened answer and the size of the sealed one. What is others' is put on record first.
    pub fn ask_sealed(&mut self, name: &str, question: &Question) -> (Answer, usize) {
        let answered = self.ask_once((name, None), question);
        let refusal = borsh::to_vec(&Outcome::refused(Code::NotOnRecord)).unwrap();
        if answered.0.body != AnswerBody::Refused(refusal) {
            return answered;
        }
        let read = words::read(question, 0);
        assert_eq!(self.submit(name, vec![read], &[]), [Outcome::SETTLED]);
        let recorded = Some(self.chain.head.height);
        loop {
            let answered = self.ask_once((name, recorded), question);
            if answered.0.body != AnswerBody::Behind {
                return answered;
            }
            self.step(&[], &[]);
        }
    }

    /// The same for what is answered as it is, with the height of the block that put it on record.
    pub fn ask_once(&mut self, by: (&str, Option<u64>), question: &Question) -> (Answer, usize) {
        let expiry = self.expiry();
        let sealed = self.network.seal_query_on(by, expiry, 0, question);
        let answer = self.engine.answer(&sealed.bytes).unwrap();
        let opened = sealed.open(ANSWER_CONTEXT, &answer);
        (
            Answer::try_from_slice(opened.expose()).unwrap(),
            answer.len(),
        )
    }

    /// Asks for a view.
    pub fn view<T: BorshDeserialize>(
        &mut self,
        name: &str,
        question: &Question,
    ) -> Result<T, Code> {
        match self.ask(name, question).body {
            AnswerBody::View(bytes) => Ok(T::try_from_slice(&bytes).unwrap()),
            AnswerBody::Refused(bytes) => {
                Err(Outcome::try_from_slice(&bytes).unwrap().code.unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn registry(&mut self, name: &str, as_of: AsOf) -> Result<RegistryView, Code> {
        self.view(name, &words::ask_registry(as_of))
    }

    /// The registry as one line of text: `issued = treasury + rows`.
    pub fn registry_text(&mut self, name: &str, as_of: AsOf) -> String {
        let view = self.registry(name, as_of).unwrap();
        let unknown = || "?".to_owned();
        let rows: Vec<String> = match view.holders {
            RegistryHolders::Shareholders(rows) => rows
                .into_iter()
                .map(|row| format!("{} {}", row.holder.unwrap_or_else(unknown), row.quantity))
                .collect(),
            RegistryHolders::Full(rows) => rows
                .into_iter()
                .map(|row| {
                    let holder = row.holder.unwrap_or_else(unknown);
                    format!("{} {holder} {} {}", row.account, row.firm, row.quantity)
                })
                .collect(),
        };
        format!(
            "{} = {} + [{}]",
            view.issued,
            view.treasury,
            rows.join(", ")
        )
    }
}

/// The reply to an envelope, opened.
pub fn reply(sealed: &Sealed, executed: &Executed) -> Option<Reply> {
    let reply = executed
        .replies
        .iter()
        .find(|reply| reply.transaction == sealed.digest)?;
    let opened = sealed.open(OUTCOME_CONTEXT, &reply.sealed);
    Some(Reply::try_from_slice(opened.expose()).unwrap())
}

/// The outcomes in the reply to an envelope; none if there is no reply.
pub fn outcomes(sealed: &Sealed, executed: &Executed) -> Vec<Outcome> {
    let reply = reply(sealed, executed);
    let outcomes = reply.into_iter().flat_map(|reply| reply.outcomes);
    outcomes
        .map(|bytes| Outcome::try_from_slice(&bytes).unwrap())
        .collect()
}

/// The notice that an envelope's results are final, opened.
pub fn final_notice(sealed: &Sealed, executed: &Executed) -> Option<FinalNotice> {
    let notice = executed
        .finals
        .iter()
        .find(|notice| notice.transaction == sealed.digest)?;
    let opened = sealed.open(FINAL_CONTEXT, &notice.sealed);
    Some(FinalNotice::try_from_slice(opened.expose()).unwrap())
}
