//! Records to test on.

use chrono::{DateTime, TimeDelta, Utc};
use kundeforhold::clock::{Reading, TrustedClock};
use kundeforhold::domain::identifiers::{CustomerId, IdentifierRules, OrganizationNumber};
use kundeforhold::domain::noted::NotedText;
use kundeforhold::pseudonym::MasterKey;
use kundeforhold::record::{
    self, Call, ChainChoice, Conclusion, Endpoint, KeptHead, KeyRing, ListedBanks, Looked, Query, Record,
    RecordPlace, Recorder, RecorderError, RecorderOptions, Subject, Unrecorded, Verification, Way,
};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;

/// Entries that are appended at once, to share transactions.
const GROUP: usize = 1000;
pub const CUSTOMERS: [&str; 3] = ["17912099997", "57912075186", "01856867389"];

/// A found answer.
struct Answered;

impl Conclusion for Answered {
    fn status(&self) -> u16 {
        200
    }

    fn banks(&self) -> ListedBanks {
        vec![organization()]
    }
}

pub fn organization() -> OrganizationNumber {
    OrganizationNumber::parse("974761076").unwrap()
}

pub fn customer(digits: &str) -> Subject {
    Subject::Customer(CustomerId::parse(digits, &IdentifierRules::SYNTHETIC).unwrap())
}

/// A key that is the same for the same number.
pub fn key(number: u8) -> MasterKey {
    use base64::Engine;
    MasterKey::parse(&base64::engine::general_purpose::STANDARD.encode([number; 64])).unwrap()
}

pub fn ring(in_use: u8, former: &[u8]) -> KeyRing {
    KeyRing::new(
        &key(in_use),
        &former.iter().map(|number| key(*number)).collect::<Vec<_>>(),
    )
}

/// Goes on with the record at `path`.
pub fn open(path: &Path, ring: KeyRing) -> Recorder {
    try_open(path, ring, ChainChoice::GoOn).unwrap()
}

/// Begins another chain in it.
pub fn begin(path: &Path, ring: KeyRing) -> Recorder {
    try_open(path, ring, ChainChoice::Begin).unwrap()
}

pub fn try_open(path: &Path, ring: KeyRing, chain: ChainChoice) -> Result<Recorder, RecorderError> {
    let options = RecorderOptions {
        place: in_file(path),
        chain,
        confirms: None,
        timeout: Duration::from_secs(60),
    };
    Recorder::open(ring, &options)
}

pub fn in_file(path: &Path) -> RecordPlace {
    RecordPlace::Sqlite(path.to_owned())
}

/// A folder of its own, and a record to be in it.
pub fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.sqlite");
    (folder, path)
}

fn call(number: usize, at: DateTime<Utc>) -> Call {
    Call {
        at,
        endpoint: Endpoint::CustomerRelationships,
        consumer: organization(),
        supplier: None,
        token_id: Some(NotedText::of_uuid(Uuid::from_u128(number as u128))),
        client_amr: Some(NotedText::of("virksomhetssertifikat")),
        correlation: Uuid::from_u128(number as u128),
        case: Some(Uuid::from_u128(number as u128 / 10)),
        legal_mandate: Some(NotedText::of("Skatteforvaltningsloven § 10-2 første ledd")),
        subject: Some(customer(CUSTOMERS[number % 3])),
        period: None,
        only_primary_owner: number.is_multiple_of(2).then_some(true),
        service: Some("Skatt-Kontroll".to_owned()),
        outside_terms: None,
    }
}

/// Records calls numbered by `numbers`, which arrived `days` days ago.
pub async fn record(recorder: &Recorder, numbers: std::ops::Range<usize>, days: i64) {
    let at = Utc::now() - TimeDelta::days(days);
    for start in numbers.clone().step_by(GROUP) {
        let group =
            (start..numbers.end.min(start + GROUP)).map(|number| recorder.record(call(number, at), Answered));
        for recorded in futures_util::future::join_all(group).await {
            recorded.unwrap();
        }
    }
}

/// Records one call; an error says that it may not be answered.
pub async fn record_one(recorder: &Recorder, number: usize) -> Result<(), Unrecorded> {
    recorder
        .record(call(number, Utc::now()), Answered)
        .await
        .map(|_| ())
}

/// What finds that call, and no other.
pub fn query_of(number: usize) -> Query {
    Query {
        correlation: Some(Uuid::from_u128(number as u128)),
        ..Query::default()
    }
}

/// The recorder's head, as somebody kept it.
pub fn head(recorder: &Recorder) -> KeptHead {
    let line = serde_json::to_string(&recorder.head()).unwrap();
    KeptHead::parse_line(&line, &ring(1, &[2])).unwrap().unwrap()
}

pub fn verify(path: &Path, ring: &KeyRing, heads: &[KeptHead]) -> Verification {
    record::verify(&in_file(path), ring, heads.to_vec(), &mut || {})
}

/// The first thing that is wrong with a record.
pub fn fault(path: &Path, ring: &KeyRing, heads: &[KeptHead]) -> String {
    let verification = verify(path, ring, heads);
    assert!(!verification.holds(), "nothing was found");
    verification.first_fault().unwrap()
}

pub fn search(path: &Path, ring: &KeyRing, query: &Query, way: Way) -> (Vec<Record>, Looked) {
    let mut found = Vec::new();
    let looked = record::search(&in_file(path), ring, query, way, |record| {
        found.push(record);
        Ok(())
    });
    (found, looked.unwrap())
}

/// A connection that changes what no call lets anybody change.
pub fn tamper(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// Where an entry stands, as `src/record/sqlite` has it.
pub fn row(chain: i64, sequence: i64) -> i64 {
    (chain << 40) | sequence
}

/// The machine's clock, taken to be right.
pub fn clock_now() -> TrustedClock {
    let now = Reading::take();
    now.clone().judge(&now).unwrap()
}

/// Longest that it may take to index the batches that are full.
const INDEXED_WITHIN: Duration = Duration::from_secs(600);

/// Waits for so many batches, of the chain that is being written, to be in the index.
pub fn wait_until_indexed(path: &Path, batches: u64) {
    let (table, started) = (tamper(path), Instant::now());
    let indexed = || -> u64 {
        let sql = "SELECT coalesce(max(batches), 0) FROM indexed";
        table.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    while indexed() < batches {
        assert!(started.elapsed() < INDEXED_WITHIN, "indexed: {}", indexed());
        std::thread::sleep(Duration::from_millis(20));
    }
}
