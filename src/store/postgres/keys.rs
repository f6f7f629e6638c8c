//! The rows of `keys`.

use super::schema::ALONE;
use super::sets::small;
use crate::pseudonym::{KeyFingerprint, PseudonymRing};
use crate::store::keys::{KeyState, KnownKey, RowKeys, check};
use crate::store::{KeyId, Rekey, StoreError};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::GenericClient;

/// Makes the keys that were given known to a store, and refuses one that has rows under another key.
pub(super) async fn claim(client: &mut ClientWrapper, given: &PseudonymRing) -> Result<RowKeys, StoreError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(ALONE).await?;
    let known = load(&*transaction).await?;
    check(&known, given)?;
    if known.is_empty() {
        insert(&*transaction, given.present().fingerprint(), KeyState::Current).await?;
    }
    if let Some(next) = given.next() {
        offer(&*transaction, next.fingerprint()).await?;
    }
    let known = load(&*transaction).await?;
    transaction.commit().await?;
    Ok(RowKeys::of(&known, given))
}

/// Offers a next key, in place of one that was offered before. Other instances may not have it yet: an offer stands until
/// another is made.
async fn offer(client: &impl GenericClient, next: KeyFingerprint) -> Result<(), StoreError> {
    let former = "DELETE FROM keys WHERE state = $1 AND fingerprint <> $2";
    client
        .execute(former, &[&number(KeyState::Offered), &next.as_slice()])
        .await?;
    let known = load(client).await?;
    match known.len() == 1 && known[0].fingerprint != next {
        true => insert(client, next, KeyState::Offered).await,
        false => Ok(()),
    }
}

/// Refuses a store with rows under a key that was not given.
pub(super) async fn look(client: &ClientWrapper, given: &PseudonymRing) -> Result<(), StoreError> {
    check(&load(&**client).await?, given)
}

/// Asks that all sets be brought under a key that was offered. Gives how far that has come.
pub(super) async fn ask(client: &impl GenericClient, next: KeyFingerprint) -> Result<Rekey, StoreError> {
    let ask = "UPDATE keys SET state = $1 WHERE fingerprint = $2 AND state = $3";
    let (wanted, offered) = (number(KeyState::Next), number(KeyState::Offered));
    client
        .execute(ask, &[&wanted, &next.as_slice(), &offered])
        .await?;
    progress(client, next).await
}

/// How far a rekey has come.
pub(super) async fn progress(client: &impl GenericClient, next: KeyFingerprint) -> Result<Rekey, StoreError> {
    let progress =
        "SELECT state, (SELECT count(*) FROM sets), (SELECT count(*) FROM sets WHERE key <> keys.id)
        FROM keys WHERE fingerprint = $1";
    let Some(row) = client.query_opt(progress, &[&next.as_slice()]).await? else {
        return Ok(Rekey::NotOffered);
    };
    Ok(match KeyState::of_number(small(row.try_get(0)?)?)? {
        KeyState::Offered => Rekey::Offered,
        KeyState::Next => Rekey::UnderWay {
            sets: row.try_get::<_, i64>(1)?.cast_unsigned(),
            left: row.try_get::<_, i64>(2)?.cast_unsigned(),
        },
        KeyState::Current => Rekey::Done,
    })
}

pub(super) fn number(state: KeyState) -> i16 {
    state.number().into()
}

async fn insert(
    client: &impl GenericClient,
    fingerprint: KeyFingerprint,
    state: KeyState,
) -> Result<(), StoreError> {
    let insert =
        "INSERT INTO keys (id, fingerprint, state) VALUES ((SELECT count(*) FROM keys WHERE id = 0), $1, $2)";
    client
        .execute(insert, &[&fingerprint.as_slice(), &number(state)])
        .await?;
    Ok(())
}

async fn load(client: &impl GenericClient) -> Result<Vec<KnownKey>, StoreError> {
    let rows = client
        .query("SELECT id, fingerprint, state FROM keys", &[])
        .await?;
    let known = rows.iter().map(|row| {
        let fingerprint: &[u8] = row.try_get(1)?;
        Ok(KnownKey {
            id: KeyId(small(row.try_get(0)?)?),
            fingerprint: fingerprint.try_into().map_err(|_| StoreError::Damaged("a key"))?,
            state: KeyState::of_number(small(row.try_get(2)?)?)?,
        })
    });
    known.collect()
}
