//! Rows, states and markers of a format that this version does not know are refused, never guessed.

use crate::bench::{
    Bench, Store, account_key, connect, customer_key, index_file, kar, open_embedded, rows, sought,
    sought_account,
};
use kundeforhold::domain::relationship::Role;
use kundeforhold::index::{Index, IndexError};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

/// Of generation 1 of `kar(0)`.
const ROWS: TableDefinition<[u8; 25], [u8; 4]> = TableDefinition::new("relationships/123456785/KAR/1");
const ACCOUNTS: TableDefinition<[u8; 17], [u8; 4]> = TableDefinition::new("accounts/123456785/KAR/1");
const FORMAT: TableDefinition<(), u8> = TableDefinition::new("format");
const SETS: TableDefinition<[u8; 4], &[u8]> = TableDefinition::new("sets");
const MARKER: TableDefinition<(), &[u8]> = TableDefinition::new("marker");

fn assert_format<T: std::fmt::Debug>(answer: Result<T, IndexError>) {
    assert!(matches!(answer, Err(IndexError::Format(_))), "{answer:?}");
}

/// A complete index of one row, closed.
async fn closed(bench: Bench) -> Store {
    bench.complete().await;
    bench.load(kar(0), 1, &rows(1, 0..1, Role::Owner)).await;
    bench.store
}

async fn closed_file() -> tempfile::TempDir {
    match closed(Bench::embedded()).await {
        Store::Embedded(directory) => directory,
        Store::Redis(_) | Store::Shared(_) => unreachable!(),
    }
}

/// The version is in the first byte; of a row in its upper half.
fn of_another_version(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    value[0] = value[0].wrapping_add(if value.len() == 4 && value[0] >= 0x10 {
        0x10
    } else {
        1
    });
    value
}

#[tokio::test]
async fn an_embedded_row_of_another_version_is_refused() {
    let directory = closed_file().await;
    let database = Database::open(index_file(directory.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(ROWS).unwrap();
        let (key, value) = table
            .first()
            .unwrap()
            .map(|(key, value)| (key.value(), value.value()))
            .unwrap();
        let changed = of_another_version(&value);
        table.insert(key, <[u8; 4]>::try_from(changed).unwrap()).unwrap();
        let mut table = transaction.open_table(ACCOUNTS).unwrap();
        let (key, value) = table
            .first()
            .unwrap()
            .map(|(key, value)| (key.value(), value.value()))
            .unwrap();
        let changed = of_another_version(&value);
        table.insert(key, <[u8; 4]>::try_from(changed).unwrap()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let index = open_embedded(directory.path()).unwrap();
    assert_format(index.find_relationships(&sought(1)).await);
    assert_format(index.find_in_set(kar(0), &sought(1)).await);
    assert_format(index.find_accounts(&sought_account(account_key(1, 0))).await);
    assert_format(index.rows_of(kar(0), 1, &[customer_key(1)]).await);
    assert_format(index.scan(&mut |_| {}).await);
    assert_eq!(
        index.find_relationships(&sought(2)).await.unwrap(),
        [],
        "other rows answer"
    );
}

#[tokio::test]
async fn an_embedded_set_state_of_another_version_is_refused_at_the_door() {
    let directory = closed_file().await;
    change_bytes(directory.path(), SETS, of_another_version);
    assert_format(open_embedded(directory.path()).map(drop));
}

#[tokio::test]
async fn an_embedded_marker_of_another_version_or_length_is_refused_at_the_door() {
    let directory = closed_file().await;
    change_bytes(directory.path(), MARKER, of_another_version);
    assert_format(open_embedded(directory.path()).map(drop));
    let directory = closed_file().await;
    change_bytes(directory.path(), MARKER, |bytes| {
        bytes[..bytes.len() - 1].to_vec()
    });
    assert_format(open_embedded(directory.path()).map(drop));
}

#[tokio::test]
async fn an_embedded_file_of_another_arrangement_is_refused_at_the_door() {
    let directory = closed_file().await;
    let database = Database::open(index_file(directory.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    let version = transaction
        .open_table(FORMAT)
        .unwrap()
        .insert((), 2)
        .unwrap()
        .unwrap()
        .value();
    assert_eq!(version, 3);
    transaction.commit().unwrap();
    drop(database);
    assert_format(open_embedded(directory.path()).map(drop));
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(index_file(directory.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    drop(transaction.open_table(SETS).unwrap());
    transaction.commit().unwrap();
    drop(database);
    assert_format(open_embedded(directory.path()).map(drop));
}

/// Changes the first value of a table.
fn change_bytes<K>(
    directory: &Path,
    table: TableDefinition<K, &'static [u8]>,
    change: impl Fn(&[u8]) -> Vec<u8>,
) where
    K: redb::Key + 'static,
    for<'a> K::SelfType<'a>: Copy,
{
    let database = Database::open(index_file(directory)).unwrap();
    let (key, value) = {
        let transaction = database.begin_read().unwrap();
        let table = transaction.open_table(table).unwrap();
        let (key, value) = table.first().unwrap().unwrap();
        (
            K::as_bytes(&key.value()).as_ref().to_vec(),
            value.value().to_vec(),
        )
    };
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(table)
        .unwrap()
        .insert(K::from_bytes(&key), change(&value).as_slice())
        .unwrap();
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_redis_row_of_another_version_is_refused() {
    let Store::Redis(server) = closed(Bench::redis()).await else {
        unreachable!()
    };
    let mut connection = server.connection();
    for pattern in ["{??}c*", "{??}a*"] {
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg(pattern).query(&mut connection).unwrap();
        assert_eq!(keys.len(), 1);
        change_first_field(&mut connection, &keys[0]);
    }
    let index = Index::Redis(connect(&server));
    assert_format(index.find_relationships(&sought(1)).await);
    assert_format(index.find_in_set(kar(0), &sought(1)).await);
    assert_format(index.find_accounts(&sought_account(account_key(1, 0))).await);
    assert_format(index.rows_of(kar(0), 1, &[customer_key(1)]).await);
    assert_format(index.scan(&mut |_| {}).await);
    assert_eq!(
        index.find_relationships(&sought(2)).await.unwrap(),
        [],
        "other rows answer"
    );
}

fn change_first_field(connection: &mut redis::Connection, key: &[u8]) {
    let hash: Vec<(Vec<u8>, Vec<u8>)> = redis::cmd("HGETALL").arg(key).query(connection).unwrap();
    let (field, value) = &hash[0];
    let changed = of_another_version(value);
    redis::cmd("HSET")
        .arg(key)
        .arg(field)
        .arg(changed)
        .exec(connection)
        .unwrap();
}

#[tokio::test]
async fn a_redis_set_state_of_another_version_is_refused_by_every_lookup() {
    let Store::Redis(server) = closed(Bench::redis()).await else {
        unreachable!()
    };
    let index = Index::Redis(connect(&server));
    assert_eq!(index.find_relationships(&sought(1)).await.unwrap().len(), 1);
    change_first_field(&mut server.connection(), b"{kf}sets");
    index.settle().await;
    assert_format(index.refresh().await);
    assert_format(index.find_relationships(&sought(1)).await);
    assert_format(index.find_accounts(&sought_account(account_key(1, 0))).await);
}

#[tokio::test]
async fn a_redis_marker_of_another_version_or_length_is_refused_by_every_lookup() {
    for change in [of_another_version, |bytes: &[u8]| {
        bytes[..bytes.len() - 1].to_vec()
    }] {
        let Store::Redis(server) = closed(Bench::redis()).await else {
            unreachable!()
        };
        let index = Index::Redis(connect(&server));
        assert_eq!(index.find_relationships(&sought(1)).await.unwrap().len(), 1);
        let mut connection = server.connection();
        let bytes: Vec<u8> = redis::cmd("GET")
            .arg("{kf}marker")
            .query(&mut connection)
            .unwrap();
        redis::cmd("SET")
            .arg("{kf}marker")
            .arg(change(&bytes))
            .exec(&mut connection)
            .unwrap();
        index.settle().await;
        assert_format(index.refresh().await);
        assert_format(index.find_relationships(&sought(1)).await);
        assert_format(index.find_accounts(&sought_account(account_key(1, 0))).await);
    }
}

/// The markers of the slot groups only have to be the one that the state was read with.
#[tokio::test]
async fn a_redis_group_that_is_marked_otherwise_is_not_built() {
    let Store::Redis(server) = closed(Bench::redis()).await else {
        unreachable!()
    };
    let index = Index::Redis(connect(&server));
    let group = customer_key(1).0[0];
    let key = format!("{{{group:02x}}}m");
    redis::cmd("SET")
        .arg(key)
        .arg("?")
        .exec(&mut server.connection())
        .unwrap();
    assert_eq!(
        index.find_relationships(&sought(1)).await,
        Err(IndexError::NotBuilt)
    );
}
