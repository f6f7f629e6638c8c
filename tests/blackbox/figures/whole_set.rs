//! One bank's whole set, side by side with bare SQLite.

use super::bare;
use super::process::{bytes_below, median, megabytes, push, scratch, start, write_set};
use crate::harness::{Caching, Service};
use kundeforhold::sandbox::population::{GeneratedSet, Population, PopulationSize};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Of so many records, one differs when the set is pushed again.
const ONE_IN: usize = 100;

pub async fn measure(records: u64, rounds: u64) {
    let population = Population::new(&PopulationSize {
        banks: 1,
        relationships: records,
        customers: Some(records),
        seed: 1,
    })
    .unwrap();
    let directory = scratch();
    let set = population.sets().first().unwrap();
    let file = write_set(set, directory.path());
    let changed = write_changed(&file);
    let mut columns = [const { Vec::new() }; 6];
    for _ in 0..rounds {
        let bare = bare_sqlite(records, directory.path());
        let loaded = load(&population, set, &file, &changed).await;
        let ratios = [loaded.first / bare, loaded.again / loaded.first];
        let figures = [
            bare,
            loaded.first,
            ratios[0],
            loaded.again,
            ratios[1],
            loaded.grown,
        ];
        for (column, figure) in columns.iter_mut().zip(figures) {
            column.push(figure);
        }
    }
    let [bare, first, of_bare, again, of_first, grown] = columns.map(median);
    println!("whole set of {records} records over HTTP, one bank; medians of {rounds} rounds");
    println!("  bare SQLite, rows and accounts  {bare:>10.0} records/s");
    println!("  the first time                  {first:>10.0} records/s   {of_bare:.2} of bare (goal 0.6)");
    println!(
        "  again, one in {ONE_IN} changed       {again:>10.0} records/s   {of_first:.2} x the first (goal 3)"
    );
    println!("  memory above idle               {grown:>10.0} MB (goal 300)");
}

fn bare_sqlite(records: u64, directory: &Path) -> f64 {
    let directory = directory.join("bare");
    std::fs::create_dir(&directory).unwrap();
    let took = bare::load(&directory.join("bare.sqlite"), records);
    assert!(bytes_below(&directory) > 0);
    std::fs::remove_dir_all(directory).unwrap();
    records as f64 / took.as_secs_f64()
}

/// Records a second, and the megabytes by which the service grew at most.
struct Loaded {
    first: f64,
    again: f64,
    grown: f64,
}

async fn load(population: &Population, set: &GeneratedSet, file: &Path, changed: &Path) -> Loaded {
    let directory = scratch();
    let service: Service = start(Caching::Without, population, directory.path()).await;
    let idle = megabytes(&service, "VmRSS");
    let rate = |file: &Path| set.relationships() as f64 / push(&service, set, file).as_secs_f64();
    let (first, again) = (rate(file), rate(changed));
    Loaded {
        first,
        again,
        grown: megabytes(&service, "VmHWM") - idle,
    }
}

/// The same set, but for another role here and there.
fn write_changed(file: &Path) -> PathBuf {
    let path = file.with_extension("changed.ndjson");
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).unwrap());
    let lines = BufReader::with_capacity(1 << 20, std::fs::File::open(file).unwrap()).lines();
    for (number, line) in lines.enumerate() {
        let line = line.unwrap();
        let differs = number.is_multiple_of(ONE_IN);
        let changed = line.replace("\"role\":\"owner\"", "\"role\":\"other\"");
        writeln!(out, "{}", if differs { changed } else { line }).unwrap();
    }
    out.flush().unwrap();
    path
}
