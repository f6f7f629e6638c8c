//! Figures of deliveries, printed as tables in Markdown. Here they are small, so that the commands that print them stay
//! sound; `benches/deliveries.sh` runs them large, in a release build.

mod backup;
mod bare;
mod copied;
pub mod lookups;
mod nation;
mod process;
mod rekey;
mod whole_set;

use crate::harness::Caching;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_set_beside_the_bare_database() {
    whole_set::measure(number("FIGURES_RECORDS", 20_000), number("FIGURES_ROUNDS", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_a_set_and_for_ten_times_as_much() {
    whole_set::measure_memory(number("FIGURES_MEMORY", 2_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_beside_lookups() {
    rekey::measure(number("FIGURES_REKEY", 5_000), number("FIGURES_RATE", 100)).await;
}

async fn a_nation(caching: Caching) {
    nation::measure(
        number("FIGURES_NATION", 20_000),
        caching,
        number("FIGURES_RATE", 100),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nation_without_a_cache() {
    a_nation(Caching::Without).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nation_with_a_cache() {
    a_nation(Caching::With).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_nation() {
    backup::measure(number("FIGURES_BACKUP", 20_000), number("FIGURES_RATE", 100)).await;
}
