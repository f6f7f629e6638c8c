//! What takes long to write: a version of a set, in one transaction, seen by nobody until it is committed.

use super::copy::{Table, copy};
use super::lock::SetLock;
use super::publish::{keep_calls, publish};
use super::{Store, rows, sets};
use crate::pseudonym::{Sealed, SealedAgreement, Tag};
use crate::store::format::day_number;
use crate::store::publication::note_tags;
use crate::store::publications::MOST_LISTED;
use crate::store::{
    Changed, Publication, Published, RowWrite, SealedRecord, SetChange, SetState, StoreError, Tally,
};
use chrono::NaiveDate;
use std::time::Duration;

/// Row changes that are written together.
const WRITES_AT_ONCE: usize = 5_000;
/// Rows that are read together.
const ROWS_AT_ONCE: i64 = 20_000;
/// Longest that a statement of a merge takes: it may compare tens of millions of rows.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3_600);

/// A version of a set that is being written. Dropped before it is published, it leaves nothing.
pub struct Merge {
    lock: SetLock,
    writes: Vec<RowWrite>,
    changed: Changed,
}

/// A version that is written, and not in force yet.
pub struct Written {
    lock: SetLock,
    changed: Changed,
}

impl SetLock {
    /// Begins to write the next version.
    pub fn merge(self) -> Result<Merge, StoreError> {
        let settings = format!(
            "SET LOCAL statement_timeout = {}; SET LOCAL work_mem = '64MB'",
            STATEMENT_TIMEOUT.as_millis()
        );
        self.store.0.runtime.block_on(self.transaction.run(&settings))?;
        Ok(Merge {
            lock: self,
            writes: Vec::new(),
            changed: Changed::default(),
        })
    }
}

impl Merge {
    /// How the set stands.
    pub fn state(&self) -> &SetState {
        &self.lock.state
    }

    fn set_id(&self) -> i32 {
        sets::id(&self.lock.state)
    }

    /// The version that is written.
    fn version(&self) -> u64 {
        self.lock.state.version + 1
    }

    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.lock.store.0.runtime.block_on(work)
    }

    /// A customer's records of an agreement, unless they were written already.
    pub fn records_of(
        &self,
        customer: &Sealed,
        agreement: &SealedAgreement,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        self.block_on(self.lock.records_of(customer, agreement))
    }

    /// The set's records at a version that is kept.
    pub fn records_at(&self, version: u64) -> SortedRecords {
        SortedRecords {
            store: self.lock.store.clone(),
            set_id: self.set_id(),
            version,
            next: Vec::new().into_iter(),
            last: None,
            ended: false,
        }
    }

    /// The calls that were kept for a whole set.
    pub fn calls(&self) -> KeptCalls {
        KeptCalls {
            store: self.lock.store.clone(),
            set_id: self.set_id(),
        }
    }

    /// Writes what differs between the set as it stands and records in the order of rows, each identity once.
    pub fn replace<E: From<StoreError>>(
        &mut self,
        mut next: impl FnMut() -> Result<Option<SealedRecord>, E>,
    ) -> Result<(), E> {
        let (runtime, transaction) = (&self.lock.store.0.runtime, &self.lock.transaction);
        if self.lock.state.version == 0 {
            // Nothing stands.
            let (set_id, version, key) = (self.set_id(), self.version(), self.lock.state.key);
            let changed = &mut self.changed;
            return copy(
                runtime,
                transaction,
                &Table::Relationships { set_id, version, key },
                || {
                    let record = next()?;
                    record.iter().for_each(|record| changed.add_record(record));
                    Ok(record)
                },
            );
        }
        self.block_on(transaction.run(DELIVERED))?;
        copy(runtime, transaction, &Table::Delivered, next)?;
        Ok(self.write_differences()?)
    }

    /// Makes the records of a version that is kept stand again, and counts them.
    pub fn restore(&mut self, version: u64, today: NaiveDate) -> Result<Tally, StoreError> {
        let (transaction, today) = (&self.lock.transaction, day_number(today));
        let counted = self.block_on(async {
            transaction.run(DELIVERED).await?;
            let version = version.cast_signed();
            transaction
                .execute(DELIVER_AGAIN, &[&self.set_id(), &version])
                .await?;
            transaction.query(COUNT_DELIVERED, &[&today]).await
        })?;
        self.write_differences()?;
        let counted = counted.first().ok_or(StoreError::Damaged("a count"))?;
        Ok(Tally {
            records: counted.try_get::<_, i64>(0)?.cast_unsigned(),
            running: counted.try_get::<_, i64>(1)?.cast_unsigned(),
        })
    }

    /// Compares what is delivered with what stands, all in the database.
    fn write_differences(&mut self) -> Result<(), StoreError> {
        let (transaction, set_id, version) = (&self.lock.transaction, self.set_id(), self.version());
        self.changed = self.block_on(async {
            transaction.run("ANALYZE delivered").await?;
            transaction.run(&differing(set_id)).await?;
            transaction.run("ANALYZE differing; DROP TABLE delivered").await?;
            let (version, key) = (version.cast_signed(), i16::from(self.lock.state.key.0));
            transaction.execute(END_DIFFERING, &[&version]).await?;
            transaction
                .execute(INSERT_DIFFERING, &[&set_id, &version, &key])
                .await?;
            let most = MOST_LISTED as i64 + 1;
            let tags = transaction.query(TAGS, &[&most]).await?;
            transaction.run("DROP TABLE differing").await?;
            let mut changed = Changed::default();
            for row in &tags {
                let tag: &[u8] = row.try_get(0)?;
                changed.add(Tag(tag.try_into().map_err(|_| StoreError::Damaged("a tag"))?));
            }
            Ok::<_, StoreError>(changed)
        })?;
        Ok(())
    }

    /// Takes a row's change.
    pub fn write(&mut self, write: RowWrite) -> Result<(), StoreError> {
        self.writes.push(write);
        match self.writes.len() < WRITES_AT_ONCE {
            true => Ok(()),
            false => self.write_rows(),
        }
    }

    fn write_rows(&mut self) -> Result<(), StoreError> {
        let writes = std::mem::take(&mut self.writes);
        note_tags(&writes, &mut self.changed);
        self.block_on(rows::write(
            &self.lock.transaction,
            &self.lock.state,
            self.version(),
            &writes,
        ))
    }

    /// Keeps calls for the whole set that is being received, if there is one.
    pub fn keep_calls(&mut self, calls: Vec<SetChange>) -> Result<(), StoreError> {
        self.block_on(keep_calls(
            &self.lock.transaction,
            &self.lock.state,
            self.version(),
            &calls,
        ))
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<Written, StoreError> {
        self.write_rows()?;
        Ok(Written {
            lock: self.lock,
            changed: self.changed,
        })
    }
}

impl Written {
    /// How the set stood.
    pub fn state(&self) -> &SetState {
        &self.lock.state
    }

    /// Puts the version in force.
    pub async fn publish(self, publication: Publication) -> Result<Published, StoreError> {
        let version = self.lock.state.version + 1;
        publish(self.lock, version, publication, self.changed).await
    }
}

/// What is to stand, in no order: it is compared by hash.
const DELIVERED: &str = "
    CREATE TEMPORARY TABLE delivered (
        from_day integer NOT NULL, to_day integer, terms smallint NOT NULL, subject bytea NOT NULL,
        agreement bytea NOT NULL
    ) ON COMMIT DROP";
const DELIVER_AGAIN: &str = "
    INSERT INTO delivered (subject, agreement, from_day, terms, to_day)
    SELECT subject, agreement, from_day, terms, to_day FROM relationships
    WHERE set_id = $1 AND since <= $2 AND (until IS NULL OR until > $2)";

const COUNT_DELIVERED: &str = "
    SELECT count(*), count(*) FILTER (WHERE from_day <= $1 AND (to_day IS NULL OR to_day >= $1)) FROM delivered";

/// Where a row differs, it is told where it stands, if it does, and what is to stand instead, if anything is.
fn differing(set_id: i32) -> String {
    format!(
        "CREATE TEMPORARY TABLE differing ON COMMIT DROP AS
         SELECT r.place, coalesce(r.subject, d.subject) AS subject, coalesce(r.agreement, d.agreement) AS agreement,
                coalesce(r.from_day, d.from_day) AS from_day, d.terms, d.to_day
         FROM (SELECT ctid AS place, subject, agreement, from_day, terms, to_day FROM relationships
               WHERE set_id = {set_id} AND until IS NULL) r
         FULL JOIN delivered d ON d.subject = r.subject AND d.agreement = r.agreement AND d.from_day = r.from_day
         WHERE r.terms IS DISTINCT FROM d.terms OR r.to_day IS DISTINCT FROM d.to_day"
    )
}

/// Nobody else moves rows of the set, so that their places hold.
const END_DIFFERING: &str = "
    UPDATE relationships r SET until = $1 FROM differing d WHERE d.place IS NOT NULL AND r.ctid = d.place";
const INSERT_DIFFERING: &str = "
    INSERT INTO relationships (subject, set_id, agreement, from_day, since, terms, to_day, key)
    SELECT subject, $1, agreement, from_day, $2, terms, to_day, $3 FROM differing WHERE terms IS NOT NULL";
/// Of the customers, and of the accounts, whose records differ.
const TAGS: &str = "
    SELECT substr(subject, 1, 8) FROM differing
    UNION SELECT substr(agreement, 1, 8) FROM differing WHERE agreement <> ''
    LIMIT $1";

/// The calls that were kept for a whole set. All of them are in force.
pub struct KeptCalls {
    store: Store,
    set_id: i32,
}

impl KeptCalls {
    /// Those of the next so many customers after one, in the order of rows and in that of the calls.
    pub fn of_customers_after(&self, after: &[u8], most: usize) -> Result<Vec<SetChange>, StoreError> {
        let sql = "SELECT change FROM pending_calls WHERE set_id = $1 AND subject IN (
                 SELECT DISTINCT subject FROM pending_calls
                 WHERE set_id = $1 AND subject > $2 ORDER BY subject LIMIT $3)
             ORDER BY subject, number";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let parameters: super::transaction::Parameters<'_> = &[&self.set_id, &after, &most];
        let rows = self
            .store
            .0
            .runtime
            .block_on(self.store.read_apart(sql, parameters));
        let mut calls = Vec::new();
        for row in &rows? {
            let mut change: &[u8] = row.try_get(0)?;
            calls.extend(SetChange::decode(&mut change)?);
        }
        Ok(calls)
    }
}

/// A set's records at one version, in the order of customer, agreement and first day.
pub struct SortedRecords {
    store: Store,
    set_id: i32,
    version: u64,
    next: std::vec::IntoIter<SealedRecord>,
    last: Option<SealedRecord>,
    ended: bool,
}

impl SortedRecords {
    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<SealedRecord>, StoreError> {
        if self.next.len() == 0 && !self.ended {
            let records = self.read()?;
            self.ended = (records.len() as i64) < ROWS_AT_ONCE;
            self.last = records.last().cloned().or(self.last.take());
            self.next = records.into_iter();
        }
        Ok(self.next.next())
    }

    fn read(&self) -> Result<Vec<SealedRecord>, StoreError> {
        let sql = "SELECT subject, agreement, from_day, terms, to_day FROM relationships
             WHERE set_id = $1 AND since <= $2 AND (until IS NULL OR until > $2)
                   AND (subject, agreement, from_day) > ($3, $4, $5)
             ORDER BY subject, agreement, from_day LIMIT $6";
        let none: &[u8] = &[];
        let (subject, agreement, from_day) = match &self.last {
            None => (none, none, i32::MIN),
            Some(last) => (
                last.customer.as_bytes(),
                last.agreement.as_bytes(),
                day_number(last.relationship.interval().from()),
            ),
        };
        let version = self.version.cast_signed();
        let parameters: super::transaction::Parameters<'_> = &[
            &self.set_id,
            &version,
            &subject,
            &agreement,
            &from_day,
            &ROWS_AT_ONCE,
        ];
        let rows = self
            .store
            .0
            .runtime
            .block_on(self.store.read_apart(sql, parameters))?;
        rows.iter().map(rows::record).collect()
    }
}
