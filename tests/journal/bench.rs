//! A journal in a directory of its own, deliveries to put in it, and indexes that follow it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Days, NaiveDate};
use kundeforhold::chain::{HeadKey, OpenError};
use kundeforhold::domain::identifiers::{
    AccountNumber, Check, CustomerId, IdentifierRules, OrganizationNumber,
};
use kundeforhold::domain::relationship::{
    Agreement, AgreementId, Interval, Register, Relationship, Role, SetId,
};
use kundeforhold::index::embedded::Embedded;
use kundeforhold::index::{Index, ScannedRow};
use kundeforhold::journal::{
    Body, Counts, Delivery, Journal, JournalError, Journalled, Kind, SealedRecord, SetChange, Summary,
};
use kundeforhold::pseudonym::{KeyFingerprint, MasterKey, Pseudonyms, Sealed};
use kundeforhold::register::replay;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;

const LETTING_GO: Duration = Duration::from_secs(5);

pub static PSEUDONYMS: LazyLock<Pseudonyms> = LazyLock::new(|| pseudonyms(5));

pub fn pseudonyms(secret: u8) -> Pseudonyms {
    Pseudonyms::new(&MasterKey::parse(&STANDARD.encode([secret; 64])).unwrap())
}

pub fn head_key() -> HeadKey {
    HeadKey::new([7; 32])
}

/// Opens as soon as the writer of a journal that was dropped without closing has let go of the directory.
pub async fn open(directory: &Path) -> Result<Journal, JournalError> {
    open_with(directory, &head_key(), PSEUDONYMS.fingerprint()).await
}

pub async fn open_with(
    directory: &Path,
    head_key: &HeadKey,
    key: KeyFingerprint,
) -> Result<Journal, JournalError> {
    let asked = Instant::now();
    loop {
        match Journal::open(directory, head_key, key).await {
            Err(JournalError::Open(OpenError::InUse(_))) if asked.elapsed() < LETTING_GO => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            opened => return opened,
        }
    }
}

pub async fn new_journal() -> (TempDir, Journal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path()).await.unwrap();
    (directory, journal)
}

pub fn kar(at: usize) -> SetId {
    let number = ["123456785", "810059672", "988077917"][at];
    SetId {
        bank: OrganizationNumber::parse(number).unwrap(),
        register: Register::Kar,
    }
}

pub fn kfr(at: usize) -> SetId {
    SetId {
        register: Register::Kfr,
        ..kar(at)
    }
}

pub fn day(number: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 20).unwrap() + Days::new(number)
}

pub fn customer(number: u64) -> Sealed {
    PSEUDONYMS.customer(&customer_id(number))
}

pub fn customer_id(number: u64) -> CustomerId {
    let rules = IdentifierRules {
        check: Check::Format,
        ..IdentifierRules::SYNTHETIC
    };
    CustomerId::parse(&format!("{number:011}"), &rules).unwrap()
}

/// 0 is the customer level, odd numbers are accounts, other even ones references.
pub fn agreement(number: u64) -> Agreement {
    match number {
        0 => Agreement::CustomerLevel,
        n if n % 2 == 1 => Agreement::Account(AccountNumber::parse_lookup_key(&format!("{n:011}")).unwrap()),
        n => Agreement::Reference(AgreementId::parse(&format!("loan {n}")).unwrap()),
    }
}

pub fn relationship(role: Role, from: u64, to: Option<u64>) -> Relationship {
    let interval = Interval::new(day(from), to.map(day)).unwrap();
    Relationship::new(role, false, role == Role::Owner, interval)
}

pub fn put(customer_number: u64, agreement_number: u64, relationship: Relationship) -> SetChange {
    SetChange::Put(SealedRecord {
        customer: customer(customer_number),
        agreement: PSEUDONYMS.agreement(&agreement(agreement_number)),
        relationship,
    })
}

pub fn register(number: u64, from: u64, on: u64) -> SetChange {
    SetChange::Register {
        customer: customer(number),
        from: day(from),
        on: day(on),
        role: Role::Unknown,
    }
}

pub fn deregister(number: u64, to: u64, on: u64) -> SetChange {
    SetChange::Deregister {
        customer: customer(number),
        to: day(to),
        on: day(on),
    }
}

/// A delivery whose body is durable and that is not published yet.
pub fn prepared(journal: &Journal, kind: Kind, changes: &[SetChange]) -> Delivery {
    let id = Uuid::now_v7();
    let mut body = journal.begin_body(id);
    changes.iter().for_each(|change| body.push(change).unwrap());
    let counts = Counts {
        read: changes.len() as u64,
        ..Counts::default()
    };
    Delivery {
        id,
        kind,
        received_at: DateTime::UNIX_EPOCH,
        summary: Summary {
            counts,
            sha256: [changes.len() as u8; 32],
            ..Summary::default()
        },
        body: body.finish().unwrap(),
    }
}

pub async fn publish(journal: &Journal, set: SetId, kind: Kind, changes: &[SetChange]) -> Journalled {
    journal
        .publish(set, prepared(journal, kind, changes))
        .await
        .unwrap()
}

/// A whole set while whose receiving nothing else was published.
pub async fn publish_whole(journal: &Journal, set: SetId, changes: &[SetChange]) -> Journalled {
    let carries_after = journal.position(set);
    publish(journal, set, Kind::WholeSet { carries_after }, changes).await
}

/// A whole set in a file of its own, however small, in the order of the index.
pub async fn publish_file(
    journal: &Journal,
    set: SetId,
    carries_after: u64,
    records: &[SetChange],
) -> Journalled {
    let delivery = prepared(journal, Kind::WholeSet { carries_after }, &[]);
    let mut records = records.to_vec();
    records.sort_by_key(|record| record.customer().customer_key());
    let mut body = journal.begin_body_in_file(delivery.id).unwrap();
    records.iter().for_each(|record| body.push(record).unwrap());
    let body = body.finish().unwrap();
    journal.publish(set, Delivery { body, ..delivery }).await.unwrap()
}

/// Leaves out of the whole sets of a set what ended before a day, as the upkeep does; how many were written again.
pub async fn leave_out_closed(journal: &Arc<Journal>, set: SetId, before: NaiveDate) -> usize {
    let mut rewritten = 0;
    for state in journal.kept_states(set, DateTime::UNIX_EPOCH) {
        let new = replay::without_closed(journal, set, state, before, &mut || Ok(())).unwrap();
        if let Some(new) = new {
            assert!(journal.put_rewritten(new).await.unwrap());
            rewritten += 1;
        }
    }
    rewritten
}

pub fn is_file(delivery: &Delivery) -> bool {
    matches!(delivery.body, Body::File { .. })
}

pub fn read_changes(journal: &Journal, journalled: &Journalled) -> Result<Vec<SetChange>, JournalError> {
    journal.changes(journalled.publication())?.collect()
}

/// An index of its own.
pub struct Follower {
    pub index: Index,
    _directory: TempDir,
}

impl Follower {
    pub fn new() -> Self {
        const CACHE_BYTES: usize = 4 << 20;
        let directory = tempfile::tempdir().unwrap();
        let engine = Embedded::open(&directory.path().join("index.redb"), CACHE_BYTES).unwrap();
        Self {
            index: Index::Embedded(Arc::new(engine)),
            _directory: directory,
        }
    }

    /// One built from the journal alone.
    pub async fn built_from(journal: &Journal) -> Self {
        let follower = Self::new();
        follower.catch_up(journal).await;
        follower
    }

    pub async fn apply(&self, journal: &Journal, set: SetId, journalled: &Journalled) {
        replay::apply(journal, &self.index, set, journalled)
            .await
            .unwrap();
    }

    pub async fn catch_up(&self, journal: &Journal) {
        for set in journal.sets() {
            replay::catch_up(journal, &self.index, set).await.unwrap();
            let state = self.index.state();
            assert_eq!(state.sets[&set].position, journal.position(set));
            let last = journal.published_after(set, journal.position(set) - 1).unwrap();
            assert_eq!(state.sets[&set].last_delivery, last[0].publication().published_at);
        }
    }

    /// Removes the rows of all replaced generations, as the keeper does in the background.
    pub async fn sweep(&self, journal: &Journal) {
        for (set, mut state) in self.index.state().sets.clone() {
            for generation in state.retired.drain(..) {
                replay::remove_generation(journal, &self.index, set, generation)
                    .await
                    .unwrap();
            }
            self.index
                .write(set, state.generation, Vec::new(), Some(state))
                .await
                .unwrap();
        }
    }

    /// Every row of every generation, sorted.
    pub async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        let mut visit = |row| {
            rows.push(match row {
                ScannedRow::Relationship(customer, row) => format!("{customer:?} {row:?}"),
                ScannedRow::Account(account, row) => format!("{account:?} {row:?}"),
            });
        };
        self.index.scan(&mut visit).await.unwrap();
        rows.sort();
        rows
    }

    /// What stands of a customer in a set, in order.
    pub async fn standing(&self, set: SetId, number: u64) -> Vec<Relationship> {
        let generation = self
            .index
            .state()
            .sets
            .get(&set)
            .map_or(0, |state| state.generation);
        let asked = [customer(number).customer_key()];
        let mut found = self.index.rows_of(set, generation, &asked).await.unwrap();
        let mut standing: Vec<_> = found
            .remove(0)
            .into_iter()
            .map(|(_, relationship)| relationship)
            .collect();
        standing.sort_by_key(|relationship| relationship.interval());
        standing
    }
}
