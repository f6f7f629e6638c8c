//! Figures of deliveries, printed as tables. Here they are small, so that the commands that print them stay sound;
//! `benches/deliveries.sh` runs them large, in a release build.

#[path = "../../benches/embedded_load/bare.rs"]
mod bare;
pub mod lookups;
mod nation;
#[path = "../../benches/embedded_load/population.rs"]
mod population;
mod process;
mod redis_pipe;
mod whole_set;

use crate::harness::Engine;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_set_beside_the_bare_engines() {
    whole_set::measure(number("FIGURES_RECORDS", 20_000), number("FIGURES_ROUNDS", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nation_on_the_embedded_index() {
    nation::measure(
        number("FIGURES_NATION", 20_000),
        Engine::Embedded,
        number("FIGURES_RATE", 100),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nation_on_redis() {
    nation::measure(
        number("FIGURES_NATION", 20_000),
        Engine::Redis,
        number("FIGURES_RATE", 100),
    )
    .await;
}
