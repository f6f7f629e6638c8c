//! What stands after a change, shown as days: `6..` runs from the sixth on, `3..5` has ended.

use super::*;
use SetChange::{Deregister, End, Put, Register, Remove};

/// What ended before this day is kept no longer.
const KEPT_FROM: u32 = 3;
const TODAY: u32 = 20;

fn day(n: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, n).unwrap()
}

fn sealed(n: u8) -> Sealed {
    Sealed::from_bytes(&[n; 22]).unwrap()
}

fn of(agreement: SealedAgreement, role: Role, from: u32, to: Option<u32>) -> SealedRecord {
    let interval = Interval::new(day(from), to.map(day)).unwrap();
    SealedRecord {
        customer: sealed(1),
        agreement,
        relationship: Relationship::new(role, false, false, interval),
    }
}

fn level(from: u32, to: Option<u32>) -> SealedRecord {
    of(SealedAgreement::CustomerLevel, Role::Unknown, from, to)
}

fn account(from: u32, to: Option<u32>) -> SealedRecord {
    of(SealedAgreement::Account(sealed(9)), Role::Owner, from, to)
}

fn identity(record: &SealedRecord) -> SealedIdentity {
    SealedIdentity {
        customer: record.customer.clone(),
        agreement: record.agreement.clone(),
        from: record.relationship.interval().from(),
    }
}

fn register(from: u32) -> SetChange {
    Register {
        customer: sealed(1),
        from: day(from),
        on: day(TODAY),
        role: Role::Unknown,
    }
}

fn deregister(to: u32, is_explicit: bool) -> SetChange {
    Deregister {
        customer: sealed(1),
        to: day(to),
        on: day(TODAY),
        is_explicit,
    }
}

fn standing(records: &[SealedRecord]) -> CustomerRecords {
    CustomerRecords::new(sealed(1), records.to_vec(), day(KEPT_FROM))
}

/// What a change does to records, and what stands then.
fn applied(stands: &[SealedRecord], change: &SetChange) -> (Effect, Vec<SealedRecord>) {
    let mut records = standing(stands);
    let effect = records.apply(change);
    (effect, records.records().collect())
}

#[test]
fn of_what_runs_the_earlier_start_stands_without_an_end() {
    let cases = [
        (vec![], 20, Effect::Registered, vec![level(20, None)]),
        (
            vec![level(6, None)],
            20,
            Effect::AlreadyRunning,
            vec![level(6, None)],
        ),
        (
            vec![level(6, None)],
            4,
            Effect::AlreadyRunning,
            vec![level(4, None)],
        ),
        // What ended is another relationship.
        (
            vec![level(6, Some(19))],
            20,
            Effect::Registered,
            vec![level(6, Some(19)), level(20, None)],
        ),
        (
            vec![level(6, Some(19))],
            6,
            Effect::Registered,
            vec![level(6, None)],
        ),
        // What ends today or later runs, and goes on.
        (
            vec![level(6, Some(20))],
            20,
            Effect::Registered,
            vec![level(6, None)],
        ),
        (
            vec![level(6, Some(25))],
            4,
            Effect::Registered,
            vec![level(4, None)],
        ),
        // The one without an end is the one that runs on.
        (
            vec![level(4, Some(25)), level(6, None)],
            20,
            Effect::AlreadyRunning,
            vec![level(4, Some(25)), level(6, None)],
        ),
        (
            vec![level(6, None), level(25, None)],
            20,
            Effect::AlreadyRunning,
            vec![level(6, None), level(25, None)],
        ),
        // An account is nothing at customer level.
        (
            vec![account(6, None)],
            20,
            Effect::Registered,
            vec![level(20, None), account(6, None)],
        ),
    ];
    for (stands, from, effect, expected) in cases {
        assert_eq!(
            applied(&stands, &register(from)),
            (effect, expected),
            "{stands:?} from {from}"
        );
    }
}

#[test]
fn a_registration_keeps_the_terms_of_what_runs() {
    let owner = of(SealedAgreement::CustomerLevel, Role::Owner, 6, Some(22));
    let (_, stands) = applied(&[owner], &register(4));
    let expected = of(SealedAgreement::CustomerLevel, Role::Owner, 4, None);
    assert_eq!(stands, [expected]);
}

#[test]
fn all_that_runs_at_customer_level_ends() {
    let cases = [
        (vec![], 19, Effect::NothingRuns, vec![]),
        (
            vec![level(6, Some(18))],
            19,
            Effect::NothingRuns,
            vec![level(6, Some(18))],
        ),
        (
            vec![account(6, None)],
            19,
            Effect::NothingRuns,
            vec![account(6, None)],
        ),
        (
            vec![level(4, Some(25)), level(6, None), account(6, None)],
            19,
            Effect::Deregistered,
            vec![level(4, Some(19)), level(6, Some(19)), account(6, None)],
        ),
        // By the default day, what began today goes.
        (vec![level(20, None)], 19, Effect::Deregistered, vec![]),
        (
            vec![level(6, None), level(20, None)],
            19,
            Effect::Deregistered,
            vec![level(6, Some(19))],
        ),
    ];
    for (stands, to, effect, expected) in cases {
        assert_eq!(
            applied(&stands, &deregister(to, false)),
            (effect, expected),
            "{stands:?} to {to}"
        );
    }
}

#[test]
fn a_day_that_the_bank_named_is_not_before_a_start_and_then_nothing_is_changed() {
    let both = [level(6, None), level(20, None)];
    let refused = applied(&both, &deregister(19, true));
    assert_eq!(refused, (Effect::EndsBeforeItBegan, both.to_vec()));
    let ended = applied(&both, &deregister(20, true));
    assert_eq!(
        ended,
        (
            Effect::Deregistered,
            vec![level(6, Some(20)), level(20, Some(20))]
        )
    );
    let ahead = applied(&both[..1], &deregister(25, true));
    assert_eq!(ahead, (Effect::Deregistered, vec![level(6, Some(25))]));
    assert_eq!(applied(&[], &deregister(4, true)).0, Effect::NothingRuns);
}

#[test]
fn a_record_stands_in_place_of_one_of_its_identity_only() {
    let stands = [account(6, None), account(8, Some(9)), level(6, None)];
    let (effect, now) = applied(&stands, &Put(account(6, Some(7))));
    assert_eq!(effect, Effect::Stored);
    assert_eq!(now, [level(6, None), account(6, Some(7)), account(8, Some(9))]);
    let (_, now) = applied(&stands[..1], &Put(account(5, None)));
    assert_eq!(now, [account(5, None), account(6, None)]);
}

#[test]
fn a_record_ends_on_a_day_that_is_not_before_its_first() {
    let stands = [account(6, None)];
    let end = |from, to| End {
        identity: identity(&account(from, None)),
        to: day(to),
    };
    assert_eq!(
        applied(&stands, &end(6, 6)),
        (Effect::Ended, vec![account(6, Some(6))])
    );
    assert_eq!(
        applied(&stands, &end(6, 5)),
        (Effect::EndsBeforeItBegan, stands.to_vec())
    );
    assert_eq!(applied(&stands, &end(7, 9)), (Effect::NoSuchEnd, stands.to_vec()));
    // The end can be mended, either way.
    let ended = [account(6, Some(9))];
    assert_eq!(
        applied(&ended, &end(6, 12)),
        (Effect::Ended, vec![account(6, Some(12))])
    );
}

#[test]
fn what_ended_before_it_is_kept_counts_as_gone_unless_it_was_just_delivered() {
    let (old, kept) = (account(1, Some(2)), account(1, Some(KEPT_FROM)));
    let end = End {
        identity: identity(&old),
        to: day(9),
    };
    let remove = Remove(identity(&old));
    assert_eq!(
        applied(std::slice::from_ref(&old), &end),
        (Effect::NoSuchEnd, vec![old.clone()])
    );
    assert_eq!(
        applied(std::slice::from_ref(&old), &remove),
        (Effect::NotThere, vec![old.clone()])
    );
    assert_eq!(applied(std::slice::from_ref(&kept), &end).0, Effect::Ended);
    assert_eq!(
        applied(std::slice::from_ref(&kept), &remove),
        (Effect::Removed, vec![])
    );
    assert_eq!(applied(&[], &remove), (Effect::NotThere, vec![]));
    let mut records = standing(&[]);
    assert_eq!(records.apply(&Put(old.clone())), Effect::NotKept);
    assert_eq!((records.writes(), records.records().count()), (vec![], 0));
    assert_eq!(records.apply(&end), Effect::Ended);
    assert_eq!(records.writes(), [RowWrite::Insert(account(1, Some(9)))]);
    let mut records = standing(&[account(1, None)]);
    assert_eq!(records.apply(&Put(old)), Effect::NotKept);
    assert_eq!(records.writes(), [RowWrite::End(account(1, None))]);
    let (before, after) = records.tallies(day(TODAY));
    assert_eq!((before.records, after.records), (1, 0));
    assert_eq!(records.apply(&remove), Effect::Removed);
    assert_eq!(records.writes(), [RowWrite::End(account(1, None))]);
}

#[test]
fn only_what_differs_is_written_and_counted() {
    let stands = [level(6, None), account(6, None), account(8, Some(9))];
    let mut records = standing(&stands);
    let tally = |records, running| Tally { records, running };
    assert_eq!(records.writes(), []);
    assert_eq!(records.tallies(day(TODAY)), (tally(3, 2), tally(3, 2)));
    records.apply(&Put(account(6, None)));
    assert_eq!(records.writes(), [], "the same again");
    records.apply(&Put(account(7, None)));
    records.apply(&Put(account(8, Some(11))));
    records.apply(&deregister(19, false));
    records.apply(&Remove(identity(&account(6, None))));
    let expected = [
        RowWrite::End(account(6, None)),
        RowWrite::Replace(level(6, Some(19))),
        RowWrite::Insert(account(7, None)),
        RowWrite::Replace(account(8, Some(11))),
    ];
    assert_eq!(records.writes(), expected);
    assert_eq!(records.tallies(day(TODAY)), (tally(3, 2), tally(3, 1)));
    // There and back is nothing.
    let mut records = standing(&stands[..1]);
    records.apply(&Remove(identity(&stands[0])));
    records.apply(&register(6));
    assert_eq!(records.writes(), []);
}
