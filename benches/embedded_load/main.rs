//! How fast whole sets load into the embedded index, beside what redb does with the same rows alone, and how
//! fast lookups are then.
//!
//! `cargo bench --bench embedded_load -- [ROWS (1000000)] [ROUNDS (3)] [CACHE MEGABYTES (128)]`

mod bare;
mod population;

use bare::{BARE_ROWS, load_bare};
use chrono::DateTime;
use kundeforhold::domain::identifiers::OrganizationNumber;
use kundeforhold::domain::relationship::{Register, SetId};
use kundeforhold::index::embedded::Embedded;
use kundeforhold::index::layout::{Marker, Row, RowWrite, SetState};
use kundeforhold::index::{Expected, Index};
use kundeforhold::pseudonym::Sought;
use population::{Population, ROWS_PER_CUSTOMER, mix};
use redb::{Database, ReadableDatabase};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Changes of one row, each durable.
const CHANGES: u64 = 200;
const BANKS: u64 = 120;
/// As replay hands them over.
const CHUNK_ROWS: usize = 20_000;
/// Of the index that lookups are compared with.
const FEW_ROWS: u64 = 100_000;
const LOOKUPS: u64 = 400_000;

fn set(bank: u64) -> SetId {
    let numbers = (100_000_000..).filter_map(|n: u32| OrganizationNumber::parse(&n.to_string()).ok());
    let bank = numbers.into_iter().nth(bank as usize).unwrap();
    SetId {
        bank,
        register: Register::Kar,
    }
}

/// What a load took, its making of rows aside.
struct Loaded {
    took: Duration,
    bytes: u64,
    /// By which the process grew at most.
    grown_bytes: u64,
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn measured(file: &Path, load: impl FnOnce() -> Duration) -> Loaded {
    // From here on the greatest size is counted anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let took = load();
    Loaded {
        took,
        bytes: std::fs::metadata(file).unwrap().blocks() * 512,
        grown_bytes: status("VmHWM").saturating_sub(before),
    }
}

fn open(file: &Path, cache_bytes: usize) -> Index {
    Index::Embedded(Arc::new(Embedded::open(file, cache_bytes).unwrap()))
}

/// The rows of a bank in order, in chunks; a customer has all rows at one bank.
fn chunks(population: Population, bank: u64, banks: u64) -> impl Iterator<Item = Vec<Row>> {
    let customers = (bank..population.customers()).step_by(banks as usize);
    let numbers = customers.flat_map(|n| n * ROWS_PER_CUSTOMER..(n + 1) * ROWS_PER_CUSTOMER);
    let mut rows = numbers.map(move |n| population.row(n));
    std::iter::from_fn(move || {
        let chunk: Vec<Row> = rows.by_ref().take(CHUNK_ROWS).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

async fn load_index(index: &Index, population: Population, banks: u64) -> Duration {
    let mut took = Duration::ZERO;
    for bank in 0..banks {
        let expected = Expected {
            customers: population.customers() / banks,
            accounts: population.rows / banks,
        };
        let began = Instant::now();
        let mut load = index.begin_load(set(bank), 1, expected).await.unwrap();
        took += began.elapsed();
        for rows in chunks(population, bank, banks) {
            let began = Instant::now();
            load = load.write(rows).await.unwrap();
            took += began.elapsed();
        }
        let began = Instant::now();
        load.finish().await.unwrap();
        let state = SetState {
            key: [0; 8],
            generation: 1,
            position: 1,
            journal: Uuid::nil(),
            fence: 0,
            sequence: 0,
            running: 0,
            gap: false,
            vouched: 0,
            last_delivery: DateTime::UNIX_EPOCH,
            retired: Vec::new(),
        };
        index.write(set(bank), 1, Vec::new(), Some(state)).await.unwrap();
        took += began.elapsed();
    }
    let marker = Marker {
        register_id: Uuid::nil(),
        key: [0; 8],
        build: 1,
    };
    index.complete(marker).await.unwrap();
    took
}

/// Lookups a second, one after the other.
async fn lookups(index: &Index, population: Population) -> f64 {
    let began = Instant::now();
    for n in 0..LOOKUPS {
        let customer = population.customer(mix(n) % population.customers());
        let found = index
            .find_relationships(&Sought::new([([0; 8], customer)]))
            .await
            .unwrap();
        assert_eq!(found.len() as u64, ROWS_PER_CUSTOMER);
    }
    LOOKUPS as f64 / began.elapsed().as_secs_f64()
}

/// Milliseconds for a change of one row, durable.
async fn change(index: &Index, population: Population) -> f64 {
    let began = Instant::now();
    for n in 0..CHANGES {
        let writes = vec![RowWrite::Put(population.row(mix(n) % population.rows))];
        index.write(set(0), 1, writes, None).await.unwrap();
    }
    began.elapsed().as_secs_f64() * 1_000.0 / CHANGES as f64
}

/// Milliseconds to drop a generation, for which others wait.
async fn drop_generation(index: &Index) -> f64 {
    let state = SetState {
        generation: 2,
        ..SetState::clone(&index.state().sets[&set(0)])
    };
    index.write(set(0), 2, Vec::new(), Some(state)).await.unwrap();
    let began = Instant::now();
    index.remove_generation(set(0), 1).await.unwrap();
    began.elapsed().as_secs_f64() * 1_000.0
}

/// Lookups a second of redb alone, its table opened once.
fn bare_lookups(file: &Path, population: Population, cache_bytes: usize) -> f64 {
    let database = Database::builder()
        .set_cache_size(cache_bytes)
        .open(file)
        .unwrap();
    let table = database.begin_read().unwrap().open_table(BARE_ROWS).unwrap();
    let began = Instant::now();
    for n in 0..LOOKUPS {
        let (mut first, mut last) = ([0x00; 25], [0xff; 25]);
        let customer = population.customer(mix(n) % population.customers());
        first[..16].copy_from_slice(&customer.0);
        last[..16].copy_from_slice(&customer.0);
        let found = table
            .range(first..=last)
            .unwrap()
            .map(|entry| entry.unwrap().1.value());
        assert_eq!(found.count() as u64, ROWS_PER_CUSTOMER);
    }
    LOOKUPS as f64 / began.elapsed().as_secs_f64()
}

/// Seconds to open the file as a process leaves it that is killed.
fn reopening(file: &Path, cache_bytes: usize) -> f64 {
    let left = file.with_extension("left");
    std::fs::copy(file, &left).unwrap();
    std::fs::File::open(&left).unwrap().sync_all().unwrap();
    let began = Instant::now();
    drop(open(&left, cache_bytes));
    let took = began.elapsed().as_secs_f64();
    std::fs::remove_file(&left).unwrap();
    took
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn tell_loads(name: &str, rows: u64, loads: &[Loaded]) -> f64 {
    let of = |figure: &dyn Fn(&Loaded) -> f64| median(loads.iter().map(figure).collect());
    let speed = of(&|load| rows as f64 / load.took.as_secs_f64());
    let bytes = of(&|load| load.bytes as f64 / rows as f64);
    let grown = of(&|load| load.grown_bytes as f64 / f64::from(1 << 20));
    println!("{name:30} {speed:>10.0} rows/s {bytes:>6.1} bytes/row {grown:>6.0} MB grown");
    speed
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<u64>().ok());
    let (rows, rounds) = (
        arguments.next().unwrap_or(1_000_000),
        arguments.next().unwrap_or(3),
    );
    let cache_bytes = (arguments.next().unwrap_or(128) << 20) as usize;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let populations = [
        Population::new(rows),
        Population::new(rows),
        Population::new(FEW_ROWS),
    ];
    let mut loads = [const { Vec::new() }; 3];
    let mut speeds = [const { Vec::new() }; 4];
    let (mut reopened, mut changed, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = |name: &str| directory.path().join(name);
        let bare = || load_bare(&file("bare"), populations[0], cache_bytes);
        loads[2].push(measured(&file("bare"), bare));
        let files = ["one", "many", "few"].map(file);
        let indexes = [0, 1, 2].map(|at| open(&files[at], cache_bytes));
        for at in 0..3 {
            let load = || runtime.block_on(load_index(&indexes[at], populations[at], [1, BANKS, 1][at]));
            let loaded = measured(&files[at], load);
            if at < 2 {
                loads[at].push(loaded);
            }
        }
        for at in 0..3 {
            speeds[at].push(runtime.block_on(lookups(&indexes[at], populations[at])));
        }
        speeds[3].push(bare_lookups(&file("bare"), populations[0], cache_bytes));
        changed.push(runtime.block_on(change(&indexes[1], populations[1])));
        dropped.push(runtime.block_on(drop_generation(&indexes[0])));
        reopened.push(reopening(&files[1], cache_bytes));
    }
    println!("{rows} rows, medians of {rounds} rounds");
    let [one, many, bare] = loads;
    let reference = tell_loads("load, bare redb", rows, &bare);
    let ratio = tell_loads("load, one bank", rows, &one) / reference;
    println!("{:30} {ratio:>10.2}", "  of bare");
    let ratio = tell_loads("load, 120 banks", rows, &many) / reference;
    println!("{:30} {ratio:>10.2}", "  of bare");
    println!("{:30} {:>10.2} s", "opened after a crash", median(reopened));
    println!("{:30} {:>10.2} ms", "a change, durable", median(changed));
    println!("{:30} {:>10.0} ms", "all of a bank dropped", median(dropped));
    let [one, many, few, bare] = speeds.map(median);
    println!(
        "{:30} {few:>10.0} lookups/s",
        format!("{FEW_ROWS} rows, one bank")
    );
    println!("{:30} {bare:>10.0} lookups/s", "bare redb");
    println!(
        "{:30} {one:>10.0} lookups/s {:>6.2} of bare",
        "one bank",
        one / bare
    );
    println!(
        "{:30} {many:>10.0} lookups/s {:>6.2} of one bank",
        "120 banks",
        many / one
    );
}
