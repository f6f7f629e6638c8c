//! Brings the schema of a database up to this program, and refuses what it does not know.

use crate::store::StoreError;
use chrono::Utc;
use deadpool_postgres::ClientWrapper;
use tokio_postgres::GenericClient;

/// The migrations, numbered from 1, each with the oldest schema whose program may work on what it leaves: instances of
/// the release before go on serving meanwhile.
const MIGRATIONS: [Migration; 2] = [
    Migration {
        sql: include_str!("schema/0001_register.sql"),
        oldest: 1,
    },
    Migration {
        sql: include_str!("schema/0002_record.sql"),
        oldest: 1,
    },
];

/// The schema of this program.
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

struct Migration {
    sql: &'static str,
    oldest: i32,
}

/// Notes each migration with the oldest program that may go on beside it.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions (
    number integer PRIMARY KEY, oldest integer NOT NULL, at bigint NOT NULL)";
/// One program migrates at a time, or claims keys. Held until the end of the transaction.
pub(super) const ALONE: &str = "SELECT pg_advisory_xact_lock(7510, 1)";

/// Does what migrations are missing, all in one transaction.
pub(super) async fn migrate(client: &mut ClientWrapper) -> Result<(), StoreError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(ALONE).await?;
    transaction.batch_execute(VERSIONS).await?;
    let (newest, oldest) = versions(&*transaction).await?;
    refuse_newer(newest, oldest)?;
    for (number, migration) in (1_i32..).zip(&MIGRATIONS).filter(|(number, _)| *number > newest) {
        transaction.batch_execute(migration.sql).await?;
        let note = "INSERT INTO schema_versions (number, oldest, at) VALUES ($1, $2, $3)";
        let at = Utc::now().timestamp_millis();
        transaction
            .execute(note, &[&number, &migration.oldest, &at])
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// Refuses a database where there is no store yet.
pub(super) async fn require(client: &ClientWrapper) -> Result<(), StoreError> {
    match check(client).await? {
        true => Ok(()),
        false => Err(StoreError::Older {
            found: 0,
            known: KNOWN,
        }),
    }
}

/// Whether there is a store; one that this program may not work on is refused.
pub(super) async fn check(client: &ClientWrapper) -> Result<bool, StoreError> {
    let there = client
        .query_one("SELECT to_regclass('schema_versions') IS NOT NULL", &[])
        .await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(false);
    }
    let (newest, oldest) = versions(&**client).await?;
    refuse_newer(newest, oldest)?;
    let known = KNOWN;
    match newest.cast_unsigned() {
        0 => Ok(false),
        found if found < known => Err(StoreError::Older { found, known }),
        _ => Ok(true),
    }
}

async fn versions(client: &impl GenericClient) -> Result<(i32, i32), StoreError> {
    let both = "SELECT coalesce(max(number), 0), coalesce(max(oldest), 0) FROM schema_versions";
    let row = client.query_one(both, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

fn refuse_newer(newest: i32, oldest: i32) -> Result<(), StoreError> {
    let known = KNOWN.cast_signed();
    match oldest > known {
        true => Err(StoreError::Newer {
            found: newest.cast_unsigned(),
            known: known.cast_unsigned(),
        }),
        false => Ok(()),
    }
}
