//! A synthetic nation: 120 banks, under lookups.

use super::lookups::{Asked, Lookups};
use super::process::{change_lines, median, megabytes, push, pushing, scratch, start, write_set};
use crate::harness::{Caching, Service};
use kundeforhold::sandbox::population::{GeneratedSet, Population, PopulationSize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const BANKS: u32 = 120;
/// Banks that deliver at a time.
const SIDE_BY_SIDE: usize = 2;
/// Changes of one record.
const CHANGES: usize = 100;
/// To meet a merge.
const ATTEMPTS: usize = 10;
const STEPS: &str = "kundeforhold_merge_steps_total";
const ROWS_PER_STEP: f64 = 1_000.0;

/// The banks, and a file for each set.
pub(super) struct Nation {
    population: Population,
    files: Vec<PathBuf>,
}

impl Nation {
    /// All files are on disk before anybody is asked: to make them takes a processor, and to write them the disk.
    pub(super) fn generate(records: u64, directory: &Path) -> Self {
        let population = Population::new(&PopulationSize {
            banks: BANKS.into(),
            relationships: records,
            customers: Some(records / 25 * 7),
            seed: 1,
        })
        .unwrap();
        let write = |set: &GeneratedSet| {
            let own = directory.join(set.id.register.name());
            std::fs::create_dir_all(&own).unwrap();
            write_set(set, &own)
        };
        let files = population.sets().iter().map(write).collect();
        assert!(Command::new("sync").status().unwrap().success());
        Self { population, files }
    }

    pub(super) fn population(&self) -> &Population {
        &self.population
    }

    fn sets(&self) -> impl Iterator<Item = (&GeneratedSet, &Path)> {
        let files = self.files.iter().map(PathBuf::as_path);
        self.population.sets().iter().zip(files)
    }

    /// The largest set, and a file in which all that can differ does.
    fn largest(&self) -> (&GeneratedSet, PathBuf) {
        let (set, file) = self.sets().max_by_key(|(set, _)| set.relationships()).unwrap();
        (set, change_lines(file, 1))
    }

    /// The time that the banks take to push their sets.
    pub(super) fn load(&self, service: &Service) -> Duration {
        let began = Instant::now();
        let sets: Vec<_> = self.sets().collect();
        for sets in sets.chunks(SIDE_BY_SIDE) {
            std::thread::scope(|scope| {
                for (set, file) in sets {
                    scope.spawn(|| push(service, set, file));
                }
            });
        }
        began.elapsed()
    }
}

pub async fn measure(records: u64, caching: Caching, rate: u64) {
    let directory = scratch();
    let nation = Nation::generate(records, directory.path());
    let mut service = start(caching, &nation.population, directory.path()).await;
    let idle = megabytes(&service, "VmRSS");
    println!(
        "a nation of {records} relationships, {BANKS} banks, {caching:?} cache, {SIDE_BY_SIDE} banks at a time\n\n\
         | | | goal |\n|---|---|---|"
    );
    let lookups = Lookups::start(&service, &nation.population, rate);
    // Whoever asks is not to wait for the threads that wait for the banks.
    let took = block_in_place(|| nation.load(&service));
    let asked = lookups.stop().await;
    let each_second = records as f64 / took.as_secs_f64();
    println!(
        "| loaded | {:.1} s, {each_second:.0} relationships/s | 450 s |",
        took.as_secs_f64()
    );
    print_asked(asked, rate);
    println!(
        "| memory above idle | {:.0} MB | |",
        megabytes(&service, "VmHWM") - idle
    );
    let bytes = service.store_bytes() as f64 / records as f64;
    println!("| store, accounts included | {bytes:.1} bytes a relationship | 140 |");
    let quiet = median(changes(&service, &nation).await);
    println!("| a change of one record | {quiet:.1} ms | 5 ms |");
    let (largest, changed) = nation.largest();
    let beside = median(changes_beside_a_load(&service, &nation, largest, &changed).await);
    println!("| the same beside another bank's load | {beside:.1} ms | 50 ms |");
    service.kill();
    println!(
        "| ready after kill -9 | {:.2} s | 2 s |",
        seconds_until_ready(&mut service).await
    );
    let (_, file) = nation.sets().find(|(set, _)| set.id == largest.id).unwrap();
    kill_amid_a_merge(&mut service, largest, [file, &changed]).await;
    println!(
        "| the same amid a merge | {:.2} s | 5 s |\n",
        seconds_until_ready(&mut service).await
    );
}

pub(super) fn print_asked(mut asked: Asked, rate: u64) {
    println!(
        "| lookups meanwhile, {rate}/s | p50 {:.1} ms, p99 {:.1} ms, {} of {} failed | 25 ms, none |",
        asked.percentile(50),
        asked.percentile(99),
        asked.failed,
        asked.milliseconds.len()
    );
}

/// Milliseconds that each change took.
pub(super) async fn changes(service: &Service, nation: &Nation) -> Vec<f64> {
    let set = nation.population.sets().last().unwrap();
    let (bank, register) = (set.id.bank.to_string(), set.id.register.name());
    let path = format!("/v2/financialInstitutions/{bank}/relationships/changes?register={register}");
    let token = service.issuer.bank_token(&bank);
    let mut took = Vec::new();
    for record in set.records().take(CHANGES) {
        let request = service.http.post(service.url(&path)).bearer_auth(&token);
        let began = Instant::now();
        let response = request
            .body(format!("{{\"put\":{record}}}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    took
}

/// While the largest bank pushes a set that differs.
async fn changes_beside_a_load(
    service: &Service,
    nation: &Nation,
    set: &GeneratedSet,
    file: &Path,
) -> Vec<f64> {
    let done = AtomicBool::new(false);
    let mut took = Vec::new();
    block_in_place(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                push(service, set, file);
                done.store(true, Ordering::SeqCst);
            });
            let runtime = tokio::runtime::Handle::current();
            while !done.load(Ordering::SeqCst) {
                took.extend(runtime.block_on(changes(service, nation)));
            }
        });
    });
    took
}

/// `kill -9` once a third of a set's new version is written, which is not in force yet.
async fn kill_amid_a_merge(service: &mut Service, set: &GeneratedSet, files: [&Path; 2]) {
    let steps = set.relationships() as f64 / ROWS_PER_STEP / 3.0;
    // A small set may be published before it is seen that it is merged.
    for file in files.iter().cycle().take(ATTEMPTS) {
        let before = service.metric(STEPS).await;
        let mut pushing = pushing(service, set, file).spawn().unwrap();
        while service.metric(STEPS).await <= before + steps && pushing.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        service.kill();
        pushing.kill().unwrap();
        pushing.wait().unwrap();
        if service.is_merging() {
            return;
        }
        seconds_until_ready(service).await;
    }
    panic!("no merge was met");
}

/// Of a service that was killed.
pub(super) async fn seconds_until_ready(service: &mut Service) -> f64 {
    let began = Instant::now();
    service.start_again();
    service.wait_until_ready().await;
    began.elapsed().as_secs_f64()
}

/// What a store takes.
impl Service {
    /// Of the file, once it has all that the log had.
    fn store_bytes(&self) -> u64 {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = self.open_store().query_row(checkpoint, [], |row| row.get(0));
        assert_eq!(busy, Ok(0));
        std::fs::metadata(self.store()).unwrap().len()
    }

    fn is_merging(&self) -> bool {
        let merging = "SELECT count(*) FROM sets WHERE merging <> 0";
        let merging: i64 = self
            .open_store()
            .query_row(merging, [], |row| row.get(0))
            .unwrap();
        merging > 0
    }
}
