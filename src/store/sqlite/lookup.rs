//! What lookups read: the rows of a customer or of an account that are in force.

use super::Store;
use crate::domain::delivery::PublicationId;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::domain::relationship::SetId;
use crate::pseudonym::UnderEachKey;
use crate::store::format::{decode_relationship, set_of};
use crate::store::{Found, Sets, StoreError};
use rusqlite::{Connection, OptionalExtension, Row};
use std::sync::Arc;
use std::time::Instant;

const RELATIONSHIPS: &str = "
    SELECT s.bank, s.register, r.terms, r.from_day, r.to_day
    FROM relationships r CROSS JOIN sets s ON s.id = r.set_id
    WHERE r.subject = ?1 AND r.key = s.key AND r.since <= s.version AND (r.until IS NULL OR r.until > s.version)";

const ACCOUNTS: &str = "
    SELECT s.bank, s.register, r.terms, r.from_day, r.to_day
    FROM accounts a
    CROSS JOIN relationships r ON r.subject = a.subject AND r.set_id = a.set_id AND r.agreement = ?2
    CROSS JOIN sets s ON s.id = r.set_id
    WHERE a.tag = ?1 AND r.key = s.key AND r.since <= s.version AND (r.until IS NULL OR r.until > s.version)";

const LAST: &str = "SELECT number, drawn FROM publications ORDER BY number DESC LIMIT 1";

impl Store {
    /// All records of a customer.
    pub fn relationships(&self, customer: &UnderEachKey) -> Result<Found<HeldRelationship>, StoreError> {
        self.find(
            RELATIONSHIPS,
            customer.each().map(|customer| [customer.as_bytes()]),
            |row| {
                let (set, terms, from, to) = columns(row)?;
                Ok(HeldRelationship {
                    bank: set.bank,
                    relationship: decode_relationship(terms, from, to)?,
                })
            },
        )
    }

    /// All records that carry an account.
    pub fn accounts(&self, account: &UnderEachKey) -> Result<Found<HeldAccount>, StoreError> {
        let sought = account
            .each()
            .map(|account| [account.tag_bytes(), account.as_bytes()]);
        self.find(ACCOUNTS, sought, |row| {
            let (set, terms, from, to) = columns(row)?;
            Ok(HeldAccount {
                bank: set.bank,
                interval: decode_relationship(terms, from, to)?.interval(),
            })
        })
    }

    /// How the sets stand, if what was read at a publication still holds for a customer or account.
    pub fn holding(&self, at: PublicationId, sought: &UnderEachKey) -> Option<Arc<Sets>> {
        let sets = self.sets();
        self.publications().holds(at, sought.tags()).then_some(sets)
    }

    /// A customer's records, each with its set.
    pub fn relationships_by_set(
        &self,
        customer: &UnderEachKey,
    ) -> Result<Vec<(SetId, HeldRelationship)>, StoreError> {
        let sought = customer.each().map(|customer| [customer.as_bytes()]);
        let found = self.find(RELATIONSHIPS, sought, |row| {
            let (set, terms, from, to) = columns(row)?;
            let relationship = decode_relationship(terms, from, to)?;
            let bank = set.bank;
            Ok((set, HeldRelationship { bank, relationship }))
        })?;
        Ok(found.held)
    }

    /// Rows, versions, keys and publication are of one snapshot: a set that is brought under another key meanwhile is
    /// found under one of them, and what is kept in a cache says what it was read at.
    fn find<'a, T, const N: usize>(
        &self,
        sql: &str,
        sought: impl Iterator<Item = [&'a [u8]; N]>,
        decode: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Found<T>, StoreError> {
        let since = Instant::now();
        // Before the rows: a set that is loaded meanwhile must not count as loaded where its rows are not seen.
        let sets = self.sets();
        let found = self.0.snapshots.read(|connection, at| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut held = Vec::new();
            for sought in sought {
                let mut rows = statement.query(rusqlite::params_from_iter(sought))?;
                while let Some(row) = rows.next()? {
                    held.push(decode(row)?);
                }
            }
            Ok(Found { held, at, sets })
        })?;
        // A read of the disk cannot be cut off; that it was too late is told.
        match since.elapsed() > self.0.timeout {
            true => Err(StoreError::TimedOut),
            false => Ok(found),
        }
    }
}

fn columns(row: &Row<'_>) -> Result<(SetId, u8, i32, Option<i32>), StoreError> {
    let set = set_of(row.get(0)?, row.get(1)?)?;
    Ok((set, row.get(2)?, row.get(3)?, row.get(4)?))
}

pub(super) fn last_publication(connection: &Connection) -> Result<Option<PublicationId>, StoreError> {
    let mut statement = connection.prepare_cached(LAST)?;
    let last = statement.query_row([], |row| {
        Ok(PublicationId {
            number: row.get(0)?,
            drawn: row.get(1)?,
        })
    });
    Ok(last.optional()?)
}
