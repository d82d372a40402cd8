//! Tables of cases: who may do what, agreed on in words of its own and held against the rules.
//!
//! ```text
//! # Lines that begin with a hash, and empty ones, say nothing.
//!                admin  firm  issuer  regulator  cash-agent  oracle  node
//! open-account   -      own   -       -          -           -       -
//! read-holdings  all    own   -       all        -           -       -
//! ```
//!
//! A cell says what a member of the role may do the action to: `all`, to what is its `own`, only to what is `others`, or
//! to nothing (`-`).
//!
//! INVARIANT: a table that was read has a cell for each role and each action of the schema it is held against, or the
//! comparison says which are missing: what nobody wrote down is not taken as agreed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use thiserror::Error;

use crate::{ACTIONS_MAX, Decision, FILE_BYTES_MAX, PolicySet, ROLES, Relation, Request};

/// Why a text is no table of cases.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CasesError {
    /// It is too long.
    #[error("a table of cases may have at most {FILE_BYTES_MAX} bytes, not {0}")]
    TooLong(usize),
    /// Its first line does not name every role once.
    #[error("the first line must name every role once: {}", ROLES.join(", "))]
    Roles,
    /// A line has too few or too many cells, or a word that is no cell.
    #[error(
        "line {line}: an action is followed by {} cells, each of them all, own, others or -",
        ROLES.len()
    )]
    Cells {
        /// The line, counted from 1.
        line: usize,
    },
    /// An action has two lines.
    #[error("line {line}: `{action}` has a line already")]
    Twice {
        /// The second line, counted from 1.
        line: usize,
        /// The action.
        action: String,
    },
    /// There are more actions than a schema can have.
    #[error("a table may have at most {ACTIONS_MAX} actions")]
    TooMany,
}

/// To what a member of a role may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// To nothing.
    Nothing,
    /// To what is its own.
    Own,
    /// To what is not its own.
    Others,
    /// To everything.
    All,
}

impl Extent {
    const EACH: [Self; 4] = [Self::Nothing, Self::Own, Self::Others, Self::All];

    /// The word in a table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "-",
            Self::Own => "own",
            Self::Others => "others",
            Self::All => "all",
        }
    }

    fn read(word: &str) -> Option<Self> {
        Self::EACH.into_iter().find(|one| one.word() == word)
    }

    /// Whether it covers a thing.
    #[must_use]
    pub fn allows(self, relation: Relation) -> bool {
        match self {
            Self::Nothing => false,
            Self::Own => relation == Relation::Own,
            Self::Others => relation == Relation::Other,
            Self::All => true,
        }
    }
}

/// A case in which table and rules are not at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The table has no line for an action of the schema.
    Missing {
        /// The action.
        action: String,
    },
    /// The table has a line for an action that the schema does not know.
    Unknown {
        /// The action.
        action: String,
    },
    /// The rules decide otherwise.
    Decision {
        /// The caller's role.
        role: &'static str,
        /// The action.
        action: String,
        /// Whose the thing is.
        relation: Relation,
        /// What the rules say.
        found: Decision,
    },
}

/// A table: by action, then by role in the order of [`ROLES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cases {
    rows: BTreeMap<String, [Extent; ROLES.len()]>,
}

impl Cases {
    /// Reads a table.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(text: &str) -> Result<Self, CasesError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(CasesError::TooLong(text.len()));
        }
        let lines = (1..).zip(text.lines());
        let mut lines = lines.filter(|(_, line)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        });
        let header = lines.next().map_or("", |(_, line)| line);
        let columns: Option<Vec<usize>> = header.split_whitespace().map(column).collect();
        let columns = columns.ok_or(CasesError::Roles)?;
        let distinct: BTreeSet<usize> = columns.iter().copied().collect();
        if columns.len() != ROLES.len() || distinct.len() != ROLES.len() {
            return Err(CasesError::Roles);
        }
        let mut cases = Self::default();
        for (number, line) in lines {
            let mut words = line.split_whitespace();
            let action = words.next().unwrap_or_default().to_owned();
            let cells: Option<Vec<Extent>> = words.map(Extent::read).collect();
            let cells = cells.filter(|cells| cells.len() == columns.len());
            let cells = cells.ok_or(CasesError::Cells { line: number })?;
            let mut row = [Extent::Nothing; ROLES.len()];
            for (column, cell) in columns.iter().zip(cells) {
                if let Some(place) = row.get_mut(*column) {
                    *place = cell;
                }
            }
            if cases.rows.len() == ACTIONS_MAX {
                return Err(CasesError::TooMany);
            }
            if cases.rows.insert(action.clone(), row).is_some() {
                return Err(CasesError::Twice {
                    line: number,
                    action,
                });
            }
        }
        Ok(cases)
    }

    /// What a set of rules decides, all of it.
    #[must_use]
    pub fn of(set: &PolicySet) -> Self {
        let row = |action: &str| {
            ROLES.map(|role| {
                let allows = |relation| set.decide(&request(role, action, relation)).allowed;
                match (allows(Relation::Own), allows(Relation::Other)) {
                    (false, false) => Extent::Nothing,
                    (true, false) => Extent::Own,
                    (false, true) => Extent::Others,
                    (true, true) => Extent::All,
                }
            })
        };
        let rows = set.actions().map(|action| (action.to_owned(), row(action)));
        Self {
            rows: rows.collect(),
        }
    }

    /// The table as text that [`Cases::read`] reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        let longest = self.rows.keys().map(String::len).max().unwrap_or(0);
        let mut text = format!("{:longest$}", "");
        for role in ROLES {
            // Writing to memory cannot fail.
            let _ = write!(text, "  {role}");
        }
        text.push('\n');
        for (action, row) in &self.rows {
            let mut line = format!("{action:longest$}");
            for (role, cell) in ROLES.iter().zip(row) {
                let _ = write!(line, "  {:width$}", cell.word(), width = role.len());
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Every case, in a fixed order.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &str, Relation, bool)> {
        self.rows.iter().flat_map(|(action, row)| {
            ROLES.into_iter().zip(row).flat_map(move |(role, cell)| {
                [Relation::Own, Relation::Other]
                    .map(|relation| (role, action.as_str(), relation, cell.allows(relation)))
            })
        })
    }

    /// Holds the rules against the table: every role, every action, own and others'.
    #[must_use]
    pub fn differences(&self, set: &PolicySet) -> Vec<Difference> {
        let known: BTreeSet<&str> = set.actions().collect();
        let missing = known.iter().filter(|one| !self.rows.contains_key(**one));
        let missing = missing.map(|action| Difference::Missing {
            action: (*action).to_owned(),
        });
        let unknown = self.rows.keys().filter(|one| !known.contains(one.as_str()));
        let unknown = unknown.map(|action| Difference::Unknown {
            action: action.clone(),
        });
        let decided = self
            .each()
            .filter(|(_, action, _, _)| known.contains(action));
        let wrong = decided.filter_map(|(role, action, relation, expected)| {
            let found = set.decide(&request(role, action, relation));
            (found.allowed != expected).then(|| Difference::Decision {
                role,
                action: action.to_owned(),
                relation,
                found: found.clone(),
            })
        });
        missing.chain(unknown).chain(wrong).collect()
    }
}

fn column(role: &str) -> Option<usize> {
    ROLES.iter().position(|one| *one == role)
}

fn request<'a>(role: &'a str, action: &'a str, relation: Relation) -> Request<'a> {
    Request {
        member: "caller",
        role,
        action,
        relation,
    }
}
