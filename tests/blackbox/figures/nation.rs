//! A synthetic nation: 120 banks, under lookups.

use super::lookups::Lookups;
use super::process::{bytes_below, median, megabytes, push, scratch, start, write_set};
use crate::harness::{Caching, Service};
use kundeforhold::sandbox::population::{GeneratedSet, Population, PopulationSize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BANKS: u32 = 120;
/// Banks that deliver at a time.
const SIDE_BY_SIDE: usize = 2;
/// Changes of one record.
const CHANGES: usize = 100;

pub async fn measure(records: u64, caching: Caching, rate: u64) {
    let population = Population::new(&PopulationSize {
        banks: BANKS.into(),
        relationships: records,
        customers: Some(records / 25 * 7),
        seed: 1,
    })
    .unwrap();
    let directory = scratch();
    let files = write_sets(&population, directory.path());
    let mut service = start(caching, &population, directory.path()).await;
    let idle = megabytes(&service, "VmRSS");
    let redis_idle = redis_bytes(&service);
    let lookups = Lookups::start(&service, &population, rate);
    // Whoever asks is not to wait for the threads that wait for the banks.
    let took = tokio::task::block_in_place(|| load(&service, &population, &files));
    let mut asked = lookups.stop().await;
    let grown = megabytes(&service, "VmHWM") - idle;
    println!(
        "a nation of {records} relationships, {BANKS} banks, {caching:?}, {SIDE_BY_SIDE} banks at a time"
    );
    let seconds = took.as_secs_f64();
    println!(
        "  loaded                          {seconds:>10.1} s   {:.0} relationships/s",
        records as f64 / seconds
    );
    println!("  memory above idle               {grown:>10.0} MB");
    let each = |bytes: u64| bytes as f64 / records as f64;
    println!(
        "  store                           {:>10.1} bytes a relationship (goal 140)",
        each(store_bytes(&service))
    );
    if caching == Caching::With {
        println!(
            "  cache                           {:>10.1} MB",
            (redis_bytes(&service) - redis_idle) as f64 / 1e6
        );
    }
    println!(
        "  lookups meanwhile, {rate:>5}/s      p50 {:.1} ms, p99 {:.1} ms, {} of {} failed (goal 25 ms, 0)",
        asked.percentile(50),
        asked.percentile(99),
        asked.failed,
        asked.milliseconds.len()
    );
    let quiet = median(changes(&service, &population).await);
    let beside = changes_beside_a_load(&service, &population, &files).await;
    println!("  a change of one record          {quiet:>10.1} ms (goal 5)");
    println!(
        "  the same beside another's load  {:>10.1} ms (goal 50)",
        median(beside)
    );
    println!(
        "  ready after kill -9             {:>10.1} s (goal 2)",
        seconds_until_ready(&mut service).await
    );
}

/// Each bank's set as a file, on disk before anybody is asked: to make them takes a processor, and to write them the
/// disk.
fn write_sets(population: &Population, scratch: &Path) -> Vec<PathBuf> {
    let write = |set: &GeneratedSet| {
        let own = scratch.join(set.id.register.name());
        std::fs::create_dir_all(&own).unwrap();
        write_set(set, &own)
    };
    let files = population.sets().iter().map(write).collect();
    assert!(Command::new("sync").status().unwrap().success());
    files
}

/// The time that the banks take to push their sets.
fn load(service: &Service, population: &Population, files: &[PathBuf]) -> Duration {
    let began = Instant::now();
    let sets: Vec<_> = population.sets().iter().zip(files).collect();
    for sets in sets.chunks(SIDE_BY_SIDE) {
        std::thread::scope(|scope| {
            for (set, file) in sets {
                scope.spawn(|| push(service, set, file));
            }
        });
    }
    began.elapsed()
}

async fn changes(service: &Service, population: &Population) -> Vec<f64> {
    let set = population.sets().last().unwrap();
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

/// While the first bank pushes its set again.
async fn changes_beside_a_load(service: &Service, population: &Population, files: &[PathBuf]) -> Vec<f64> {
    let (set, file) = (population.sets().first().unwrap(), files.first().unwrap());
    let done = AtomicBool::new(false);
    let mut took = Vec::new();
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                push(service, set, file);
                done.store(true, Ordering::SeqCst);
            });
            let runtime = tokio::runtime::Handle::current();
            while !done.load(Ordering::SeqCst) {
                took.extend(runtime.block_on(changes(service, population)));
            }
        });
    });
    took
}

async fn seconds_until_ready(service: &mut Service) -> f64 {
    service.kill();
    let began = Instant::now();
    service.start_again();
    service.wait_until_ready().await;
    began.elapsed().as_secs_f64()
}

fn store_bytes(service: &Service) -> u64 {
    service.store_files().iter().map(|file| bytes_below(file)).sum()
}

fn redis_bytes(service: &Service) -> u64 {
    let Some(redis) = &service.redis else { return 0 };
    let info = redis.command(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.trim().parse().ok()).unwrap_or(0)
}
