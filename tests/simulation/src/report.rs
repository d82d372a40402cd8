//! What is to be run, and what came of it.

use sealbook_primitives::hash::Digest;

/// A defect that is put in on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// A validator's module computes other results, and its host votes all the same.
    WrongResults,
    /// More validators lie than the network can bear.
    TooManyTwins,
    /// A wiped validator votes in the epoch of its wipe.
    VotesAgain,
    /// A client takes a node's word that a transaction will be ordered for its outcome.
    EarlyAnswer,
    /// A client that tries again takes a new reference.
    NewReference,
    /// Desks do not tell each other what they know, and read old states.
    SilentDesks,
    /// Validators vote for whatever a liar shows them.
    Gullible,
}

impl Breakage {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 7] = [
        ("wrong-results", Self::WrongResults),
        ("too-many-twins", Self::TooManyTwins),
        ("votes-again", Self::VotesAgain),
        ("early-answer", Self::EarlyAnswer),
        ("new-reference", Self::NewReference),
        ("silent-desks", Self::SilentDesks),
        ("gullible", Self::Gullible),
    ];

    /// The defect of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(one, _)| *one == name).map(|(_, defect)| *defect)
    }
}

/// What is to be run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The seed.
    pub seed: u64,
    /// Founding validators, 4 or 7.
    pub validators: usize,
    /// A defect, if there is to be one.
    pub breakage: Option<Breakage>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was run.
    pub settings: Settings,
    /// What happened that must not; nothing in a good run.
    pub violations: Vec<String>,
    /// What happened.
    pub lines: Vec<String>,
    /// Equal for equal runs.
    pub digest: Digest,
    /// Final blocks, committee epochs, transactions, clients' operations.
    pub counts: [u64; 4],
}

/// What is counted in the lines of a run, to see that faults do something.
const MARKS: [(&str, &str); 14] = [
    (" starts", "processes started again"),
    ("Wipe {", "disks wiped"),
    ("PowerLoss {", "times all nodes lost power"),
    ("Cut {", "times links were cut"),
    ("Links {", "times links were bad"),
    ("Clock {", "clocks wrong"),
    ("ModuleLoss {", "modules lost"),
    (
        "begins from the snapshot",
        "modules restored from a snapshot",
    ),
    (
        "joins with the snapshot",
        "nodes that joined with a snapshot",
    ),
    ("is decided at", "changes of the committee decided"),
    (" lies about ", "false blocks proposed"),
    (" refuses ", "blocks refused"),
    ("evidence of a contradiction", "contradictions proved"),
    ("is Rejected", "transfers rejected"),
];

impl Report {
    /// How often what happened.
    pub fn marks(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        MARKS.iter().map(|(words, meaning)| {
            let lines = self.lines.iter().filter(|line| line.contains(words));
            (*meaning, lines.count() as u64)
        })
    }
}
