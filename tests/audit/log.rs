//! Logs to test on.

use chrono::{DateTime, Duration as Days, Utc};
use kundeforhold::audit::{
    self, Call, Conclusion, Endpoint, KeptHead, KeyRing, ListedBanks, Query, Record, Recorder,
    RecorderOptions, Subject, Verification,
};
use kundeforhold::domain::identifiers::{CustomerId, IdentifierRules, OrganizationNumber};
use kundeforhold::domain::noted::NotedText;
use kundeforhold::pseudonym::MasterKey;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Entries that are appended at once, to share flushes.
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

pub fn open(folder: &Path, ring: KeyRing, segment_bytes: u64) -> Recorder {
    let options = RecorderOptions {
        instance: None,
        timeout: Duration::from_secs(60),
        segment_bytes,
    };
    Recorder::open(folder, ring, &options).unwrap()
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
    let at = Utc::now() - Days::days(days);
    for start in numbers.clone().step_by(GROUP) {
        let group =
            (start..numbers.end.min(start + GROUP)).map(|number| recorder.record(call(number, at), Answered));
        for recorded in futures_util::future::join_all(group).await {
            recorded.unwrap();
        }
    }
}

/// The recorder's head, as somebody kept it.
pub fn head(recorder: &Recorder) -> KeptHead {
    let head = recorder.head();
    let text = KeptHead::parse(&format!("{}:{}", head.sequence, head.hash)).unwrap();
    KeptHead {
        instance: Some(head.instance),
        ..text
    }
}

pub fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut segments: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|it| it == "seg"))
        .collect();
    segments.sort();
    segments
}

pub fn verify(folder: &Path, ring: &KeyRing, heads: &[KeptHead]) -> Verification {
    audit::verify(&[folder.to_owned()], ring, heads.to_vec(), &mut || {})
}

/// The first thing that is wrong with a log.
pub fn fault(folder: &Path, ring: &KeyRing, heads: &[KeptHead]) -> String {
    let verification = verify(folder, ring, heads);
    assert!(!verification.holds(), "nothing was found");
    verification.first_fault().unwrap()
}

pub fn search(folders: &[PathBuf], ring: &KeyRing, query: &Query) -> Vec<Record> {
    let mut found = Vec::new();
    audit::search(folders, ring, query, |record| {
        found.push(record.clone());
        Ok(())
    })
    .unwrap();
    found
}
