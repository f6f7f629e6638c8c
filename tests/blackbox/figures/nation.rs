//! A synthetic nation: 120 banks, under lookups.

use super::lookups::Lookups;
use super::process::{bytes_below, median, megabytes, push, scratch, start, write_set};
use crate::harness::{Engine, PROGRAM, Service};
use kundeforhold::sandbox::population::{Population, PopulationSize};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BANKS: u32 = 120;
/// Banks that deliver at a time.
const SIDE_BY_SIDE: usize = 2;
/// Changes of one record.
const CHANGES: usize = 100;

pub async fn measure(records: u64, engine: Engine, rate: u64) {
    let population = Population::new(&PopulationSize {
        banks: BANKS.into(),
        relationships: records,
        customers: Some(records / 25 * 7),
        seed: 1,
    })
    .unwrap();
    let directory = scratch();
    let mut service = start(engine, &population, directory.path()).await;
    let idle = megabytes(&service, "VmRSS");
    let redis_idle = redis_bytes(&service);
    let lookups = Lookups::start(&service, &population, rate);
    // Whoever asks is not to wait for the threads that wait for the banks.
    let took = tokio::task::block_in_place(|| load(&service, &population, directory.path()));
    let mut asked = lookups.stop().await;
    let grown = megabytes(&service, "VmHWM") - idle;
    println!(
        "a nation of {records} relationships, {BANKS} banks, {engine:?}, {SIDE_BY_SIDE} banks at a time"
    );
    let seconds = took.as_secs_f64();
    println!(
        "  loaded, making of files aside   {seconds:>10.1} s   {:.0} relationships/s",
        records as f64 / seconds
    );
    println!("  memory above idle               {grown:>10.0} MB");
    let each = |bytes: u64| bytes as f64 / records as f64;
    let index = match engine {
        Engine::Embedded => bytes_below(&service.directory.path().join("index.redb")),
        Engine::Redis => redis_bytes(&service) - redis_idle,
    };
    println!(
        "  index                           {:>10.1} bytes a relationship",
        each(index)
    );
    let journal = bytes_below(&service.directory.path().join("journal"));
    println!(
        "  journal                         {:>10.1} bytes a relationship",
        each(journal)
    );
    println!(
        "  lookups meanwhile, {rate:>5}/s      p50 {:.1} ms, p99 {:.1} ms, {} of {} failed (goal 25 ms, 0)",
        asked.percentile(50),
        asked.percentile(99),
        asked.failed,
        asked.milliseconds.len()
    );
    let change = median(changes(&service, &population).await);
    println!("  a change of one record          {change:>10.1} ms (goal 10)");
    println!(
        "  index built from the journal    {:>10.1} s",
        rebuild(&mut service).await
    );
}

/// The time that the banks took to push their sets.
fn load(service: &Service, population: &Population, scratch: &std::path::Path) -> Duration {
    let mut took = Duration::ZERO;
    for sets in population.sets().chunks(SIDE_BY_SIDE) {
        let files: Vec<_> = sets
            .iter()
            .map(|set| {
                let own = scratch.join(set.id.register.name());
                std::fs::create_dir_all(&own).unwrap();
                write_set(set, &own)
            })
            .collect();
        let began = Instant::now();
        std::thread::scope(|scope| {
            for (set, file) in sets.iter().zip(&files) {
                scope.spawn(|| push(service, set, file));
            }
        });
        took += began.elapsed();
        files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }
    took
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

/// Seconds that `index rebuild` takes, the service stopped.
async fn rebuild(service: &mut Service) -> f64 {
    service.terminate();
    let began = Instant::now();
    let rebuilt = Command::new(PROGRAM)
        .args(["index", "rebuild", "--config"])
        .arg(service.configuration())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(rebuilt.success());
    began.elapsed().as_secs_f64()
}

fn redis_bytes(service: &Service) -> u64 {
    let Some(redis) = &service.redis else { return 0 };
    let info = redis.command(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.trim().parse().ok()).unwrap_or(0)
}
