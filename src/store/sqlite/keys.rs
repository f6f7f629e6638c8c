//! The rows of `keys`.

use crate::pseudonym::{KeyFingerprint, PseudonymRing};
use crate::store::keys::{KeyState, KnownKey, RowKeys, check};
use crate::store::{KeyId, Rekey, StoreError};
use rusqlite::{Connection, OptionalExtension};

/// Makes the keys that were given known to a file, and refuses one that has rows under another key.
pub(super) fn claim(connection: &Connection, given: &PseudonymRing) -> Result<RowKeys, StoreError> {
    let known = load(connection)?;
    check(&known, given)?;
    if known.is_empty() {
        insert(connection, given.present().fingerprint(), KeyState::Current)?;
    }
    let next = given.next().map(|next| next.fingerprint());
    connection.execute(
        "DELETE FROM keys WHERE state = ?1 AND fingerprint IS NOT ?2",
        (KeyState::Offered.number(), next.as_ref().map(<[u8; 8]>::as_slice)),
    )?;
    let known = load(connection)?;
    if let Some(next) = next
        && known.len() == 1
        && known[0].fingerprint != next
    {
        insert(connection, next, KeyState::Offered)?;
    }
    Ok(RowKeys::of(&load(connection)?, given))
}

/// Refuses a file with rows under a key that was not given.
pub(super) fn look(connection: &Connection, given: &PseudonymRing) -> Result<(), StoreError> {
    check(&load(connection)?, given)
}

/// What new sets begin under.
pub(super) fn newest_in_use(connection: &Connection) -> Result<KeyId, StoreError> {
    let newest = "SELECT id FROM keys ORDER BY state DESC LIMIT 1";
    Ok(KeyId(connection.query_row(newest, [], |row| row.get(0))?))
}

/// The key that sets are brought under; `None`: no rekey is under way.
pub(super) fn next(connection: &Connection) -> Result<Option<KeyId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM keys WHERE state = ?1")?;
    let next = statement.query_row([KeyState::Next.number()], |row| row.get(0));
    Ok(next.optional()?.map(KeyId))
}

/// Asks that all sets be brought under a key that was offered. Gives how far that has come.
pub(super) fn ask(connection: &Connection, next: KeyFingerprint) -> Result<Rekey, StoreError> {
    connection.execute(
        "UPDATE keys SET state = ?1 WHERE fingerprint = ?2 AND state = ?3",
        (
            KeyState::Next.number(),
            next.as_slice(),
            KeyState::Offered.number(),
        ),
    )?;
    progress(connection, next)
}

/// How far a rekey has come, in one snapshot.
pub(super) fn progress(connection: &Connection, next: KeyFingerprint) -> Result<Rekey, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT state, (SELECT count(*) FROM sets), (SELECT count(*) FROM sets WHERE key <> keys.id OR mixed <> 0)
         FROM keys WHERE fingerprint = ?1",
    )?;
    let found: Option<(u8, u64, u64)> = statement
        .query_row([next.as_slice()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((state, sets, left)) = found else {
        return Ok(Rekey::NotOffered);
    };
    Ok(match KeyState::of_number(state)? {
        KeyState::Offered => Rekey::Offered,
        KeyState::Next => Rekey::UnderWay { sets, left },
        KeyState::Current => Rekey::Done,
    })
}

/// The key that was the next one is the only one.
pub(super) fn retire_former(connection: &Connection, next: KeyId) -> Result<(), StoreError> {
    connection.execute("DELETE FROM keys WHERE id <> ?1", [next.0])?;
    let current = "UPDATE keys SET state = ?1 WHERE id = ?2";
    connection.execute(current, (KeyState::Current.number(), next.0))?;
    Ok(())
}

/// Ids are used again: the smallest ones take no room in rows.
fn insert(connection: &Connection, fingerprint: KeyFingerprint, state: KeyState) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO keys (id, fingerprint, state) VALUES ((SELECT count(*) FROM keys WHERE id = 0), ?1, ?2)",
        (fingerprint.as_slice(), state.number()),
    )?;
    Ok(())
}

/// The fingerprints of those that rows are made with.
pub(super) fn in_use(connection: &Connection) -> Result<Vec<KeyFingerprint>, StoreError> {
    let in_use = load(connection)?.into_iter();
    Ok(in_use
        .filter(|key| key.state != KeyState::Offered)
        .map(|key| key.fingerprint)
        .collect())
}

fn load(connection: &Connection) -> Result<Vec<KnownKey>, StoreError> {
    let mut statement = connection.prepare("SELECT id, fingerprint, state FROM keys")?;
    let mut rows = statement.query([])?;
    let mut known = Vec::new();
    while let Some(row) = rows.next()? {
        known.push(KnownKey {
            id: KeyId(row.get(0)?),
            fingerprint: row.get(1)?,
            state: KeyState::of_number(row.get(2)?)?,
        });
    }
    Ok(known)
}
