//! What can be wrong with a policy text.

use thiserror::Error;

/// Why a policy set was refused. Nothing of a refused set takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// More than [`FILES_MAX`](crate::FILES_MAX) files.
    #[error("{count} policy files are too many: at most {limit} are read")]
    TooManyFiles {
        /// How many there were.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A file longer than [`FILE_BYTES_MAX`](crate::FILE_BYTES_MAX).
    #[error("`{file}` has {bytes} bytes: a policy text may have at most {limit}")]
    FileTooLong {
        /// The file's name.
        file: String,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More than [`RULES_MAX`](crate::RULES_MAX) rules.
    #[error("`{file}` takes the policy set over {limit} rules")]
    TooManyRules {
        /// The file with the first rule over the limit.
        file: String,
        /// The limit.
        limit: usize,
    },
    /// Two files of the same name.
    #[error("two policy files are named `{file}`")]
    FileTwice {
        /// The name.
        file: String,
    },
    /// A statement longer or more nested than any rule needs, which could exhaust the parser.
    #[error(
        "`{file}` is too involved at line {line}: a statement may have at most {bytes} bytes and \
         nest brackets at most {nesting} deep"
    )]
    TooInvolved {
        /// The file's name.
        file: String,
        /// The line.
        line: usize,
        /// The limit of nesting.
        nesting: usize,
        /// The limit of length, comments, strings and blanks not counted.
        bytes: usize,
    },
    /// Something that rules which are decided on may not be made of: see [`plain`](crate::plain).
    #[error("`{file}` is not plain at line {line}: {what}")]
    NotPlain {
        /// The file's name, with whatever is not printable escaped.
        file: String,
        /// The line.
        line: usize,
        /// What is not plain.
        what: String,
    },
    /// A text that is not Cedar.
    #[error("cannot read `{file}`{}: {detail}", at_line(*.line))]
    Unreadable {
        /// The file's name.
        file: String,
        /// The line, where the parser knows it.
        line: Option<usize>,
        /// What the parser says.
        detail: String,
    },
    /// A schema that does not hold what the engine asks with.
    #[error("the schema does not fit: {detail}")]
    SchemaUnfit {
        /// What is missing.
        detail: String,
    },
    /// A rule without an id.
    #[error("rule {position} of `{file}` has no id: write @id(\"...\") before it")]
    IdMissing {
        /// The file's name.
        file: String,
        /// Which rule of the file, counted from 1.
        position: usize,
    },
    /// An id that is not 1 to 64 of small letters, digits and hyphens.
    #[error(
        "`{id}` in `{file}` cannot be a rule's id: use 1 to 64 small letters, digits and hyphens"
    )]
    IdMalformed {
        /// The file's name.
        file: String,
        /// The id.
        id: String,
    },
    /// Two rules with the same id.
    #[error("rule `{id}` of `{file}` has the same id as a rule of `{first}`")]
    IdTwice {
        /// The file of the second rule.
        file: String,
        /// The id.
        id: String,
        /// The file of the first rule.
        first: String,
    },
    /// A template, whose blanks nobody would fill in.
    #[error(
        "`{file}` holds a rule with a blank (`?principal` or `?resource`), which would never apply"
    )]
    Template {
        /// The file's name.
        file: String,
    },
    /// A rule about one named member or record.
    #[error("rule `{id}` of `{file}` names `{entity}`: rules may name roles and actions only")]
    NamesOne {
        /// The file's name.
        file: String,
        /// The rule's id.
        id: String,
        /// What it names.
        entity: String,
    },
    /// Rules that are not valid under the schema.
    #[error("not valid under the schema: {}", .findings.join("; "))]
    Invalid {
        /// Every finding, each with its file and rule.
        findings: Vec<String>,
    },
    /// Rules whose answer changes with the role of another owner, which a request does not tell.
    #[error(
        "whether a member of role `{role}` may `{action}` would depend on the owner's role: \
         rules may only ask whether the owner is the caller"
    )]
    DependsOnOwner {
        /// The caller's role.
        role: String,
        /// The action.
        action: String,
    },
    /// Rules under which no admin can do what every network needs an admin for.
    #[error(
        "no admin may `{action}` under these rules{}: all admins would be locked out, and no others could come in",
        by_rules(.by)
    )]
    LocksOut {
        /// The action.
        action: String,
        /// The rules that forbid it; none if no rule permits it.
        by: Vec<String>,
    },
    /// Rules that cannot be evaluated.
    #[error("cannot decide whether a member of role `{role}` may `{action}`: {detail}")]
    Undecidable {
        /// The caller's role.
        role: String,
        /// The action.
        action: String,
        /// What the evaluator says.
        detail: String,
    },
}

fn by_rules(rules: &[String]) -> String {
    if rules.is_empty() {
        String::new()
    } else {
        format!(", since `{}` forbids it", rules.join("`, `"))
    }
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" at line {line}"))
}
