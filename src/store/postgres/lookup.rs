//! What lookups read: the rows of a customer or of an account that are in force.

use super::Store;
use super::connect::Reader;
use super::memory::publication;
use super::sets::small;
use super::transaction::Parameters;
use crate::domain::delivery::PublicationId;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::domain::relationship::SetId;
use crate::pseudonym::{Sealed, UnderEachKey};
use crate::store::format::{decode_relationship, set_of};
use crate::store::{Basis, Found, Sets, StoreError};
use chrono::TimeDelta;
use std::sync::Arc;
use tokio_postgres::Row;

/// Rows, versions, keys in use and the last publication in one statement, so that all of them are of one moment. Where there
/// was no publication, nothing is in force.
const RELATIONSHIPS: &str = "
    SELECT p.number, p.drawn, EXISTS (SELECT 1 FROM keys WHERE state <> 0 AND fingerprint <> ALL($2)), s.bank, s.register, r.terms, r.from_day, r.to_day
    FROM (SELECT number, drawn FROM publications ORDER BY number DESC LIMIT 1) p
    LEFT JOIN (relationships r JOIN sets s ON s.id = r.set_id AND r.since <= s.version
               AND (r.until IS NULL OR r.until > s.version) AND r.key = s.key) ON r.subject = ANY($1)
    ORDER BY r.set_id, r.agreement, r.from_day";
const ACCOUNTS: &str = "
    SELECT p.number, p.drawn, EXISTS (SELECT 1 FROM keys WHERE state <> 0 AND fingerprint <> ALL($2)), s.bank, s.register, r.terms, r.from_day, r.to_day
    FROM (SELECT number, drawn FROM publications ORDER BY number DESC LIMIT 1) p
    LEFT JOIN (relationships r JOIN sets s ON s.id = r.set_id AND r.since <= s.version
               AND (r.until IS NULL OR r.until > s.version) AND r.key = s.key)
           ON substr(r.agreement, 1, 8) = ANY($3) AND r.agreement = ANY($1) AND r.agreement <> ''";

impl Store {
    /// All records of a customer.
    pub async fn relationships(
        &self,
        customer: &UnderEachKey,
    ) -> Result<Found<HeldRelationship>, StoreError> {
        let (keys, customers) = (self.0.fingerprints(), sealed(customer));
        let sought: Parameters<'_> = &[&customers, &keys];
        let found = self.find(RELATIONSHIPS, sought, |set, terms, from, to| {
            Ok(HeldRelationship {
                bank: set.bank,
                relationship: decode_relationship(terms, from, to)?,
            })
        });
        self.in_time(found).await
    }

    /// All records that carry an account.
    pub async fn accounts(&self, account: &UnderEachKey) -> Result<Found<HeldAccount>, StoreError> {
        let (keys, accounts) = (self.0.fingerprints(), sealed(account));
        let tags: Vec<&[u8]> = account.each().map(Sealed::tag_bytes).collect();
        let sought: Parameters<'_> = &[&accounts, &keys, &tags];
        let found = self.find(ACCOUNTS, sought, |set, terms, from, to| {
            Ok(HeldAccount {
                bank: set.bank,
                interval: decode_relationship(terms, from, to)?.interval(),
            })
        });
        self.in_time(found).await
    }

    /// A customer's records, each with its set.
    pub async fn relationships_by_set(
        &self,
        customer: &UnderEachKey,
    ) -> Result<Vec<(SetId, HeldRelationship)>, StoreError> {
        let (keys, customers) = (self.0.fingerprints(), sealed(customer));
        let sought: Parameters<'_> = &[&customers, &keys];
        let found = self.find(RELATIONSHIPS, sought, |set, terms, from, to| {
            let (bank, relationship) = (set.bank, decode_relationship(terms, from, to)?);
            Ok((set, HeldRelationship { bank, relationship }))
        });
        Ok(self.in_time(found).await?.held)
    }

    /// How the sets stand, if what was read at a publication still holds for a customer or account, as far as is known here.
    pub fn holding(&self, at: PublicationId, sought: &UnderEachKey) -> Option<Arc<Sets>> {
        // First: what holds by a list that is as new is judged by these sets.
        let sets = self.sets();
        self.publications().holds(at, sought.tags()).then_some(sets)
    }

    /// Reads what was published up to now, and says of each answer whether it stands: whether nothing concerns what it is
    /// about, and the sets that it was judged by tell the same of coverage. Not for threads that answer.
    pub fn confirm(&self, bases: &[&Basis]) -> Result<Vec<bool>, StoreError> {
        self.0.runtime.block_on(self.in_time(self.follow()))?;
        let now = self.sets();
        // What a key names that is not given here may have changed unseen: then the store is asked, and says so.
        let has_keys = !self.lacks_key();
        let mut judged: Option<(&Arc<Sets>, bool)> = None;
        let confirmed = bases.iter().map(|basis| {
            let covers = match judged {
                Some((sets, covers)) if Arc::ptr_eq(sets, &basis.sets) => covers,
                _ => covers_alike(&basis.sets, &now),
            };
            judged = Some((&basis.sets, covers));
            covers && has_keys && self.publications().holds(basis.at, basis.tags.iter().copied())
        });
        Ok(confirmed.collect())
    }

    async fn find<T>(
        &self,
        sql: &str,
        sought: Parameters<'_>,
        decode: impl Fn(SetId, u8, i32, Option<i32>) -> Result<T, StoreError>,
    ) -> Result<Found<T>, StoreError> {
        let rows = self.read(sql, sought).await?;
        let at = rows.first().map(publication).transpose()?;
        if let Some(row) = rows.first()
            && row.try_get(2)?
        {
            return Err(StoreError::LacksKey);
        }
        let held = rows.iter().filter_map(|row| held(row, &decode).transpose());
        Ok(Found {
            held: held.collect::<Result<_, _>>()?,
            at,
            sets: self.sets_at(at).await?,
        })
    }

    pub(super) async fn read(&self, sql: &str, sought: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let reader = self.0.readers.get().await?;
        // Taken back if nobody waits for the end any longer: what comes over it may be late for others too.
        let mut silent = Silent(self, Some(Arc::clone(&reader)));
        let statement = reader.client.prepare_cached(sql).await;
        let rows = match statement {
            Ok(statement) => reader.client.query(&statement, sought).await,
            Err(cause) => Err(cause),
        };
        silent.1 = None;
        Ok(rows?)
    }

    /// Waits as long as a lookup may take.
    pub(super) async fn in_time<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let read = tokio::time::timeout(self.0.timeout, read).await;
        read.unwrap_or(Err(StoreError::TimedOut))
    }
}

/// A set that has delivered so lately is as fresh as it will be by delivering again.
const FRESH: TimeDelta = TimeDelta::minutes(10);

/// Whether sets tell the same of coverage as they did before.
fn covers_alike(before: &Arc<Sets>, now: &Arc<Sets>) -> bool {
    let alike = |set: SetId| {
        let (before, now) = (before.standing(set), now.standing(set));
        let was_fresh = || match (before.last_delivery, now.last_delivery) {
            (Some(before), Some(now)) => (now - before).abs() < FRESH,
            (before, now) => before == now,
        };
        before.loaded == now.loaded && was_fresh()
    };
    let sets = before.iter().chain(now.iter()).map(|(set, _)| set);
    Arc::ptr_eq(before, now) || sets.into_iter().all(alike)
}

/// As rows may have it.
fn sealed(sought: &UnderEachKey) -> Vec<&[u8]> {
    sought.each().map(Sealed::as_bytes).collect()
}

/// A connection whose answer is waited for.
struct Silent<'s>(&'s Store, Option<Arc<Reader>>);

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.1.take() {
            self.0.0.readers.give_up(&reader);
        }
    }
}

/// What a row holds; `None`: nothing is held at all.
fn held<T>(
    row: &Row,
    decode: impl Fn(SetId, u8, i32, Option<i32>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let Some(bank) = row.try_get::<_, Option<i32>>(3)? else {
        return Ok(None);
    };
    let set = set_of(bank.cast_unsigned(), small(row.try_get(4)?)?)?;
    let terms = small(row.try_get(5)?)?;
    decode(set, terms, row.try_get(6)?, row.try_get(7)?).map(Some)
}
