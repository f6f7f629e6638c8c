//! What tests deliver, by the store's own words.

use crate::place::key;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use kundeforhold::clock::{Reading, TrustedClock};
use kundeforhold::domain::delivery::{Counts, DeliveryKind};
use kundeforhold::domain::identifiers::{
    AccountNumber, Check, CustomerId, IdentifierRules, OrganizationNumber,
};
use kundeforhold::domain::overview::{HeldAccount, HeldRelationship};
use kundeforhold::domain::relationship::{Interval, Register, Relationship, Role, SetId};
use kundeforhold::pseudonym::{Pseudonyms, Sealed, SealedAgreement};
use kundeforhold::store::{
    Begun, Filing, Merge, Publication, Published, Receipt, RowWrite, SealedRecord, SetChange, SetLock,
    Standing, Store, StoreError, Summary, Written,
};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use uuid::Uuid;

pub const WAIT: Duration = Duration::from_secs(20);

pub fn set(register: Register) -> SetId {
    let bank = OrganizationNumber::parse("810059672").unwrap();
    SetId { bank, register }
}

pub fn kar() -> SetId {
    set(Register::Kar)
}

pub fn kfr() -> SetId {
    set(Register::Kfr)
}

pub fn today() -> NaiveDate {
    "2026-11-20".parse().unwrap()
}

/// The key that places are opened with, unless a test says otherwise.
static SEALED_BY: LazyLock<Pseudonyms> = LazyLock::new(|| Pseudonyms::new(&key(1)));

pub fn customer_id(n: u32) -> CustomerId {
    let rules = IdentifierRules {
        check: Check::Format,
        ..IdentifierRules::SYNTHETIC
    };
    CustomerId::parse(&format!("{:011}", 17_912_000_000 + u64::from(n)), &rules).unwrap()
}

pub fn account_number(n: u32) -> AccountNumber {
    AccountNumber::parse_lookup_key(&format!("{:011}", 86_011_000_000 + u64::from(n))).unwrap()
}

pub fn customer(n: u32) -> Sealed {
    SEALED_BY.customer(&customer_id(n))
}

pub fn account(n: u32) -> Sealed {
    SEALED_BY.account(&account_number(n))
}

/// A customer's record of an account, from a day on.
pub fn record(customer_number: u32, account_number: u32) -> SealedRecord {
    let interval = Interval::new(today() - TimeDelta::days(400), None).unwrap();
    record_over(customer_number, account_number, interval)
}

pub fn record_over(customer_number: u32, account_number: u32, interval: Interval) -> SealedRecord {
    SealedRecord {
        customer: customer(customer_number),
        agreement: SealedAgreement::Account(account(account_number)),
        relationship: Relationship::new(Role::Owner, true, true, interval),
    }
}

/// Other terms of the same identity.
pub fn other_terms(record: &SealedRecord) -> SealedRecord {
    SealedRecord {
        relationship: Relationship::new(Role::Other, true, false, record.relationship.interval()),
        ..record.clone()
    }
}

/// So many customers with an account each.
pub fn records(numbers: std::ops::Range<u32>) -> Vec<SealedRecord> {
    let mut records: Vec<_> = numbers.map(|n| record(n, n)).collect();
    records.sort_by(SealedRecord::cmp_identity);
    records
}

pub fn publication(filing: Filing, standing: Standing) -> Publication {
    Publication {
        writes: Vec::new(),
        standing,
        filing,
        calls: Vec::new(),
    }
}

pub fn filing(delivery_id: Uuid, kind: DeliveryKind) -> Filing {
    Filing::Delivery {
        delivery_id,
        kind,
        summary: Summary::default(),
        rejects: Vec::new(),
        idempotency: None,
    }
}

pub fn begun(set: SetId, kind: DeliveryKind) -> Begun {
    Begun {
        delivery_id: Uuid::now_v7(),
        set,
        kind,
        received_at: Utc::now(),
    }
}

/// Files that a delivery begins.
pub async fn begin(store: &Store, set: SetId, kind: DeliveryKind) -> Uuid {
    let begun = begun(set, kind);
    let lock = store.lock(set, WAIT).await.unwrap();
    lock.begin(begun.clone()).await.unwrap().unwrap();
    begun.delivery_id
}

/// Writes records in place of what stands, without putting them in force.
pub fn write(lock: SetLock, records: &[SealedRecord]) -> Result<Written, StoreError> {
    block_in_place(|| {
        let mut merge = lock.merge()?;
        let mut next = records.iter().cloned();
        merge.replace(|| Ok::<_, StoreError>(next.next()))?;
        merge.finish()
    })
}

/// How a set stands after a whole set of these records, all of which run.
pub fn standing(whole_set: Uuid, records: &[SealedRecord]) -> Standing {
    Standing {
        loaded: true,
        last_delivery: None,
        records: records.len() as u64,
        running: records.len() as u64,
        whole_set: Some(whole_set),
    }
}

/// Puts a whole set in force that was begun.
pub async fn publish(
    store: &Store,
    set: SetId,
    id: Uuid,
    records: &[SealedRecord],
) -> Result<Receipt, StoreError> {
    let written = write(store.lock(set, WAIT).await?, records)?;
    let filing = filing(id, DeliveryKind::WholeSet);
    let published = written
        .publish(publication(filing, standing(id, records)))
        .await?;
    Ok(published.receipt)
}

pub async fn whole_set(store: &Store, set: SetId, records: &[SealedRecord]) -> Receipt {
    let id = begin(store, set, DeliveryKind::WholeSet).await;
    publish(store, set, id, records).await.unwrap()
}

/// Publishes changes.
pub async fn change(store: &Store, set: SetId, writes: Vec<RowWrite>) -> Receipt {
    let id = begin(store, set, DeliveryKind::Changes).await;
    let lock = store.lock(set, WAIT).await.unwrap();
    let standing = lock.state().unwrap().standing;
    let publication = Publication {
        writes,
        ..publication(filing(id, DeliveryKind::Changes), standing)
    };
    lock.publish(publication).await.unwrap().receipt
}

/// Publishes one KFR call.
pub async fn call(store: &Store, set: SetId, writes: Vec<RowWrite>, calls: Vec<SetChange>) -> Published {
    let lock = store.lock(set, WAIT).await.unwrap();
    let standing = lock.state().unwrap().standing;
    let counts = Counts {
        read: 1,
        stored: 1,
        customers: 1,
        ..Counts::default()
    };
    let filing = Filing::Call { day: today(), counts };
    let publication = Publication {
        writes,
        calls,
        ..publication(filing, standing)
    };
    lock.publish(publication).await.unwrap()
}

pub fn registration(n: u32) -> SetChange {
    SetChange::Register {
        customer: customer(n),
        from: today(),
        on: today(),
        role: Role::Unknown,
    }
}

/// What a merge is begun on; nothing is written yet.
pub async fn merge(store: &Store, set: SetId) -> Merge {
    let lock = store.lock(set, WAIT).await.unwrap();
    block_in_place(|| lock.merge()).unwrap()
}

/// All records of a set at a version.
pub async fn records_at(store: &Store, set: SetId, version: u64) -> Vec<SealedRecord> {
    all(&merge(store, set).await, version)
}

fn all(merge: &Merge, version: u64) -> Vec<SealedRecord> {
    block_in_place(|| {
        let mut records = merge.records_at(version);
        std::iter::from_fn(|| records.next_record().unwrap()).collect()
    })
}

/// All records of a set that stand.
pub async fn standing_records(store: &Store, set: SetId) -> Vec<SealedRecord> {
    let merge = merge(store, set).await;
    all(&merge, merge.state().version)
}

/// What a lookup finds of a customer.
pub fn held_by(store: &Store, customer: &Sealed) -> Vec<HeldRelationship> {
    now(store.relationships(&customer.clone().into())).unwrap().held
}

/// What a lookup finds of an account.
pub fn held_with(store: &Store, account: &Sealed) -> Vec<HeldAccount> {
    now(store.accounts(&account.clone().into())).unwrap().held
}

/// Whether lookups find a record, by its customer and by its account.
pub fn finds(store: &Store, record: &SealedRecord) -> bool {
    let of_customer = held_by(store, &record.customer);
    let of_account = held_with(store, record.agreement.account().unwrap());
    let by_customer = of_customer
        .iter()
        .any(|held| held.relationship == record.relationship);
    let interval = record.relationship.interval();
    let by_account = of_account.iter().any(|held| held.interval == interval);
    by_customer && by_account
}

/// Waits for what a test needs at once.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(future))
}

pub fn a_moment_ago() -> DateTime<Utc> {
    Utc::now() - TimeDelta::minutes(1)
}

/// A clock that is right, at noon of a day.
pub fn clock_at(day: NaiveDate) -> TrustedClock {
    let now = Reading {
        at: day.and_hms_opt(12, 0, 0).unwrap().and_utc(),
        boot: "of a test".to_owned(),
        uptime: TimeDelta::zero(),
    };
    now.clone().judge(&now).unwrap()
}
