//! Seeds: encodings of the product's own values, the same bytes whenever they are made.
//!
//! To add one: a line in the function of its target's group. `tests/replay.rs` asks that every seed lies in the corpus
//! as it is made here, and is read by its target, or refused if its name says so: a rule that mutations of good seeds
//! hardly ever break alone has a seed that breaks it.

mod holders;
mod keys;
mod lists;
mod words;

use borsh::BorshSerialize;
use sealbook_governance::{Action, Change, Governance, GovernanceOrder, Policies};
use sealbook_identity::pem;
use sealbook_ledger::{
    EpochDefinition, Genesis, GovernanceRules, Parameters, Recovery, SnapshotManifest,
    opening_digest,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_sdk::RegistryStatement;
use sealbook_sealing::{Envelope, OpeningPublicKey, Suite};
use sealbook_securities::{
    BusinessDate, Code, EventCursor, Instruction, Order, Outcome, RecordTime, Side, State,
};

use crate::fixtures::books::{
    ADMIN, APPLE, Permits, Roll, books as known_books, books_after, governance, isin, locked_in,
    member, name, reference, story,
};
use crate::fixtures::network::{
    Chain, chain, commitment, envelope, key_holder, module_key, network, newcomer, observer,
    recovery, seat,
};
use crate::fixtures::people::{SIGNATURE_HEAD, people, request, signed_part};
use crate::fixtures::registry;

use holders::holders;
use keys::{key_records, root_files};
use lists::revocation_lists;
use words::{client_words, frames, module_words, payloads};

/// An encoding.
pub struct Seed {
    /// The target whose corpus it belongs to.
    pub target: &'static str,
    /// What it is; its file is `seed-<name>`. What begins with `refused-` keeps all rules but one.
    pub name: String,
    /// The encoding.
    pub bytes: Vec<u8>,
}

/// Encodings of one target, by name.
type Group = Vec<(String, Vec<u8>)>;

/// The seeds of all targets.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let chain = chain();
    let groups: [(&'static str, Group); 27] = [
        ("block", blocks(&chain)),
        ("books", books()),
        ("certificate", certificates(&chain)),
        ("certificate_chain", certificate_chains()),
        ("certificate_request", certificate_requests()),
        ("certificate_signed", certificate_parts()),
        ("client_words", client_words(&chain)),
        ("envelope", envelopes()),
        ("epoch", epochs(&chain)),
        ("frame", frames(&chain)),
        ("genesis", genesis()),
        ("governance_order", governance_orders()),
        ("holder", holders()),
        ("key_record", key_records()),
        ("manifest", manifests()),
        ("module_words", module_words(&chain)),
        ("opening_key", opening_keys()),
        ("payload", payloads()),
        ("policies", policies()),
        ("proof", proofs(&chain)),
        ("receipt", vec![named("receipt", chain.receipt().encode())]),
        ("revocation_list", revocation_lists()),
        ("root_file", root_files()),
        ("securities_order", securities_orders()),
        ("statement", statements(&chain)),
        ("texts", texts()),
        ("views", views()),
    ];
    let of = |(target, group): (&'static str, Group)| {
        group.into_iter().map(move |(name, bytes)| Seed {
            target,
            name,
            bytes,
        })
    };
    groups.into_iter().flat_map(of).collect()
}

fn policies() -> Group {
    let good = sealbook_policies::DEFAULT_FILES.iter();
    let mut all: Group = good
        .map(|(name, text)| named(name.trim_end_matches(".cedar"), text.as_bytes().to_vec()))
        .collect();
    let rule = "@id(\"a\") permit (principal, action, resource)";
    let when = |condition: &str| format!("{rule} when {{ {condition} }};").into_bytes();
    all.extend([
        named(
            "condition",
            when("!(resource.owner == principal) || principal in Role::\"firm\""),
        ),
        named("refused-like", when("\"a\" like \"*a*\"")),
        named("refused-nested", when(&"(".repeat(9))),
        named(
            "refused-return",
            format!("//\r{}", "(".repeat(99)).into_bytes(),
        ),
        named(
            "refused-unknown",
            format!("{rule} when {{ resource.x }};").into_bytes(),
        ),
        named("refused-unended", rule.as_bytes().to_vec()),
    ]);
    all
}

fn statements(chain: &Chain) -> Group {
    let statement = RegistryStatement {
        version: 1,
        key: registry::KEY,
        head: registry::head(),
        rows: registry::rows(),
        receipt: chain.receipt().encode(),
    };
    vec![named("statement", statement.encode())]
}

fn named(name: &str, bytes: Vec<u8>) -> (String, Vec<u8>) {
    (name.to_owned(), bytes)
}

fn written<T: BorshSerialize>(name: &str, value: &T) -> (String, Vec<u8>) {
    named(name, to_bytes(value))
}

fn to_bytes<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("a value can be written")
}

fn block_at(chain: &Chain, height: usize) -> Vec<u8> {
    let block = chain.blocks.get(height).expect("a height of the chain");
    block.encode()
}

fn blocks(chain: &Chain) -> Group {
    vec![
        named("founding", block_at(chain, 0)),
        named("first", block_at(chain, 1)),
        named("boundary", block_at(chain, 12)),
        named("attachments", block_at(chain, 15)),
    ]
}

fn certificates(chain: &Chain) -> Group {
    let mut empty = chain.certificate(3);
    empty.signers.clear();
    empty.signatures.clear();
    let signed_by = |signers: [u16; 3]| {
        let mut certificate = chain.certificate(3);
        certificate.signers = signers.to_vec();
        network().vote(&mut certificate);
        certificate.encode()
    };
    vec![
        named("double-vote", signed_by([0, 1, 1])),
        named("out-of-order", signed_by([0, 2, 1])),
        named("stranger", signed_by([0, 1, 4])),
        named("first-epoch", chain.certificate(3).encode()),
        named("second-epoch", chain.certificate(14).encode()),
        named("no-votes", empty.encode()),
    ]
}

fn proofs(chain: &Chain) -> Group {
    vec![
        named("one-header", chain.proof(3, 3).encode()),
        named("headers", chain.proof(3, 5).encode()),
        named("step", chain.proof(15, 17).encode()),
        named("across", chain.proof(11, 13).encode()),
    ]
}

fn epochs(chain: &Chain) -> Group {
    let mut bare: EpochDefinition = network().first.clone();
    bare.validators.clear();
    bare.observers.clear();
    vec![
        written("first", &network().first),
        written("second", &chain.second),
        written("no-seats", &bare),
    ]
}

fn genesis() -> Group {
    let full = &network().genesis;
    let mut small = full.clone();
    small.validators.truncate(1);
    small.observers.clear();
    small.certificate_roots = vec![vec![1]];
    small.admins = vec![vec![vec![2]]];
    small.policies.clear();
    small.audit_recipients.clear();
    small.recovery = Recovery::default();
    small.share_commitments.clear();
    let altered = |alter: &dyn Fn(&mut Genesis)| {
        let mut other = small.clone();
        alter(&mut other);
        other.encode()
    };
    let threshold = altered(&|one| one.recovery.threshold = 2);
    let commitments = altered(&|one| one.share_commitments.push(Digest([24; 32])));
    let key_epochs = altered(&|one| one.opening_epochs.extend(full.opening_epochs.clone()));
    vec![
        named("refused-threshold", threshold),
        named("refused-commitments", commitments),
        named("refused-key-epochs", key_epochs),
        named("full", full.encode()),
        named("small", small.encode()),
    ]
}

fn manifests() -> Group {
    let manifest = manifest();
    let mut nameless = manifest.clone();
    nameless.name_pieces.clear();
    vec![
        named("names", manifest.encode()),
        named("no-names", nameless.encode()),
    ]
}

fn manifest() -> SnapshotManifest {
    SnapshotManifest {
        version: SnapshotManifest::VERSION,
        engine_version: 4,
        network: network().genesis.network(),
        height: 12,
        block: Digest([2; 32]),
        commitment: commitment(12),
        key_epoch: 1,
        opening: opening_digest(&network().record.public_key),
        state_pieces: vec![Digest([7; 32]), Digest([8; 32])],
        name_pieces: vec![Digest([9; 32])],
    }
}

fn envelopes() -> Group {
    let one = envelope(Suite::X25519ChaCha20Poly1305);
    let mut longer = one.clone();
    longer.ciphertext.resize(1024 + 16, 6);
    let altered = |alter: &dyn Fn(&mut Envelope)| {
        let mut other = one.clone();
        alter(&mut other);
        other.encode()
    };
    let unpadded = altered(&|one| one.ciphertext.truncate(527));
    let short_key = altered(&|one| one.encapsulated.truncate(31));
    let other_suite = altered(&|one| one.header.suite = Suite::XWingChaCha20Poly1305);
    let other_version = altered(&|one| one.header.version = 3);
    let session = |length: usize| {
        altered(&|one| {
            one.header.version = 2;
            one.encapsulated.truncate(length);
        })
    };
    vec![
        named("refused-unpadded", unpadded),
        named("refused-short-key", short_key),
        named("refused-suite", other_suite),
        named("refused-version", other_version),
        named("refused-tag", session(17)),
        named("session", session(16)),
        named("suite-1", one.encode()),
        named("suite-1-longer", longer.encode()),
        named("suite-2", envelope(Suite::XWingChaCha20Poly1305).encode()),
    ]
}

fn opening_keys() -> Group {
    let of = |suite: Suite, byte: u8| {
        let bytes = vec![byte; suite.public_key_length()];
        to_bytes(&OpeningPublicKey::new(suite, bytes).expect("the suite's length"))
    };
    vec![
        named("suite-1", of(Suite::X25519ChaCha20Poly1305, 9)),
        named("suite-1-small-order", of(Suite::X25519ChaCha20Poly1305, 0)),
        named("suite-2", of(Suite::XWingChaCha20Poly1305, 9)),
        named("suite-2-zero", of(Suite::XWingChaCha20Poly1305, 0)),
    ]
}

fn chain_bytes(chain: &[sealbook_identity::Certificate]) -> Vec<Vec<u8>> {
    chain.iter().map(|one| one.as_ref().to_vec()).collect()
}

fn certificate_chains() -> Group {
    let people = people();
    let mut with_root = people.firm.clone();
    with_root.extend(people.roots.iter().cloned());
    vec![
        written("admin", &chain_bytes(&people.admin)),
        written("firm", &chain_bytes(&people.firm)),
        written("node", &chain_bytes(&people.node)),
        written("with-root", &chain_bytes(&with_root)),
    ]
}

fn certificate_parts() -> Group {
    let people = people();
    let part = |chain: &[sealbook_identity::Certificate], place: usize| {
        signed_part(chain.get(place).expect("leaf and authority"))
    };
    vec![
        named("firm", part(&people.firm, 0)),
        named("firm-authority", part(&people.firm, 1)),
        named("node", part(&people.node, 0)),
        named("node-authority", part(&people.node, 1)),
    ]
}

fn certificate_requests() -> Group {
    let (firm, node) = (
        request("firm-a", "firm", true),
        request("n1", "node", false),
    );
    // The same length in three bytes where one is enough.
    let (_, contents) = firm.split_at(firm.len() - framed_length(&firm));
    let long = [
        &[0x30, 0x83, 0, 0, framed_length(&firm).to_le_bytes()[0]],
        contents,
    ]
    .concat();
    vec![
        named("refused-long-length", long),
        named("firm-part", signed_part(&firm)),
        named("node-part", signed_part(&node)),
        named("firm", firm),
        named("node", node),
    ]
}

/// The length of what a signed object holds.
fn framed_length(object: &[u8]) -> usize {
    signed_part(object).len() + SIGNATURE_HEAD.len() + 64
}

fn texts() -> Group {
    let chain = pem::chain_to_pem(&people().firm).expect("a chain");
    let asked = pem::request_to_pem(&request("firm-a", "firm", true)).expect("a request");
    let key = pem::seed_to_pem(&Secret32::new([9; 32])).expect("a key");
    let plain = |name: &str, text: &str| named(name, text.as_bytes().to_vec());
    vec![
        plain("chain", &chain),
        plain("request", &asked),
        named("key", key.expose().to_vec()),
        plain(
            "uri-holder",
            "https://sealbook.invalid/demo/firm/54930084UKLVMY22DS16",
        ),
        plain(
            "uri-issuing",
            "https://sealbook.invalid/demo/issuing/cash-agent",
        ),
        plain("uri-root", "https://sealbook.invalid/demo/root"),
        plain("lei", "54930084UKLVMY22DS16"),
        plain("isin", APPLE),
        plain("currency", "USD"),
        plain("date", "2012-02-29"),
        plain("decimal", "1234567.00000001"),
        plain("organisation", "Société Générale & Cie"),
        plain("member", "cash-agent"),
    ]
}

/// An order of every kind, and some that no book would carry out.
fn securities_orders() -> Group {
    let mut orders: Group = story()
        .into_iter()
        .map(|(_, under, instruction)| {
            let kind = format!("{under}-{}", instruction.action());
            let reference = reference(under);
            let order = Order {
                reference,
                instruction,
            };
            (kind.to_lowercase(), to_bytes(&order))
        })
        .collect();
    let other = |under: &str, instruction| Order {
        reference: reference(under),
        instruction,
    };
    let past = |record| Instruction::Dividend {
        isin: isin(),
        amount_per_unit: "0.5".parse().expect("a number"),
        currency: "USD".parse().expect("a currency"),
        record,
    };
    let date = BusinessDate::new(2012, 8, 9).expect("a date");
    let buy = Instruction::RecordTrade {
        side: Side::Buy,
        account: "B-1".parse().expect("an account"),
        counterparty: name("alpha"),
        isin: isin(),
        quantity: "5".parse().expect("a number"),
        currency: "USD".parse().expect("a currency"),
        amount: "2056.15".parse().expect("a number"),
    };
    let nothing = Instruction::IssueUnits {
        isin: isin(),
        quantity: "0".parse().expect("a number"),
    };
    let tear = Instruction::Split {
        isin: isin(),
        new: u32::MAX,
        old: 1,
        record: RecordTime::Now,
    };
    orders.extend([
        written("new-nothing", &other("N6", nothing)),
        written("new-buy", &other("N1", buy)),
        written("new-locked-in", &other("N7", locked_in("B-1", "A-1"))),
        written("new-split-limit", &other("N2", tear)),
        written(
            "new-dividend-height",
            &other("N3", past(RecordTime::Height(8))),
        ),
        written(
            "new-dividend-time",
            &other("N4", past(RecordTime::Time(9_000))),
        ),
        written(
            "new-dividend-date",
            &other("N5", past(RecordTime::Date(date))),
        ),
    ]);
    orders
}

/// Every action, and every change.
fn governance_orders() -> Group {
    let watch = Change::RemoveObserver {
        name: "watch".to_owned(),
    };
    let mut second_observer = observer();
    second_observer.name = "watch-2".to_owned();
    second_observer.vote_key = newcomer();
    let changes = vec![
        Change::AddMember {
            chain: vec![b"delta:firm".to_vec(), vec![4]],
        },
        Change::RemoveMember {
            name: name("alpha"),
        },
        Change::AddValidator(seat(9, newcomer()), Vec::new()),
        Change::RemoveValidator {
            name: "node-1".to_owned(),
        },
        Change::AddObserver(second_observer, Vec::new()),
        watch.clone(),
        Change::MoveNode {
            name: "node-1".to_owned(),
            address: "127.0.0.1:9999".to_owned(),
        },
        Change::SetParameters(Parameters::default()),
        Change::SetRules(GovernanceRules {
            approvals: 2,
            ..GovernanceRules::default()
        }),
        Change::RotateKeys { suite: None },
        Change::SetAuditors(vec![key_holder("warden-2", 4)]),
        Change::SetRecovery(Recovery {
            threshold: 3,
            ..recovery()
        }),
        Change::ReplaceModule {
            name: "node-1".to_owned(),
            module_key: module_key(3),
            statement: vec![1; 129],
        },
        Change::SetMeasurements(vec![Digest([28; 32]), Digest([29; 32])]),
        Change::SetContracts(sealbook_ledger::AuthorisedContract::usual()),
        Change::SetPolicies(Policies {
            replaces: Digest([30; 32]),
            schema: "schema".to_owned(),
            files: vec![sealbook_ledger::PolicyText {
                name: "admin.cedar".to_owned(),
                text: "permit (principal, action, resource);".to_owned(),
            }],
        }),
    ];
    let other_suite = Change::RotateKeys { suite: Some(2) };
    let proposals = changes.into_iter().map(|change| {
        let kind = change.kind();
        (kind, Action::Propose { change })
    });
    let other_suite = (
        "rotate-keys-suite",
        Action::Propose {
            change: other_suite,
        },
    );
    let digest = watch.digest();
    let voices = [
        (
            "approve",
            Action::Approve {
                proposal: 1,
                digest,
            },
        ),
        ("reject", Action::Reject { proposal: 1 }),
        ("withdraw", Action::Withdraw { proposal: 1 }),
    ];
    let order = |(kind, action): (&str, Action)| {
        let reference = reference("~1");
        written(kind, &GovernanceOrder { reference, action })
    };
    let all = proposals.chain([other_suite]).chain(voices);
    all.map(order).collect()
}

fn books() -> Group {
    let encoded = |state: &State| {
        let mut bytes = Vec::new();
        assert!(state.encode_into(&mut bytes).is_ok());
        bytes
    };
    vec![
        named("empty", encoded(&State::new())),
        named("members", encoded(&books_after(0))),
        named("furnished", encoded(&books_after(8))),
        named("story", encoded(&books_after(usize::MAX))),
    ]
}

/// Governance in which a key epoch is wanted, and one module has offered a root for it.
fn key_epoch_under_way() -> Governance {
    let mut state = governance(1);
    let order = GovernanceOrder {
        reference: reference("~2"),
        action: Action::Propose {
            change: Change::RotateKeys { suite: None },
        },
    };
    assert!(state.apply(&ADMIN, &order, &Roll, 2_000).is_accepted());
    let makers = state.key_makers();
    let record = &network().record;
    let module = makers.first().expect("a committee has modules");
    let offered = state.offer_keys(*module, record.digest(), record.public_key.clone());
    assert_eq!(offered, Ok(()));
    state
}

fn views() -> Group {
    let [_, state] = known_books();
    let who = member(state, "admin");
    let names = |_| Some("Jane Doe".to_owned());
    let registry = |permits: &Permits| {
        let who = match permits {
            Permits::All => who,
            Permits::Own => member(state, "apple"),
        };
        let view = state.registry(who, permits, &isin(), RecordTime::Now, &names);
        to_bytes(&view.expect("a known issue"))
    };
    let holdings = state.holdings(who, &Permits::All, &names);
    let trades = state.trades(who, &Permits::All);
    let audit = state.audit(who, &Permits::All);
    let log = state.access_log(who, &Permits::All, 0);
    let from = EventCursor::default();
    let alpha = member(state, "alpha");
    let events = state.events(alpha, &Permits::Own, from, (u64::MAX, 50));
    vec![
        written("holdings", &holdings.expect("permitted")),
        named("registry-all", registry(&Permits::All)),
        named("registry-own", registry(&Permits::Own)),
        written("trades", &trades.expect("permitted")),
        written("audit", &audit.expect("permitted")),
        written("access-log", &log.expect("permitted")),
        written("events", &events.expect("permitted")),
        written("governance", &governance(2).view()),
        written("governance-keys", &key_epoch_under_way().view()),
        written("settled", &Outcome::SETTLED),
        written("rejected", &Outcome::refused(Code::LackOfSecurities)),
    ]
}
