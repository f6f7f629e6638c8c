//! Random histories of one bank against the plain model: records, versions, rollbacks, and the counts that are told.

use crate::backup::{archive, back_up, restore_to};
use crate::deliveries::{clock_at, held_by, held_with, kfr, now, standing_records, today};
use crate::model::{self, Call, Change, Identity, Outcome, Records, Terms};
use crate::place::{Engine, Place, on, ring};
use crate::register::{Bank, rekey, sealed};
use crate::steps::{Meanwhile, Step, Upload, step};
use crate::verify::verified;
use chrono::TimeDelta;
use kundeforhold::domain::delivery::{DeliveryKind, DeliveryState};
use kundeforhold::domain::relationship::Role;
use kundeforhold::register::delivery::{Conflict, DeliveryRefusal};
use kundeforhold::store::{Kept, Store};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

/// What the bank's set should be.
#[derive(Default, Clone)]
struct Expected {
    records: Records,
    loaded: bool,
    /// The whole sets that stand on one another, each with what was before it.
    whole_sets: Vec<(Uuid, Records, bool)>,
}

/// The last backup, and how things stood.
struct BackedUp {
    place: Place,
    expected: Expected,
    key: u8,
    is_rekeyed: bool,
    is_amid_rekey: bool,
}

struct History {
    place: Place,
    bank: Bank,
    expected: Expected,
    backup: Option<BackedUp>,
    /// The number of the key that the register is opened with; the next one is for a rekey.
    key: u8,
    /// All is under the next key.
    is_rekeyed: bool,
    /// A rekey was begun, and is to be gone on with.
    is_amid_rekey: bool,
}

impl History {
    async fn take(&mut self, step: Step) {
        match step {
            Step::WholeSet(upload) => self.deliver(upload).await,
            Step::Changes(changes) => self.change(&changes).await,
            Step::Apart(meanwhile) => drop(self.do_meanwhile(&[meanwhile]).await),
            Step::RollBack => self.roll_back().await,
            Step::Reopen => self.reopen(),
            Step::Kill => self.kill(),
            Step::KillAmid(meanwhile) => {
                let _incoming = self.bank.begin(self.bank.order(DeliveryKind::WholeSet)).await;
                self.do_meanwhile(&meanwhile).await;
                self.kill();
            }
            Step::Purge => {
                let (store, kept) = (self.bank.store.clone(), TimeDelta::days(1));
                let kept = Kept {
                    rollback: kept,
                    receipts: TimeDelta::seconds(-10),
                    rejects: kept,
                    publications: TimeDelta::seconds(-10),
                };
                let purge = || store.purge(&kept, &store.judge_clock()?);
                tokio::task::block_in_place(purge).unwrap();
            }
            // PostgreSQL has tools of its own for that.
            Step::BackUp | Step::Restore if self.place.database().is_some() => {}
            Step::BackUp => {
                back_up(&self.place, &ring(self.key, Some(self.key + 1)), true).unwrap();
                // A kill leaves its place behind; the file moves on with the history.
                let place = Place::new(Engine::Sqlite);
                std::fs::rename(archive(&self.place), archive(&place)).unwrap();
                self.backup = Some(BackedUp {
                    place,
                    expected: self.expected.clone(),
                    key: self.key,
                    is_rekeyed: self.is_rekeyed,
                    is_amid_rekey: self.is_amid_rekey,
                });
            }
            Step::Restore => self.restore(),
            Step::KillAmidRekey(meanwhile) => self.kill_amid_rekey(&meanwhile).await,
            Step::Erase => self.erase().await,
        }
    }

    async fn deliver(&mut self, upload: Upload) {
        let incoming = self.bank.begin(self.bank.order(DeliveryKind::WholeSet)).await;
        let calls = self.do_meanwhile(&upload.meanwhile).await;
        if upload.is_broken_off {
            return self.bank.abandon(incoming).await;
        }
        let receipt = self.bank.publish_set(incoming, &upload.lines).await.unwrap();
        let mut records: Records = upload.lines.into_iter().collect();
        model::keep(&mut records);
        assert_eq!(receipt.summary.counts.stored, records.len() as u64);
        for call in &calls {
            model::call(&mut records, call);
        }
        let before = std::mem::replace(&mut self.expected.records, records);
        let was_loaded = std::mem::replace(&mut self.expected.loaded, true);
        self.expected
            .whole_sets
            .push((receipt.delivery_id, before, was_loaded));
    }

    async fn change(&mut self, changes: &[Change]) {
        let published = self.bank.change(changes).await;
        match model::change(&mut self.expected.records, changes) {
            true => assert_eq!(published.unwrap().state, DeliveryState::Published),
            false => assert!(matches!(published, Err(DeliveryRefusal::Rejected(..)))),
        }
    }

    /// Gives the calls that were answered with success.
    async fn do_meanwhile(&mut self, all: &[Meanwhile]) -> Vec<Call> {
        let mut calls = Vec::new();
        for one in all {
            match one {
                Meanwhile::Call(call) => {
                    let is_removal = matches!(call, Call::Deregister { .. });
                    let outcome = self.bank.call(call).await;
                    assert_eq!(outcome, model::call(&mut self.expected.records, call));
                    if outcome == Outcome::Done || !is_removal {
                        calls.push(*call);
                    }
                }
                Meanwhile::Batch(items) => {
                    self.bank.batch(items).await.unwrap();
                    self.expected.loaded = true;
                    for (customer, from) in items.iter().copied() {
                        calls.push(Call::Register { customer, from });
                        model::call(&mut self.expected.records, &Call::Register { customer, from });
                    }
                }
                Meanwhile::Rekey => self.rekey().await,
            }
            self.check().await;
        }
        calls
    }

    async fn roll_back(&mut self) {
        let Some((whole_set, before, was_loaded)) = self.expected.whole_sets.last().cloned() else {
            return;
        };
        let rolled_back = self.bank.roll_back(whole_set).await;
        if !was_loaded {
            let refused = matches!(
                rolled_back,
                Err(DeliveryRefusal::Conflict(Conflict::NothingBefore))
            );
            return assert!(refused);
        }
        assert_eq!(rolled_back.unwrap().unwrap().kind, DeliveryKind::Rollback);
        self.expected.whole_sets.pop();
        self.expected.records = before;
    }

    /// Once for each opening, since the key after the next one is not known yet.
    async fn rekey(&mut self) {
        self.ask_for_rekey();
        rekey(&self.place, &self.bank.store).await;
        self.is_rekeyed = true;
        self.is_amid_rekey = false;
    }

    fn ask_for_rekey(&self) {
        now(Store::ask_for_rekey(
            &self.place.address(),
            self.bank.store.given(),
        ))
        .unwrap();
    }

    async fn kill_amid_rekey(&mut self, meanwhile: &[Meanwhile]) {
        self.ask_for_rekey();
        if self.bank.store.sets().get(kfr()).is_some() {
            let store = self.bank.store.clone();
            let copy = tokio::task::block_in_place(|| store.copy_under_next_key(kfr())).unwrap();
            self.do_meanwhile(meanwhile).await;
            drop(copy);
        }
        self.is_amid_rekey = true;
        self.kill();
    }

    /// The clock of the register's day, at which records are kept for no time once they have ended. A set that a rekey is
    /// at is erased from once that is done.
    async fn erase(&mut self) {
        if self.is_amid_rekey {
            self.rekey().await;
        }
        let clock = clock_at(today());
        tokio::task::block_in_place(|| self.bank.store.erase(0, &clock)).unwrap();
        let ended = |(_, terms): &(&Identity, &Terms)| terms.to.is_some_and(|to| to < today());
        let standing: Vec<Identity> = self
            .expected
            .records
            .iter()
            .filter(ended)
            .map(|(id, _)| *id)
            .collect();
        let versions = self.expected.whole_sets.iter_mut().map(|(_, before, _)| before);
        for records in versions.chain([&mut self.expected.records]) {
            records.retain(|identity, terms| !ended(&(identity, terms)) && !standing.contains(identity));
        }
    }

    fn reopen(&mut self) {
        self.bank.store.close();
        // What holds the file is let go before it is taken again.
        let elsewhere = self.place.after_kill();
        self.open(elsewhere);
    }

    fn restore(&mut self) {
        let Some(backup) = &self.backup else {
            return;
        };
        let restored = Place::new(Engine::Sqlite);
        let keys = ring(backup.key, Some(backup.key + 1));
        restore_to(&restored, &archive(&backup.place), false, &keys).unwrap();
        (self.expected, self.key) = (backup.expected.clone(), backup.key);
        self.is_rekeyed = backup.is_rekeyed;
        self.is_amid_rekey = backup.is_amid_rekey;
        self.open(restored);
    }

    fn kill(&mut self) {
        let left = self.place.after_kill();
        self.open(left);
    }

    /// After a rekey, with the key that all is under.
    fn open(&mut self, place: Place) {
        self.key += u8::from(std::mem::take(&mut self.is_rekeyed));
        self.bank = Bank::open(&place, self.key);
        self.place = place;
    }

    /// What stands, what lookups find, and what is counted are the same.
    async fn check(&self) {
        let (store, expected) = (&self.bank.store, &self.expected);
        let standing = store.sets().standing(kfr());
        assert_eq!(standing.records, expected.records.len() as u64);
        assert_eq!(standing.running, model::running(&expected.records));
        assert_eq!(standing.loaded, expected.loaded);
        let whole_set = expected.whole_sets.last().map(|(id, ..)| *id);
        assert_eq!(standing.whole_set, whole_set);
        let key = store.key_of(kfr()).unwrap();
        let sealed = sealed(&expected.records, &key.pseudonyms);
        // Of many, some.
        for record in sealed.iter().step_by(1 + sealed.len() / 50) {
            let held = held_by(store, &record.customer);
            let of_customer = sealed.iter().filter(|other| other.customer == record.customer);
            assert_eq!(held.len(), of_customer.count());
            if let Some(account) = record.agreement.account() {
                let held = held_with(store, account);
                let with_it = sealed.iter().filter(|other| other.agreement == record.agreement);
                assert_eq!(held.len(), with_it.count());
            }
        }
        assert_eq!(standing_records(store, kfr()).await, sealed);
    }
}

fn run(engine: Engine, steps: &[Step]) {
    on(engine, async |place| {
        let bank = Bank::open(&place, 1);
        let expected = Expected::default();
        let mut history = History {
            place,
            bank,
            expected,
            backup: None,
            key: 1,
            is_rekeyed: false,
            is_amid_rekey: false,
        };
        for step in steps.iter().cloned() {
            history.take(step).await;
            history.check().await;
        }
        if history.place.database().is_some() {
            return;
        }
        let found = verified(&history.place);
        assert_eq!(found.findings, []);
        assert!(found.sets.iter().all(|counts| counts.stored == counts.counted));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bank_has_what_it_delivered(steps in vec(step(), 1..12)) {
        run(Engine::Sqlite, &steps);
    }

    #[test]
    fn a_bank_has_what_it_delivered_in_short_histories(steps in vec(step(), 1..6)) {
        run(Engine::Sqlite, &steps);
    }
}

proptest! {
    // A kill copies a database.
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bank_has_what_it_delivered_to_a_database(steps in vec(step(), 1..10)) {
        run(Engine::Postgres, &steps);
    }
}

/// What goes over to a merge, since it is too much for one transaction.
#[test]
fn large_batches_and_changes_hold_in_the_whole_set_that_is_received_and_can_be_rolled_back() {
    let level = |customer| {
        let terms = Terms {
            role: Role::Unknown,
            to: None,
        };
        ((customer, 0, today() - TimeDelta::days(9)), terms)
    };
    let set = |customers: std::ops::Range<u16>| Upload {
        lines: customers.map(level).collect(),
        meanwhile: Vec::new(),
        is_broken_off: false,
    };
    let batch = |customers: std::ops::Range<u16>, from| {
        let items = customers.map(|customer| (customer, from)).collect();
        Meanwhile::Batch(items)
    };
    let end = |customer| Meanwhile::Call(Call::Deregister { customer, to: None });
    let upload = Upload {
        meanwhile: vec![
            end(5),
            batch(1_000..3_600, today()),
            end(1_001),
            batch(0..9, today()),
        ],
        ..set(500..1_500)
    };
    let changes = |customers: std::ops::Range<u16>| {
        let changes = customers.map(|customer| Change::Remove(level(customer).0));
        Step::Changes(changes.collect())
    };
    let steps = [
        Step::WholeSet(set(0..1_200)),
        Step::Apart(batch(100..2_300, today() - TimeDelta::days(20))),
        Step::WholeSet(upload.clone()),
        changes(500..1_400),
        changes(0..4_000),
        Step::RollBack,
        Step::WholeSet(Upload {
            is_broken_off: true,
            ..upload.clone()
        }),
        Step::WholeSet(upload),
        Step::Kill,
        Step::RollBack,
        Step::RollBack,
    ];
    for engine in Engine::ALL {
        run(engine, &steps);
    }
}
