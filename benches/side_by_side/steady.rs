//! Time to answer at half of what webdis can do, constant rate.

use super::figures::{median, print_heading};
use super::lookups::SideBySide;
use super::open_loop::OpenLoop;
use super::settings;
use super::webdis::Webdis;
use std::path::Path;

const CONNECTIONS: usize = 64;

pub fn measure() {
    print_heading("Time to answer at half of webdis's maximum rate");
    let all = SideBySide::prepare();
    let (mut of_webdis, mut of_service, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings::rounds() {
        let webdis = Webdis::start(&all.redis_of_webdis, all.scratch());
        let processes = [&webdis.process];
        let most = all
            .target(&webdis.address, &all.for_webdis, &processes)
            .measure(CONNECTIONS);
        let per_second = most.per_second / 2.0;
        rates.push(per_second);
        of_webdis.push(at_rate(per_second, &webdis.address, &all.for_webdis));
        drop(webdis);
        let service = all.deployment.start(&all.issuer, Some(&all.redis));
        of_service.push(at_rate(per_second, &service.address, &all.for_service));
    }
    println!(
        "{:.0} requests/s, {CONNECTIONS} connections, from the moment each was due\n",
        median(rates)
    );
    println!("| | p50 ms | p99 ms |\n|---|---|---|");
    for (name, times) in [
        ("webdis", &of_webdis),
        ("over Redis, record durable", &of_service),
    ] {
        let of = |figure: fn(&(f64, f64)) -> f64| median(times.iter().map(figure));
        println!(
            "| {name} | {:.2} | {:.2} |",
            of(|times| times.0),
            of(|times| times.1)
        );
    }
    let later = of_service
        .iter()
        .zip(&of_webdis)
        .map(|(service, webdis)| service.1 - webdis.1);
    println!(
        "\np99 over Redis − p99 of webdis: median **{:.2} ms** (goal at most 3)",
        median(later)
    );
}

/// p50 and p99.
fn at_rate(per_second: f64, address: &str, requests: &Path) -> (f64, f64) {
    let ask = |length| {
        OpenLoop {
            address,
            requests,
            per_second,
            connections: CONNECTIONS,
            length,
            processor: None,
        }
        .measure()
    };
    ask(std::time::Duration::from_secs(1));
    let found = ask(settings::seconds());
    assert!(
        found.failed == 0 && found.shed.count() == 0,
        "{} failed at {address}",
        found.failed
    );
    (found.served.percentile(50.0), found.served.percentile(99.0))
}
