//! A furnished network with one real module that has executed it all and answers, in the hands of a host.

use sealbook_execution::Executed;
use sealbook_ledger::Block;
use sealbook_protocol::module::ToModule;
use sealbook_protocol::payload::{Answer, Question};

use crate::kit::module::Module;
use crate::kit::play::Play;

pub struct Stage {
    pub play: Play,
    pub module: Module,
    /// How many blocks of the play the module has been given.
    fed: usize,
}

impl Stage {
    /// The module has executed the furnished network and answers.
    pub fn set() -> Self {
        Self::of(Play::furnished())
    }

    pub fn of(play: Play) -> Self {
        let module = Module::running(&play.network);
        let mut stage = Self {
            play,
            module,
            fed: 0,
        };
        stage.feed();
        let sign = stage.module.carried[0].clone();
        stage.step(&[&sign]);
        stage
    }

    /// Gives the module what is final and new, and compares what comes.
    pub fn feed(&mut self) -> Vec<Executed> {
        let new = &self.play.blocks[self.fed..];
        let Some((_, certificate)) = new.last() else {
            return Vec::new();
        };
        self.module.say(&ToModule::Finalized {
            blocks: new.iter().map(|(block, _)| block.clone()).collect(),
            certificate: certificate.clone(),
        });
        let expected = self.play.commitments[self.fed..].to_vec();
        self.fed = self.play.blocks.len();
        let hear = |commitment| {
            let executed = self.module.hear_executed();
            assert_eq!(executed.commitment, commitment);
            executed
        };
        expected.into_iter().map(hear).collect()
    }

    /// Executes a block with these transactions, in the play and in the module.
    pub fn step(&mut self, transactions: &[&[u8]]) -> Executed {
        self.play.step(transactions, &[]);
        self.feed().pop().unwrap()
    }

    /// A block that could be the next one, with nothing in it; the play goes on as if it had not been made.
    pub fn possible(&self) -> Block {
        self.play.chain.clone().next(&[], &[])
    }

    pub fn certificate(&self, block: &Block) -> Vec<u8> {
        self.play.certificate(block)
    }

    /// Offers blocks and expects that they are refused and nothing of the state changes. What was said is returned.
    #[track_caller]
    pub fn refused(&mut self, blocks: &[&Block], certificate: &[u8]) -> String {
        let blocks = blocks.iter().map(|block| block.encode()).collect();
        self.refused_bytes(blocks, certificate)
    }

    #[track_caller]
    pub fn refused_bytes(&mut self, blocks: Vec<Vec<u8>>, certificate: &[u8]) -> String {
        self.module.say(&ToModule::Finalized {
            blocks,
            certificate: certificate.to_vec(),
        });
        let reason = self.module.refusal();
        self.unchanged();
        reason
    }

    /// The module is where the play is, and says so to a member.
    #[track_caller]
    pub fn unchanged(&mut self) {
        let answer = self.ask("regulator", &Question::Audit);
        let expected = self.play.commitments.last().unwrap();
        assert_eq!(
            (answer.height, answer.state_root),
            (expected.height, expected.state_root)
        );
    }

    /// Asks the module.
    #[track_caller]
    pub fn ask(&mut self, name: &str, question: &Question) -> Answer {
        let network = &self.play.network;
        let query = network.seal_query(name, self.play.expiry(), 0, question);
        self.module.query(&query).expect("an answer")
    }
}
