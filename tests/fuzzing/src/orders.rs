//! Targets: orders of both contracts, carried out; the books as snapshots hold them.

use std::sync::LazyLock;

use sealbook_governance::{Action, Governance, GovernanceOrder, GovernanceView, KeyRefusal};
use sealbook_primitives::hash::Digest;
use sealbook_securities::{
    Asset, Code, Decimal, EVENTS_MAX, EventCursor, Instruction, MemberId, Order, Outcome,
    RecordTime, Relation, State, Status, TableId,
};

use crate::exact::{exact, neighbours_are_refused};
use crate::fixtures::books::{
    ADMIN, Permits, Roll, SECOND, books as known_books, content, governance, isin, member, story,
};
use crate::fixtures::network::module_key;

/// Who carries orders out: everything permitted, or only what is one's own.
const CALLERS: [(&str, Permits); 4] = [
    ("admin", Permits::All),
    ("alpha", Permits::Own),
    ("beta", Permits::Own),
    ("bank", Permits::Own),
];

/// An order of the securities contract, carried out on books of two ages by members of several roles.
pub fn securities_order(data: &[u8]) -> bool {
    let Some(order) = exact::<Order>(data) else {
        return false;
    };
    let digest = content(&order.instruction);
    for books in known_books() {
        for (name, permits) in &CALLERS {
            let mut state = books.clone();
            let height = state.height() + 1;
            let begun = state.begin_block(height, state.time_ms());
            assert_eq!(begun, Ok(()));
            state.drain_touched();
            let who = member(&state, name);
            carry_out(&mut state, who, permits, &order, digest);
        }
    }
    true
}

/// Carries an order out twice, and once more with another content.
fn carry_out(state: &mut State, who: MemberId, permits: &Permits, order: &Order, digest: [u8; 32]) {
    let outcome = state.apply(who, permits, order, digest);
    assert_eq!(state.check_invariants(), Ok(()), "{order:?}");
    let touched = touched_rows(state);
    if !outcome.is_accepted() {
        let note = noted(state);
        assert_eq!(touched, note, "a refused order changed rows: {order:?}");
        assert_eq!(outcome.code.map(Code::status), Some(outcome.status));
        return;
    }
    assert_eq!(outcome.code, None);
    assert!(amounts(&order.instruction).all(|amount| !amount.is_zero()));
    // The same again is answered as before, and does nothing.
    let again = state.apply(who, permits, order, digest);
    assert_eq!(again, outcome);
    assert_eq!(touched_rows(state), []);
    let other = state.apply(who, permits, order, digest.map(|byte| !byte));
    assert_eq!(other, Outcome::refused(Code::Duplicate));
    assert_eq!(touched_rows(state), noted(state));
    let mut bytes = Vec::new();
    assert!(state.encode_into(&mut bytes).is_ok());
    assert!(State::decode(&bytes).is_ok(), "after {order:?}");
}

/// What an instruction moves, pays or creates: never nothing.
fn amounts(instruction: &Instruction) -> impl Iterator<Item = Decimal> {
    let (first, second) = match instruction {
        Instruction::IssueUnits { quantity, .. }
        | Instruction::Allocate { quantity, .. }
        | Instruction::Transfer {
            asset: Asset::Security { quantity, .. },
            ..
        } => (Some(*quantity), None),
        Instruction::MintCash { amount, .. }
        | Instruction::Transfer {
            asset: Asset::Cash { amount, .. },
            ..
        } => (Some(*amount), None),
        Instruction::RecordTrade {
            quantity, amount, ..
        }
        | Instruction::LockedInTrade {
            quantity, amount, ..
        } => (Some(*quantity), Some(*amount)),
        Instruction::Dividend {
            amount_per_unit, ..
        } => (Some(*amount_per_unit), None),
        _ => (None, None),
    };
    first.into_iter().chain(second)
}

/// The rows other than the clock's that were touched since it was asked last.
fn touched_rows(state: &mut State) -> Vec<(TableId, u32)> {
    let mut touched = state.drain_touched();
    touched.retain(|(table, _)| *table != TableId::Clock);
    touched
}

/// The one row that a refused order leaves, for its submitter.
fn noted(state: &State) -> Vec<(TableId, u32)> {
    let table = TableId::Refusals;
    vec![(table, state.table_len(table) - 1)]
}

/// An order of the contract of governance, given by two electors, up to the epoch in which it takes effect.
pub fn governance_order(data: &[u8]) -> bool {
    static STATES: LazyLock<[Governance; 2]> = LazyLock::new(|| [governance(1), governance(2)]);
    let Some(order) = exact::<GovernanceOrder>(data) else {
        return false;
    };
    for known in STATES.iter() {
        let mut state = known.clone();
        let before = state.definition().clone();
        let outcome = state.apply(&ADMIN, &order, &Roll, 2_000);
        if let Action::Propose { change } = &order.action {
            let malformed = outcome == Outcome::refused(Code::Malformed);
            assert_eq!(change.check().is_err(), malformed, "{change:?}");
        }
        if outcome.is_accepted() {
            let again = state.apply(&ADMIN, &order, &Roll, 2_000);
            assert_eq!(again, outcome);
        } else {
            assert_eq!(outcome.code.map(Code::status), Some(outcome.status));
        }
        state.apply(&SECOND, &order, &Roll, 2_001);
        check_governance(&state);
        let record = agree_on_keys(&mut state);
        check_governance(&state);

        state.end_block(before.plan_height(), 3_000, &[]);
        let planned = state
            .planned()
            .expect("the plan height was reached")
            .clone();
        assert_eq!(planned.check_follows(&before), Ok(()));
        let begins = (planned.opening != before.opening).then_some(planned.opening.record);
        assert_eq!(begins, record, "the key epoch that was agreed on begins");
        let effects = state.begin_epoch();
        assert!(effects.len() <= 2);
        assert_eq!(state.definition(), &planned);
        check_governance(&state);
    }
    true
}

/// One module offers a root for the key epoch that is wanted, if one is, and the others find it good, until it is
/// agreed on.
fn agree_on_keys(state: &mut Governance) -> Option<Digest> {
    let record = Digest([29; 32]);
    let makers = state.key_makers();
    let offered = makers
        .first()
        .map(|one| state.offer_keys(*one, record, module_key(28)));
    if state.rotation().is_none() {
        assert!(offered.is_none_or(|one| one == Err(KeyRefusal::NotWanted)));
        return None;
    }
    assert!(offered.is_none_or(|one| one.is_ok()));
    let agreed = |state: &Governance| state.rotation().is_some_and(|one| one.ready.is_some());
    for module in &makers {
        let known = agreed(state);
        let taken = state.acknowledge_keys(*module, &record);
        assert_eq!(taken.is_err(), known, "{taken:?}");
    }
    assert_eq!(agreed(state), !makers.is_empty());
    agreed(state).then_some(record)
}

/// The state and its view are written and read again.
fn check_governance(state: &Governance) {
    let bytes = borsh::to_vec(state).expect("a state can be written");
    assert!(exact::<Governance>(&bytes).is_some());
    let bytes = borsh::to_vec(&state.view()).expect("a view can be written");
    assert!(exact::<GovernanceView>(&bytes).is_some());
}

/// The books as a snapshot holds them. They are read, looked at, and go on.
pub fn books(data: &[u8]) -> bool {
    let Ok(mut state) = State::decode(data) else {
        return false;
    };
    let encoded = |state: &State| {
        let mut bytes = Vec::new();
        assert!(state.encode_into(&mut bytes).is_ok());
        bytes
    };
    assert_eq!(encoded(&state), data, "books with two encodings");
    neighbours_are_refused(data, |bytes| State::decode(bytes).is_ok());
    assert_eq!(state.check_invariants(), Ok(()));
    let everybody: Vec<MemberId> = state.members().map(|(id, _)| id).collect();
    for who in everybody.iter().take(3) {
        look_at(&state, *who, &Permits::All);
        look_at(&state, *who, &Permits::Own);
    }
    if let Some(who) = everybody.first() {
        go_on(&mut state, *who);
    }
    true
}

fn look_at(state: &State, who: MemberId, permits: &Permits) {
    use sealbook_securities::Authority as _;
    assert!(permits.permits(sealbook_securities::Action::ReadAudit, Relation::Own));
    let names = |_| Some("Somebody".to_owned());
    let times = [RecordTime::Now, RecordTime::Height(3), RecordTime::Time(3)];
    for as_of in times {
        if let Ok(view) = state.registry(who, permits, &isin(), as_of, &names) {
            let bytes = borsh::to_vec(&view).expect("a view can be written");
            assert!(crate::views(&bytes));
        }
    }
    let views = [
        state
            .holdings(who, permits, &names)
            .ok()
            .and_then(|view| borsh::to_vec(&view).ok()),
        state
            .trades(who, permits)
            .ok()
            .and_then(|view| borsh::to_vec(&view).ok()),
        state
            .audit(who, permits)
            .ok()
            .and_then(|view| borsh::to_vec(&view).ok()),
        events(state, who, permits),
    ];
    for bytes in views.into_iter().flatten() {
        assert!(crate::views(&bytes));
    }
}

/// What a member is told from the beginning and from the middle, which is the same where both have it.
fn events(state: &State, who: MemberId, permits: &Permits) -> Option<Vec<u8>> {
    let ask = |from| state.events(who, permits, from, (u64::MAX, EVENTS_MAX));
    let first = ask(EventCursor::default()).ok()?;
    if let Some(middle) = first.rows.get(first.rows.len() / 2)
        && let Ok(rest) = ask(middle.at)
    {
        assert_eq!(rest.rows.first(), Some(middle));
    }
    borsh::to_vec(&first).ok()
}

/// Gives every order of the story to the books, as one member.
fn go_on(state: &mut State, who: MemberId) {
    let next = state.height().saturating_add(1);
    if state.begin_block(next, state.time_ms()).is_err() {
        return;
    }
    for (_, under, instruction) in story() {
        let digest = content(&instruction);
        let order = Order {
            reference: crate::fixtures::books::reference(&format!("again {under}")),
            instruction,
        };
        let outcome = state.apply(who, &Permits::All, &order, digest);
        assert!(outcome.status != Status::Settled || outcome.code.is_none());
        assert_eq!(state.check_invariants(), Ok(()), "{order:?}");
    }
}
