//! Every request with a token never seen before, beside a handler that only verifies it.

use super::bare::Bare;
use super::deployment::tokens;
use super::figures::{Rounds, print_heading, print_ratio, print_table};
use super::lookups::SideBySide;
use super::requests::Questions;
use super::settings;

const CONNECTIONS: usize = 64;

pub fn measure() {
    print_heading("Tokens never seen before");
    let all = SideBySide::prepare();
    let fresh = tokens(&all.issuer, settings::fresh_tokens());
    let questions = Questions {
        customers: &all.world.customers,
        tokens: &fresh,
    };
    let requests = questions.for_service(&all.scratch().join("fresh.requests"));
    let key = key_set(all.issuer.jwks_uri());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let [mut verifying, mut first_seen] =
        ["bare RS256 verification", "on SQLite, first seen"].map(|name| Rounds::new(name, CONNECTIONS));
    let mut remembered = 0.0_f64;
    for _ in 0..settings::rounds() {
        let bare = Bare::start(
            &["verifying", &key],
            workers,
            &[],
            &all.scratch().join("servers.log"),
        );
        let processes = [&bare.process];
        let target = all.target(&bare.address, &requests, &processes);
        verifying
            .measured
            .push(target.ask(CONNECTIONS, settings::seconds()));
        drop(bare);
        // Started anew, so that it remembers none.
        let service = all.deployment.start(&all.issuer, None);
        let processes = [&service.process];
        let target = all.target(&service.address, &requests, &processes);
        first_seen
            .measured
            .push(target.ask(CONNECTIONS, settings::seconds()));
        let count =
            |result: &str| service.count(&format!("kundeforhold_token_cache_total{{result=\"{result}\"}}"));
        remembered = remembered.max(count("hit") / (count("hit") + count("miss")));
    }
    let rounds = [verifying, first_seen];
    print_table(&rounds);
    print_ratio("goal 0.85", &rounds[1], &rounds[0]);
    println!(
        "requests with a token that was sent before: {:.1} % at most",
        remembered * 100.0
    );
}

/// The issuer's keys, as it publishes them.
fn key_set(address: String) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { reqwest::get(address).await.unwrap().text().await.unwrap() })
}
