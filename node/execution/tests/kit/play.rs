//! One engine and the network around it, driven by the words that members use.

use borsh::BorshDeserialize;
use sealbook_execution::engine::{ANSWER_CONTEXT, FINAL_CONTEXT, OUTCOME_CONTEXT};
use sealbook_execution::{Engine, EngineError, Executed};
use sealbook_ledger::Block;
use sealbook_protocol::payload::{
    Answer, AnswerBody, AsOf, FinalNotice, OrderBytes, Question, Reply,
};
use sealbook_securities::{Code, Outcome, RegistryHolders, RegistryView};

use super::words::{self, order};
use super::{Chain, Founded, LIFE_MS, Network, Sealed};

/// A network, its chain and one engine that executes it.
pub struct Play {
    pub network: Network,
    pub chain: Chain,
    pub engine: Engine,
    /// Every block with its own certificate, for a second engine.
    pub blocks: Vec<(Vec<u8>, Vec<u8>)>,
    references: u64,
}

impl Play {
    /// A network of which only the founding admin is a member.
    pub fn empty(with: Founded) -> Self {
        let network = Network::founded(with);
        let (chain, engine) = (Chain::new(&network), network.engine());
        Self {
            network,
            chain,
            engine,
            blocks: Vec::new(),
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
        let certificate = self.network.certificate(block);
        let mut all = self.engine.execute(&[block.encode()], &certificate)?;
        let executed = all.pop().unwrap();
        assert!(all.is_empty());
        self.chain.roots.push(executed.state_root);
        self.blocks.push((block.encode(), certificate));
        Ok(executed)
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

    /// The opened answer and the size of the sealed one.
    pub fn ask_sealed(&mut self, name: &str, question: &Question) -> (Answer, usize) {
        let sealed = self.network.seal_query(name, self.expiry(), 0, question);
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
