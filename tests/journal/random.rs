//! Random histories of several sets: an index kept up delivery by delivery, with attempts that were cut off,
//! one that fell behind and caught up, one built anew and a naive model all hold the same.

use crate::bench::{
    Follower, day, deregister, kar, kfr, leave_out_closed, new_journal, open, open_with, publish,
    publish_file, put, register, relationship,
};
use crate::copy::{copy_to_the_end, next_head_key, open_copy};
use chrono::NaiveDate;
use kundeforhold::domain::relationship::{Interval, Relationship, Role, SetId};
use kundeforhold::index::ScannedRow;
use kundeforhold::journal::{Journal, Kind, SealedIdentity, SetChange, back_up, restore};
use kundeforhold::pseudonym::{CustomerKey, SealedAgreement};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

const HISTORIES: u32 = 60;
const CUSTOMERS: u64 = 4;

#[derive(Debug, Clone)]
enum Step {
    /// The whole set began to be received so many publications ago.
    Whole {
        began: u64,
        records: Vec<SetChange>,
    },
    Calls(Vec<Call>),
    /// V2 changes, in order.
    Changes(Vec<SetChange>),
    /// Back to just before the whole set in force, if there is one.
    RollBack,
    /// Replaced generations are removed from the index that is kept up.
    Sweep,
    /// The index that falls behind catches up.
    CatchUp,
    /// What ended so many days ago is kept no longer, and left out of the journal's whole sets.
    LeaveOut {
        days_back: u64,
    },
}

#[derive(Debug, Clone)]
enum Call {
    Register { customer: u64, days_back: u64 },
    Deregister { customer: u64, days_back: u64 },
}

fn records() -> impl Strategy<Value = Vec<SetChange>> {
    let roles = prop::sample::select(vec![Role::Owner, Role::Other, Role::Unknown]);
    let agreements = prop_oneof![3 => Just(0_u64), 2 => 1..4_u64];
    let record = (
        0..CUSTOMERS,
        agreements,
        roles,
        0..16_u64,
        prop::option::of(0..8_u64),
    )
        .prop_map(|(customer, agreement, role, from, length)| {
            put(
                customer,
                agreement,
                relationship(role, from, length.map(|length| from + length)),
            )
        });
    // A body holds an identity once.
    prop::collection::vec(record, 0..8).prop_map(|records| {
        let by_identity = |change: SetChange| match &change {
            SetChange::Put(record) => (
                (
                    record.customer.clone(),
                    record.agreement.clone(),
                    record.relationship.interval().from(),
                ),
                change,
            ),
            _ => unreachable!(),
        };
        records
            .into_iter()
            .map(by_identity)
            .collect::<BTreeMap<_, _>>()
            .into_values()
            .collect()
    })
}

/// A delivery of calls is a batch of registrations or one deregistration.
fn calls() -> impl Strategy<Value = Vec<Call>> {
    let registration =
        (0..CUSTOMERS, 0..6_u64).prop_map(|(customer, days_back)| Call::Register { customer, days_back });
    prop_oneof![
        prop::collection::vec(registration, 1..4),
        (0..CUSTOMERS, 0..4_u64)
            .prop_map(|(customer, days_back)| vec![Call::Deregister { customer, days_back }]),
    ]
}

/// Puts, and ends and removals of what may or may not be there.
fn changes() -> impl Strategy<Value = Vec<SetChange>> {
    let change = (records(), 0..3_u8, 0..20_u64).prop_filter_map("no record", |(records, what, to)| {
        let record = match records.first()? {
            SetChange::Put(record) => record.clone(),
            _ => unreachable!(),
        };
        let identity = SealedIdentity {
            customer: record.customer.clone(),
            agreement: record.agreement.clone(),
            from: record.relationship.interval().from(),
        };
        Some(match what {
            0 => SetChange::Put(record),
            1 => SetChange::End {
                identity,
                to: day(to),
            },
            _ => SetChange::Remove(identity),
        })
    });
    prop::collection::vec(change, 0..5)
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step, bool)>> {
    let step = prop_oneof![
        3 => (0..4_u64, records()).prop_map(|(began, records)| Step::Whole { began, records }),
        6 => calls().prop_map(Step::Calls),
        4 => changes().prop_map(Step::Changes),
        2 => Just(Step::RollBack),
        1 => Just(Step::Sweep),
        1 => Just(Step::CatchUp),
        8 => (1..8_u64).prop_map(|days_back| Step::LeaveOut { days_back }),
    ];
    prop::collection::vec((0..3_usize, step, prop::bool::weighted(0.3)), 1..22)
}

impl Call {
    fn change(&self, today: u64) -> SetChange {
        match self {
            Self::Register { customer, days_back } => register(*customer, today - days_back, today),
            Self::Deregister { customer, days_back } => deregister(*customer, today - days_back, today),
        }
    }
}

/// A set as the specification tells it: identities and what stands under each.
type Standing = BTreeMap<(CustomerKey, Vec<u8>, NaiveDate), Relationship>;

/// All publications of a set so far, by which the model judges, and how it stood after each.
#[derive(Default)]
struct Model {
    published: Vec<(Kind, Vec<SetChange>)>,
    stood: Vec<Standing>,
    standing: Standing,
    /// Positions of the whole sets that may be rolled back, the one in force last.
    whole_sets: Vec<u64>,
}

impl Model {
    fn publish(&mut self, kind: Kind, changes: &[SetChange]) {
        match kind {
            Kind::Changes | Kind::Calls => {}
            Kind::WholeSet { .. } => {
                self.standing.clear();
                self.whole_sets.push(self.published.len() as u64 + 1);
            }
            Kind::Rollback { to: 0 } => self.standing.clear(),
            Kind::Rollback { to } => self.standing = self.stood[to as usize - 1].clone(),
        }
        if matches!(kind, Kind::Rollback { .. }) {
            self.whole_sets.pop();
        }
        changes.iter().for_each(|change| step(&mut self.standing, change));
        if let Kind::WholeSet { carries_after } = kind {
            for (kind, calls) in &self.published[carries_after as usize..] {
                if *kind == Kind::Calls {
                    calls.iter().for_each(|call| step(&mut self.standing, call));
                }
            }
        }
        self.published.push((kind, changes.to_vec()));
        self.stood.push(self.standing.clone());
    }
}

fn key_of(identity: &SealedIdentity) -> (CustomerKey, Vec<u8>, NaiveDate) {
    let agreement = match &identity.agreement {
        SealedAgreement::CustomerLevel => Vec::new(),
        other => other.key().0.to_vec(),
    };
    (identity.customer.customer_key(), agreement, identity.from)
}

fn step(standing: &mut Standing, change: &SetChange) {
    let running = |standing: &Standing, customer: CustomerKey, on: NaiveDate| -> Vec<NaiveDate> {
        let of_customer = standing
            .iter()
            .filter(|((of, agreement, _), _)| *of == customer && agreement.is_empty());
        let running = of_customer.filter(|(_, row)| row.interval().runs_on(on));
        running.map(|((_, _, from), _)| *from).collect()
    };
    match change {
        SetChange::Put(record) => {
            let identity = SealedIdentity {
                customer: record.customer.clone(),
                agreement: record.agreement.clone(),
                from: record.relationship.interval().from(),
            };
            standing.insert(key_of(&identity), record.relationship);
        }
        SetChange::End { identity, to } => {
            if let Some(row) = standing.get_mut(&key_of(identity))
                && let Some(days) = Interval::new(identity.from, Some(*to))
            {
                *row = row.over(days);
            }
        }
        SetChange::Remove(identity) => {
            standing.remove(&key_of(identity));
        }
        SetChange::Register {
            customer,
            from,
            on,
            role,
        } => {
            let customer = customer.customer_key();
            let identity = |from| (customer, Vec::new(), from);
            let open = |to| Interval::new(*from, to).unwrap();
            let running = running(standing, customer, *on);
            let endless = running
                .iter()
                .find(|from| standing[&identity(**from)].interval().to().is_none());
            match endless.or(running.first()) {
                None => {
                    let new = Relationship::new(*role, false, *role == Role::Owner, open(None));
                    standing.insert(identity(*from), new);
                }
                Some(present) => {
                    let row = standing.remove(&identity(*present)).unwrap();
                    let start = *from.min(present);
                    let days = Interval::new(start, None).unwrap();
                    standing.insert(identity(start), row.over(days));
                }
            }
        }
        SetChange::Deregister { customer, to, on } => {
            let customer = customer.customer_key();
            for from in running(standing, customer, *on) {
                let row = standing.remove(&(customer, Vec::new(), from)).unwrap();
                if let Some(days) = Interval::new(from, Some(*to)) {
                    standing.insert((customer, Vec::new(), from), row.over(days));
                }
            }
        }
    }
}

/// What is kept from a day on: it runs, or ended then or later.
fn is_kept(relationship: &Relationship, kept_from: NaiveDate) -> bool {
    relationship.interval().to().is_none_or(|to| to >= kept_from)
}

/// A bank cannot end what ended longer ago than it is kept: it does not stand any longer.
fn that_can_be_made(changes: Vec<SetChange>, standing: &Standing, kept_from: NaiveDate) -> Vec<SetChange> {
    let can_be_made = |change: &SetChange| match change {
        SetChange::End { identity, .. } => standing
            .get(&key_of(identity))
            .is_none_or(|relationship| is_kept(relationship, kept_from)),
        _ => true,
    };
    changes.into_iter().filter(can_be_made).collect()
}

/// Every row of a follower that is kept, sorted.
async fn kept_rows(follower: &Follower, kept_from: NaiveDate) -> Vec<String> {
    let mut rows = Vec::new();
    let mut visit = |row: ScannedRow| {
        let (to, shown) = match row {
            ScannedRow::Relationship(customer, row) => {
                (row.relationship.interval().to(), format!("{customer:?} {row:?}"))
            }
            ScannedRow::Account(account, row) => (row.interval.to(), format!("{account:?} {row:?}")),
        };
        rows.extend(to.is_none_or(|to| to >= kept_from).then_some(shown));
    };
    follower.index.scan(&mut visit).await.unwrap();
    rows.sort();
    rows
}

/// The same whatever the key.
async fn kept_relationships(follower: &Follower, kept_from: NaiveDate) -> Vec<(SetId, Relationship)> {
    follower.index.refresh().await.unwrap();
    let state = follower.index.state();
    let mut rows = Vec::new();
    let mut visit = |row: ScannedRow| {
        if let ScannedRow::Relationship(_, row) = row
            && is_kept(&row.relationship, kept_from)
            && state.answers(row.set, row.generation)
        {
            rows.push((row.set, row.relationship));
        }
    };
    follower.index.scan(&mut visit).await.unwrap();
    rows.sort();
    rows
}

/// What a follower holds of all sets in force, in the model's terms.
async fn standing(follower: &Follower, set: SetId) -> Vec<Relationship> {
    let mut all = Vec::new();
    for number in 0..CUSTOMERS {
        all.extend(follower.standing(set, number).await);
    }
    all.sort();
    all
}

/// Runs one history; tells whether a whole set carried calls, and how many were written again.
async fn live_through(history: Vec<(usize, Step, bool)>) -> Result<(bool, usize), TestCaseError> {
    let (directory, journal) = new_journal().await;
    let journal = Arc::new(journal);
    let (kept_up, behind) = (Follower::new(), Follower::new());
    let sets = [kar(0), kfr(0), kfr(1)];
    let mut models: [Model; 3] = Default::default();
    let (mut carried, mut rewritten, mut kept_from) = (false, 0, day(0));
    for (at, (set, step, cut_off)) in history.into_iter().enumerate() {
        // Days pass while deliveries come in.
        let today = 10 + at as u64 / 3;
        let (kind, changes) = match step {
            Step::Sweep => {
                kept_up.sweep(&journal).await;
                continue;
            }
            Step::CatchUp => {
                behind.catch_up(&journal).await;
                continue;
            }
            Step::LeaveOut { days_back } => {
                kept_from = kept_from.max(day(today - days_back));
                for set in sets {
                    rewritten += leave_out_closed(&journal, set, kept_from).await;
                }
                continue;
            }
            Step::Calls(calls) => (
                Kind::Calls,
                calls.iter().map(|call| call.change(today)).collect::<Vec<_>>(),
            ),
            Step::Changes(changes) => {
                let changes = that_can_be_made(changes, &models[set].standing, kept_from);
                (Kind::Changes, changes)
            }
            Step::RollBack => match models[set].whole_sets.last() {
                Some(whole) => (Kind::Rollback { to: whole - 1 }, Vec::new()),
                None => continue,
            },
            Step::Whole { began, records } => {
                let carries_after = journal.position(sets[set]).saturating_sub(began);
                (Kind::WholeSet { carries_after }, records)
            }
        };
        if let Kind::WholeSet { carries_after } = kind {
            carried |= carries_after < journal.position(sets[set]);
        }
        models[set].publish(kind, &changes);
        let journalled = match kind {
            Kind::WholeSet { carries_after } => {
                publish_file(&journal, sets[set], carries_after, &changes).await
            }
            _ => publish(&journal, sets[set], kind, &changes).await,
        };
        let before = kept_up.index.state().sets.get(&sets[set]).cloned();
        kept_up.apply(&journal, sets[set], &journalled).await;
        if let (Some(before), true) = (before, cut_off) {
            // All but the switch was written when it was cut off.
            let undone = kept_up
                .index
                .write(sets[set], before.generation, Vec::new(), Some(before));
            undone.await.unwrap();
            kept_up.apply(&journal, sets[set], &journalled).await;
        }
    }
    compare(&journal, &[&kept_up, &behind], &sets, &models, kept_from).await?;
    if rewritten > 0 {
        assert_copied(&journal, kept_from).await?;
    }
    // The same when it is opened again.
    journal.close().await;
    drop(journal);
    let journal = open(directory.path()).await.unwrap();
    compare(&journal, &[&kept_up, &behind], &sets, &models, kept_from).await?;
    Ok((carried, rewritten))
}

/// A copy under another key, and one that went through a backup, make the same.
async fn assert_copied(journal: &Arc<Journal>, kept_from: NaiveDate) -> Result<(), TestCaseError> {
    let expected = kept_relationships(&Follower::built_from(journal).await, kept_from).await;
    let place = tempfile::tempdir().unwrap();
    let (from, restored) = (place.path().join("copy"), place.path().join("restored"));
    let copy = open_copy(&from, journal).await.unwrap();
    copy_to_the_end(&copy, journal).await;
    let (mut backup, key) = (Vec::new(), copy.key());
    back_up(&from, &next_head_key(), key, &mut backup, &mut |_, _| {}).unwrap();
    restore(&*backup, &restored, &next_head_key(), key, &mut |_, _| {}).unwrap();
    let restored = open_with(&restored, &next_head_key(), key).await.unwrap();
    for copy in [&*copy, &restored] {
        let found = kept_relationships(&Follower::built_from(copy).await, kept_from).await;
        prop_assert_eq!(found, expected.clone(), "copied");
    }
    Ok(())
}

async fn compare(
    journal: &Journal,
    followers: &[&Follower],
    sets: &[SetId],
    models: &[Model],
    kept_from: NaiveDate,
) -> Result<(), TestCaseError> {
    let rebuilt = Follower::built_from(journal).await;
    for (set, model) in sets.iter().zip(models) {
        let mut expected: Vec<_> = model.standing.values().copied().collect();
        expected.sort();
        expected.retain(|relationship| is_kept(relationship, kept_from));
        let mut found = standing(&rebuilt, *set).await;
        found.retain(|relationship| is_kept(relationship, kept_from));
        prop_assert_eq!(found, expected, "{}", set);
    }
    let expected = kept_rows(&rebuilt, kept_from).await;
    for (follower, what) in followers.iter().zip(["kept up", "fell behind"]) {
        follower.catch_up(journal).await;
        follower.sweep(journal).await;
        prop_assert_eq!(kept_rows(follower, kept_from).await, expected.clone(), "{}", what);
    }
    Ok(())
}

#[test]
fn indexes_kept_up_caught_up_and_rebuilt_hold_what_the_naive_model_holds() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (carrying, leaving_out) = (Cell::new(0), Cell::new(0));
    let config = Config {
        cases: HISTORIES,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let lived = TestRunner::new(config).run(&steps(), |history| {
        let (carried, rewritten) = runtime.block_on(live_through(history))?;
        carrying.set(carrying.get() + u32::from(carried));
        leaving_out.set(leaving_out.get() + u32::from(rewritten > 0));
        Ok(())
    });
    lived.unwrap_or_else(|cause| panic!("{cause}"));
    assert!(
        carrying.get() > HISTORIES / 4,
        "only {} histories carry calls",
        carrying.get()
    );
    assert!(
        leaving_out.get() > HISTORIES / 6,
        "only {} histories leave anything out",
        leaving_out.get()
    );
}
