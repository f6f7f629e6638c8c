//! More than the service can take. Service and load generator have a processor each, so that asking more does not
//! leave it less to answer with.

use super::figures::{median, print_heading};
use super::lookups::SideBySide;
use super::open_loop::{Found, OpenLoop};
use super::process::on_processor;
use super::settings;
use super::wrk::Target;

const OF_SERVICE: usize = 0;
const OF_LOAD: usize = 1;
const CONNECTIONS: usize = 1_000;

pub fn measure() {
    let percent = settings::overload_percent();
    print_heading(&format!("{percent} % of the load that it can take"));
    let mut all = SideBySide::prepare();
    all.deployment.under = on_processor(OF_SERVICE);
    let mut rounds = Vec::new();
    for _ in 0..settings::rounds() {
        let service = all.deployment.start(&all.issuer, None);
        let processes = [&service.process];
        let target = Target {
            processor: Some(OF_LOAD),
            ..all.target(&service.address, &all.for_service, &processes)
        };
        let most = target.measure(256);
        let found = OpenLoop {
            address: &service.address,
            requests: &all.for_service,
            per_second: percent as f64 / 100.0 * most.per_second,
            connections: CONNECTIONS,
            length: settings::seconds(),
            processor: Some(OF_LOAD),
        }
        .measure();
        rounds.push((most, found));
    }
    let of = |figure: fn(&Found) -> f64| median(rounds.iter().map(|(_, found)| figure(found)));
    let most = median(rounds.iter().map(|(most, _)| most.per_second));
    let goodput = |found: &Found| found.served.count() as f64 / found.seconds;
    let share = median(
        rounds
            .iter()
            .map(|(most, found)| goodput(found) / most.per_second),
    );
    let p99 = median(rounds.iter().map(|(most, _)| most.p99_ms));
    let served = of(|found| found.served.percentile(99.0));
    println!("| one processor, on SQLite | |\n|---|---|");
    println!("| most it can take (256 connections) | {most:.0}/s, p99 {p99:.1} ms |");
    println!(
        "| offered, open loop, {CONNECTIONS} connections | {:.0}/s |",
        of(|found| found.sent as f64 / found.seconds)
    );
    println!(
        "| served | {:.0}/s, **{share:.2}** of the most (goal 0.9) |",
        of(|found| found.served.count() as f64 / found.seconds)
    );
    println!(
        "| p99 of those served | {served:.1} ms, **{:.1}** × (goal 2) |",
        served / p99
    );
    println!(
        "| shed with 503 and Retry-After | {:.0}/s, p50 {:.1} ms, p99 **{:.1} ms** (goal 50) |",
        of(|found| found.shed.count() as f64 / found.seconds),
        of(|found| found.shed.percentile(50.0)),
        of(|found| found.shed.percentile(99.0))
    );
    println!(
        "| the load generator's processor | {:.0} % busy |",
        of(|found| found.cpu_seconds / found.seconds * 100.0)
    );
    println!("| failed otherwise | {:.0} |", of(|found| found.failed as f64));
}
