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
use crate::store::{Found, Sets, StoreError};
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
const LAST: &str = "SELECT number, drawn FROM publications ORDER BY number DESC LIMIT 1";

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

    /// How the sets stand, if what was read at a publication still holds for a customer or account. Any instance may have
    /// published since the last look, so that the last publication is read.
    pub async fn holding(
        &self,
        at: PublicationId,
        sought: &UnderEachKey,
    ) -> Result<Option<Arc<Sets>>, StoreError> {
        let holding = async {
            let row = self.read(LAST, &[]).await?;
            let last = row.first().map(publication).transpose()?;
            let sets = self.sets_at(last).await?;
            Ok(self.publications().holds(at, sought.tags()).then_some(sets))
        };
        self.in_time(holding).await
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

    async fn read(&self, sql: &str, sought: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
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
    async fn in_time<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let read = tokio::time::timeout(self.0.timeout, read).await;
        read.unwrap_or(Err(StoreError::TimedOut))
    }
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
