//! One bank's whole set, side by side with the bare database.

use super::process::{change_lines, median, megabytes, push, scratch, start, write_set};
use super::{bare, copied};
use crate::harness::{Caching, Engine};
use kundeforhold::sandbox::population::{Population, PopulationSize};
use std::path::{Path, PathBuf};

/// Of so many records, one differs when the set is pushed again.
const ONE_IN: usize = 100;

/// A bank's only set, as files.
struct Delivered {
    population: Population,
    file: PathBuf,
}

impl Delivered {
    fn generate(records: u64, directory: &Path) -> Self {
        let population = Population::new(&PopulationSize {
            banks: 1,
            relationships: records,
            customers: None,
            seed: 1,
        })
        .unwrap();
        let file = write_set(population.sets().first().unwrap(), directory);
        Self { population, file }
    }
}

/// What a round found: records a second, and megabytes by which the service grew at most.
struct Round {
    bare: f64,
    first: f64,
    again: f64,
    grown: f64,
}

pub async fn measure(records: u64, rounds: u64) {
    let directory = scratch();
    let set = Delivered::generate(records, directory.path());
    let changed = change_lines(&set.file, ONE_IN);
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(load(&set, Some(&changed)).await);
    }
    let of = |figure: fn(&Round) -> f64| median(all.iter().map(figure).collect());
    let (bare, goal) = match Engine::of_tests() {
        Engine::Sqlite => ("bare SQLite, the same sorted rows and accounts", 3),
        Engine::Postgres => ("psql \\copy of the same rows into a table like it", 2),
    };
    println!("whole set of {records} records over HTTP, one bank; medians of {rounds} rounds\n");
    println!("| | records/s | |\n|---|---|---|");
    println!("| {bare} | {:.0} | |", of(|round| round.bare));
    println!(
        "| first time | {:.0} | {:.2} of bare (goal 0.6) |",
        of(|round| round.first),
        of(|round| round.first / round.bare)
    );
    println!(
        "| again, one in {ONE_IN} different | {:.0} | {:.2} × the first time (goal {goal}) |",
        of(|round| round.again),
        of(|round| round.again / round.first)
    );
    println!(
        "| memory above idle | {:.0} MB | (goal 300 MB) |\n",
        of(|round| round.grown)
    );
}

/// Memory for one set, and for one ten times as large.
pub async fn measure_memory(records: u64) {
    let mut grown = Vec::new();
    for records in [records, 10 * records] {
        let directory = scratch();
        grown.push(
            load(&Delivered::generate(records, directory.path()), None)
                .await
                .grown,
        );
    }
    println!("| memory above idle, one bank's set | MB |\n|---|---|");
    println!("| {records} records | {:.0} |", grown[0]);
    println!(
        "| {} records | {:.0}, {:.2} × (goal 1.2) |\n",
        10 * records,
        grown[1],
        grown[1] / grown[0]
    );
}

/// Without a changed set only the service is measured.
async fn load(set: &Delivered, changed: Option<&Path>) -> Round {
    let directory = scratch();
    let mut service = start(Caching::Without, &set.population, directory.path()).await;
    let idle = megabytes(&service, "VmRSS");
    let generated = set.population.sets().first().unwrap();
    let rate = |took: std::time::Duration| generated.relationships() as f64 / took.as_secs_f64();
    let first = rate(push(&service, generated, &set.file));
    let (mut again, mut bare) = (f64::NAN, f64::NAN);
    if let Some(changed) = changed {
        bare = rate(match &service.database {
            None => bare::load(&service.store(), directory.path()),
            Some(database) => copied::load(&database.url(), directory.path()),
        });
        again = rate(push(&service, generated, changed));
    }
    let grown = megabytes(&service, "VmHWM") - idle;
    assert!(service.terminate().success(), "{}", service.log());
    Round {
        bare,
        first,
        again,
        grown,
    }
}
