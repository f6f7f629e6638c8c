//! Pseudonyms, rules, answers and records.

use chrono::{NaiveDate, Utc};
use criterion::{Criterion, Throughput};
use kundeforhold::audit::{Call, Endpoint, KeyRing, Recorder, RecorderOptions, Subject};
use kundeforhold::domain::calendar::{Period, years_before};
use kundeforhold::domain::identifiers::{CustomerId, IdentifierRules, OrganizationNumber};
use kundeforhold::domain::overview::{
    Days, HeldRelationship, OwnershipFilter, OwnershipType, Standing, overview,
};
use kundeforhold::domain::participants::{Coverage, Participants};
use kundeforhold::domain::relationship::{Interval, Relationship, Role};
use kundeforhold::http::relationships::CustomerRelationshipsBody;
use kundeforhold::pseudonym::{MasterKey, Pseudonyms};
use kundeforhold::register::lookup::{ListedBank, Refusal, RelationshipsAnswer};
use kundeforhold::register::participants;
use kundeforhold::sandbox::population::{Population, PopulationSize};
use std::hint::black_box;
use std::time::Duration;
use uuid::Uuid;

const TOGETHER: usize = 64;

fn customer() -> CustomerId {
    CustomerId::parse("01856867389", &IdentifierRules::SYNTHETIC).unwrap()
}

pub fn pseudonym(criterion: &mut Criterion) {
    let pseudonyms = Pseudonyms::new(&MasterKey::generate().unwrap());
    let customer = customer();
    criterion.bench_function("pseudonym", |bencher| {
        bencher.iter(|| pseudonyms.customer(black_box(&customer)));
    });
}

fn banks() -> Participants {
    let size = PopulationSize {
        banks: 120,
        relationships: 1,
        customers: None,
        seed: 1,
    };
    participants::parse(&Population::new(&size).unwrap().participants_file()).unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Three relationships at each of so many banks.
fn held(banks: &Participants, number: usize) -> Vec<HeldRelationship> {
    let interval = Interval::new(day("2015-03-01"), None).unwrap();
    let relationship = Relationship::new(Role::Owner, true, true, interval);
    let of_bank = |bank: OrganizationNumber| std::iter::repeat_n(HeldRelationship { bank, relationship }, 3);
    banks
        .iter()
        .take(number)
        .flat_map(|bank| of_bank(bank.organization))
        .collect()
}

pub fn rules(criterion: &mut Criterion) {
    let banks = banks();
    let today = Utc::now().date_naive();
    let days = Days {
        today,
        retained_from: years_before(today, 10),
    };
    let period = Period::new(years_before(today, 5), today).unwrap();
    for number in [3, 20] {
        let held = held(&banks, number);
        criterion.bench_function(&format!("rules, {number} banks"), |bencher| {
            bencher
                .iter(|| overview(black_box(&held), &banks, &period, OwnershipFilter::All, &days).unwrap());
        });
    }
}

fn answer() -> RelationshipsAnswer {
    let listed = |(organization, name): (&str, &str)| ListedBank {
        organization: OrganizationNumber::parse(organization).unwrap(),
        name: name.to_owned(),
        standing: Standing {
            ownership: OwnershipType::PrimaryOwner,
            active_account: true,
        },
    };
    let banks = [
        ("210011013", "Blåbærlia Sparebank"),
        ("210022023", "Tindheim Bank"),
        ("210033033", "Elvestad Sparebank"),
    ];
    RelationshipsAnswer {
        banks: banks.map(listed).into(),
        tells_ownership: true,
        coverage: Coverage::default(),
    }
}

pub fn encoding(criterion: &mut Criterion) {
    criterion.bench_function("encoding, 3 banks", |bencher| {
        let body = || CustomerRelationshipsBody::from(answer());
        bencher.iter_batched(
            body,
            |body| serde_json::to_vec(&body).unwrap(),
            criterion::BatchSize::SmallInput,
        );
    });
}

fn call() -> Call {
    let today = Utc::now().date_naive();
    Call {
        at: Utc::now(),
        endpoint: Endpoint::CustomerRelationships,
        consumer: OrganizationNumber::parse("974761076").unwrap(),
        supplier: None,
        token_id: Some(Uuid::nil().to_string()),
        client_amr: Some("private_key_jwt".to_owned()),
        correlation: Uuid::nil(),
        case: Some(Uuid::nil()),
        legal_mandate: Some("Skatteforvaltningsloven § 10-2 første ledd, jf. § 10-14".to_owned()),
        subject: Some(Subject::Customer(customer())),
        period: Period::new(years_before(today, 5), today),
        only_primary_owner: Some(false),
        service: Some("Skatt-Kontroll".to_owned()),
        outside_terms: None,
    }
}

/// Durable records, one at a time and many together, which share a flush.
pub fn audit(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ring = KeyRing::new(&MasterKey::generate().unwrap(), &[]);
    let options = RecorderOptions {
        instance: None,
        timeout: Duration::from_secs(5),
        segment_bytes: 64 << 20,
    };
    let recorder = Recorder::open(folder.path(), ring, &options).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let record = || recorder.record(call(), Ok::<_, Refusal>(answer()));
    let mut group = criterion.benchmark_group("audit append");
    for together in [1, TOGETHER] {
        group.throughput(Throughput::Elements(together as u64));
        group.bench_function(format!("{together} together"), |bencher| {
            bencher.iter(|| {
                let records = futures_util::future::join_all((0..together).map(|_| record()));
                assert!(runtime.block_on(records).iter().all(Result::is_ok));
            });
        });
    }
    group.finish();
    runtime.block_on(recorder.close());
}
