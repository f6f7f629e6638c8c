//! Figures of the record of use, printed as a table in Markdown. Here it is small, so that the command that prints it
//! stays sound; `benches/record.sh` runs it large, in a release build, and holds it against its bounds.

use crate::table::{head, in_file, open, place, ring, verify, wait_until_indexed};
use chrono::{DateTime, TimeDelta, Utc};
use kundeforhold::domain::calendar::oslo_day;
use kundeforhold::domain::identifiers::{AccountNumber, OrganizationNumber};
use kundeforhold::domain::noted::NotedText;
use kundeforhold::record::{self, Call, Conclusion, Endpoint, ListedBanks, Query, Recorder, Subject, Way};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Who record at a time, as connections that ask do.
const CONNECTIONS: usize = 64;
/// Entries that they record, at the most; the others are filled in by many more at a time.
const MEASURED: usize = 400_000;
const FILLED_AT_A_TIME: usize = 2_000;
/// Entries that are indexed together.
const BATCH: u64 = 16_384;
/// Searches of each kind.
const SEARCHES: usize = 25;
/// The entries are of so many days.
const DAYS: i64 = 365;
const AGENCIES: [&str; 6] = [
    "974761076",
    "915429785",
    "986186999",
    "974760673",
    "974720760",
    "991825827",
];

/// What each figure may be at most, where it is asked for.
struct Bounds {
    verify_per_million: Duration,
    search: Duration,
    day: Duration,
    processor: Duration,
}

const BOUNDS: Bounds = Bounds {
    verify_per_million: Duration::from_secs(5),
    search: Duration::from_millis(100),
    day: Duration::from_secs(1),
    processor: Duration::from_micros(20),
};

struct Found(Vec<OrganizationNumber>);

impl Conclusion for Found {
    fn status(&self) -> u16 {
        200
    }

    fn banks(&self) -> ListedBanks {
        self.0.clone()
    }
}

fn id(kind: u128, number: usize) -> Uuid {
    // Scattered, as drawn ids are.
    Uuid::from_u128((number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) ^ kind)
}

fn case(number: usize) -> Uuid {
    id(1, number / 5)
}

fn subject(number: usize) -> Subject {
    let digits = format!("{:011}", number as u64 * 7_919 % 3_000_000);
    Subject::Account(AccountNumber::parse_lookup_key(&digits).unwrap())
}

fn agency(number: usize) -> OrganizationNumber {
    OrganizationNumber::parse(AGENCIES[number / 5 % AGENCIES.len()]).unwrap()
}

/// A call as an agency makes it. They are spread over the days in order.
fn call(number: usize, entries: usize, until: DateTime<Utc>) -> Call {
    let back = TimeDelta::days(DAYS) * i32::try_from((entries - number) * 1_000 / entries).unwrap() / 1_000;
    Call {
        at: until - back,
        endpoint: Endpoint::AccountServicingProvider,
        consumer: agency(number),
        supplier: None,
        token_id: Some(NotedText::of_uuid(id(3, number / 100))),
        client_amr: Some(NotedText::of("virksomhetssertifikat")),
        correlation: id(2, number),
        case: Some(case(number)),
        legal_mandate: Some(NotedText::of(
            "Skatteforvaltningsloven § 10-2 første ledd, jf. § 10-14",
        )),
        subject: Some(subject(number)),
        period: None,
        only_primary_owner: Some(true),
        service: Some("Skatt-Kontroll".to_owned()),
        outside_terms: None,
    }
}

fn found() -> Found {
    Found(vec![OrganizationNumber::parse("210011013").unwrap(); 3])
}

/// Processor time of this process so far.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

struct Written {
    entries: usize,
    took: Duration,
    processor: Duration,
}

/// Some entries by so many who each wait for theirs before the next.
async fn measure_writing(recorder: &Recorder, entries: usize, of: usize, until: DateTime<Utc>) -> Written {
    let next = Arc::new(AtomicUsize::new(0));
    let (began, before) = (Instant::now(), processor());
    let connection = || {
        let (recorder, next) = (recorder.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= entries {
                    return;
                }
                recorder.record(call(number, of, until), found()).await.unwrap();
            }
        })
    };
    let connections: Vec<_> = (0..CONNECTIONS).map(|_| connection()).collect();
    for connection in connections {
        connection.await.unwrap();
    }
    Written {
        entries,
        took: began.elapsed(),
        processor: processor() - before,
    }
}

async fn fill(recorder: &Recorder, from: usize, entries: usize, until: DateTime<Utc>) {
    for start in (from..entries).step_by(FILLED_AT_A_TIME) {
        let group = (start..entries.min(start + FILLED_AT_A_TIME))
            .map(|number| recorder.record(call(number, entries, until), found()));
        for recorded in futures_util::future::join_all(group).await {
            recorded.unwrap();
        }
    }
}

/// The slowest of some searches of numbers that are spread over all, and how many were found.
fn measure_search(path: &Path, entries: usize, query: impl Fn(usize) -> Query) -> (Duration, usize) {
    let (mut slowest, mut count) = (Duration::ZERO, 0);
    for search in 0..SEARCHES {
        let number = (entries - 1) * search / SEARCHES;
        let began = Instant::now();
        let looked = record::search(&in_file(path), &ring(1, &[]), &query(number), Way::Index, |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
        slowest = slowest.max(began.elapsed());
        assert!(looked.indexed + looked.proved >= entries as u64);
    }
    (slowest, count)
}

fn row(what: &str, figure: String, bound: String) {
    println!("| {what} | {figure} | {bound} |");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_record_costs_and_how_soon_it_is_searched_and_proved() {
    let given = std::env::var("RECORD_ENTRIES").ok();
    let entries: usize = given.as_deref().map_or(40_000, |text| text.parse().unwrap());
    let (_folder, path) = place();
    let (recorder, until) = (open(&path, ring(1, &[])), Utc::now());
    let written = measure_writing(&recorder, entries.min(MEASURED), entries, until).await;
    fill(&recorder, written.entries, entries, until).await;
    let began = Instant::now();
    wait_until_indexed(&path, entries as u64 / BATCH);
    let indexed = began.elapsed();
    let last = head(&recorder);
    recorder.close().await;
    let size = std::fs::metadata(&path).unwrap().len();

    let all = Query::default;
    let by_case = measure_search(&path, entries, |number| Query {
        case: Some(case(number)),
        ..all()
    });
    let by_correlation = measure_search(&path, entries, |number| Query {
        correlation: Some(id(2, number)),
        ..all()
    });
    let by_subject = measure_search(&path, entries, |number| Query {
        subject: Some(subject(number)),
        ..all()
    });
    let by_day = measure_search(&path, entries, |number| Query {
        consumer: Some(agency(number)),
        day: Some(oslo_day(call(number, entries, until).at)),
        ..all()
    });
    assert_eq!(by_correlation.1, SEARCHES);
    assert!(by_case.1 >= SEARCHES && by_subject.1 >= SEARCHES && by_day.1 >= SEARCHES);

    let began = Instant::now();
    let verification = verify(&path, &ring(1, &[]), &[last]);
    let verified = began.elapsed();
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].entries, entries as u64);

    let each = written.processor / u32::try_from(written.entries).unwrap();
    let a_million = verified.mul_f64(1e6 / entries as f64);
    let rate = written.entries as f64 / written.took.as_secs_f64();
    println!("| the record of use, {entries} entries, {CONNECTIONS} who record at a time | | at most |");
    println!("|---|---|---|");
    row("entries a second", format!("{rate:.0}"), String::new());
    let micros = |time: Duration| format!("{:.1} µs", time.as_secs_f64() * 1e6);
    row("processor an entry", micros(each), micros(BOUNDS.processor));
    row(
        "bytes an entry, index included",
        format!("{}", size / entries as u64),
        String::new(),
    );
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    row(
        "indexed so long after the last entry",
        millis(indexed),
        String::new(),
    );
    let searches = [
        ("case", by_case, BOUNDS.search),
        ("correlation", by_correlation, BOUNDS.search),
        ("subject", by_subject, BOUNDS.search),
        ("consumer and day", by_day, BOUNDS.day),
    ];
    for (what, (slowest, count), bound) in &searches {
        let what = format!("search by {what}, the slowest of {SEARCHES} that found {count}");
        row(&what, millis(*slowest), millis(*bound));
    }
    row(
        "verify, for a million entries",
        millis(a_million),
        millis(BOUNDS.verify_per_million),
    );
    if given.is_some() {
        assert!(each <= BOUNDS.processor && a_million <= BOUNDS.verify_per_million);
        assert!(searches.iter().all(|(_, (slowest, _), bound)| slowest <= bound));
    }
}
