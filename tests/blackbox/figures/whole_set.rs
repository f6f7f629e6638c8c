//! One bank's whole set, side by side with the bare engines.

use super::population::Population as Rows;
use super::process::{bytes_below, median, megabytes, push, scratch, start, write_set};
use super::{bare, redis_pipe};
use crate::harness::{Engine, Service};
use kundeforhold::sandbox::population::{Population, PopulationSize};
use std::path::Path;

const CACHE_BYTES: usize = 64 << 20;

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
    let mut columns = [const { Vec::new() }; 6];
    for _ in 0..rounds {
        let bare = bare_embedded(records, directory.path());
        let (embedded, grown) = service(Engine::Embedded, &population, &file).await;
        let piped = records as f64 / redis_pipe::load(records, directory.path()).as_secs_f64();
        let (redis, _) = service(Engine::Redis, &population, &file).await;
        for (column, figure) in columns
            .iter_mut()
            .zip([bare, embedded, embedded / bare, grown, piped, redis])
        {
            column.push(figure);
        }
    }
    let ratio = median(
        columns[5]
            .iter()
            .zip(&columns[4])
            .map(|(redis, piped)| redis / piped)
            .collect(),
    );
    let [bare, embedded, of_bare, grown, piped, redis] = columns.map(median);
    println!("whole set of {records} records over HTTP, one bank; medians of {rounds} rounds");
    println!("  bare redb, rows and accounts    {bare:>10.0} records/s");
    println!(
        "  into the embedded index         {embedded:>10.0} records/s   {of_bare:.2} of bare (goal 0.6)"
    );
    println!("  memory above idle               {grown:>10.0} MB (goal 300)");
    println!("  redis-cli --pipe                {piped:>10.0} records/s");
    println!("  into Redis                      {redis:>10.0} records/s   {ratio:.2} of it (goal 0.6)");
}

fn bare_embedded(records: u64, directory: &Path) -> f64 {
    let file = directory.join("bare");
    let took = bare::load_bare(&file, Rows::new(records), CACHE_BYTES);
    assert!(bytes_below(&file) > 0);
    std::fs::remove_file(file).unwrap();
    records as f64 / took.as_secs_f64()
}

/// Records a second, and the megabytes by which the service grew at most.
async fn service(engine: Engine, population: &Population, file: &Path) -> (f64, f64) {
    let directory = scratch();
    let service: Service = start(engine, population, directory.path()).await;
    let idle = megabytes(&service, "VmRSS");
    let set = population.sets().first().unwrap();
    let took = push(&service, set, file);
    let grown = megabytes(&service, "VmHWM") - idle;
    (set.relationships() as f64 / took.as_secs_f64(), grown)
}
