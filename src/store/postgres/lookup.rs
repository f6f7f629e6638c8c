//! What lookups read: the rows of a customer or of an account that are in force.

use super::Store;
use super::connect::Reader;
use super::memory::publication;
use super::sets::small;
use crate::domain::delivery::PublicationId;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::domain::relationship::SetId;
use crate::pseudonym::{Sealed, Tag};
use crate::store::format::{decode_relationship, set_of};
use crate::store::{Found, Sets, StoreError};
use std::sync::Arc;
use tokio_postgres::Row;

/// Rows, versions and the last publication in one statement, so that all of them are of one moment. Where there was no
/// publication, nothing is in force.
const RELATIONSHIPS: &str = "
    SELECT p.number, p.drawn, s.bank, s.register, r.terms, r.from_day, r.to_day
    FROM (SELECT number, drawn FROM publications ORDER BY number DESC LIMIT 1) p
    LEFT JOIN (relationships r JOIN sets s ON s.id = r.set_id AND r.since <= s.version
               AND (r.until IS NULL OR r.until > s.version)) ON r.subject = $1";
const ACCOUNTS: &str = "
    SELECT p.number, p.drawn, s.bank, s.register, r.terms, r.from_day, r.to_day
    FROM (SELECT number, drawn FROM publications ORDER BY number DESC LIMIT 1) p
    LEFT JOIN (relationships r JOIN sets s ON s.id = r.set_id AND r.since <= s.version
               AND (r.until IS NULL OR r.until > s.version))
           ON substr(r.agreement, 1, 8) = substr($1::bytea, 1, 8) AND r.agreement = $1 AND r.agreement <> ''";
const LAST: &str = "SELECT number, drawn FROM publications ORDER BY number DESC LIMIT 1";

impl Store {
    /// All records of a customer.
    pub async fn relationships(&self, customer: &Sealed) -> Result<Found<HeldRelationship>, StoreError> {
        let found = self.find(RELATIONSHIPS, customer, |set, terms, from, to| {
            Ok(HeldRelationship {
                bank: set.bank,
                relationship: decode_relationship(terms, from, to)?,
            })
        });
        self.in_time(found).await
    }

    /// All records that carry an account.
    pub async fn accounts(&self, account: &Sealed) -> Result<Found<HeldAccount>, StoreError> {
        let found = self.find(ACCOUNTS, account, |set, terms, from, to| {
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
        customer: &Sealed,
    ) -> Result<Vec<(SetId, HeldRelationship)>, StoreError> {
        let found = self.find(RELATIONSHIPS, customer, |set, terms, from, to| {
            let (bank, relationship) = (set.bank, decode_relationship(terms, from, to)?);
            Ok((set, HeldRelationship { bank, relationship }))
        });
        Ok(self.in_time(found).await?.held)
    }

    /// How the sets stand, if what was read at a publication still holds for a tag. Any instance may have published since
    /// the last look, so that the last publication is read.
    pub async fn holding(&self, at: PublicationId, tag: Tag) -> Result<Option<Arc<Sets>>, StoreError> {
        let holding = async {
            let row = self.read(LAST, None).await?;
            let last = row.first().map(publication).transpose()?;
            let sets = self.sets_at(last).await?;
            Ok(self.publications().holds(at, tag).then_some(sets))
        };
        self.in_time(holding).await
    }

    async fn find<T>(
        &self,
        sql: &str,
        sought: &Sealed,
        decode: impl Fn(SetId, u8, i32, Option<i32>) -> Result<T, StoreError>,
    ) -> Result<Found<T>, StoreError> {
        let rows = self.read(sql, Some(sought)).await?;
        let at = rows.first().map(publication).transpose()?;
        let held = rows.iter().filter_map(|row| held(row, &decode).transpose());
        Ok(Found {
            held: held.collect::<Result<_, _>>()?,
            at,
            sets: self.sets_at(at).await?,
        })
    }

    async fn read(&self, sql: &str, sought: Option<&Sealed>) -> Result<Vec<Row>, StoreError> {
        let reader = self.0.readers.get().await?;
        // Taken back if nobody waits for the end any longer: what comes over it may be late for others too.
        let mut silent = Silent(self, Some(reader));
        let rows = match &silent.1 {
            Some(reader) => query(reader, sql, sought).await,
            None => Err(StoreError::Closed),
        };
        silent.1 = None;
        rows
    }

    /// Waits as long as a lookup may take.
    async fn in_time<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let read = tokio::time::timeout(self.0.timeout, read).await;
        read.unwrap_or(Err(StoreError::TimedOut))
    }
}

async fn query(reader: &Reader, sql: &str, sought: Option<&Sealed>) -> Result<Vec<Row>, StoreError> {
    let statement = reader.client.prepare_cached(sql).await?;
    Ok(match sought {
        Some(sought) => reader.client.query(&statement, &[&sought.as_bytes()]).await?,
        None => reader.client.query(&statement, &[]).await?,
    })
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
    let Some(bank) = row.try_get::<_, Option<i32>>(2)? else {
        return Ok(None);
    };
    let set = set_of(bank.cast_unsigned(), small(row.try_get(3)?)?)?;
    let terms = small(row.try_get(4)?)?;
    decode(set, terms, row.try_get(5)?, row.try_get(6)?).map(Some)
}
