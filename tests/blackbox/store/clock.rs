//! Nothing is removed by a clock that cannot be believed.

use super::{BANK, line};
use crate::commands::{done, refused, run};
use crate::harness::identifiers::people;
use crate::harness::keys::section;
use crate::harness::{Caching, Service};
use std::time::Duration;

const JUMPED: &str = "kundeforhold_clock_jumped 1";
const ELEVEN_YEARS: i64 = 11 * 365 * 24 * 3_600 * 1_000;

/// As if the machine had started again with a clock that is eleven years ahead.
fn start_with_wrong_clock(service: &mut Service) {
    assert!(service.terminate().success());
    let behind = "UPDATE clock SET seen_at = seen_at - ?1, boot = 'the one before'";
    assert_eq!(service.open_store().execute(behind, [ELEVEN_YEARS]), Ok(1));
    service.start_again();
}

fn rows(service: &Service) -> i64 {
    let count = "SELECT count(*) FROM relationships";
    service
        .open_store()
        .query_row(count, [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn after_a_start_with_another_clock_nothing_goes_until_an_operator_confirms_it() {
    let mut service = Service::start_on_file(Caching::Without, "[store]\nupkeep_seconds = 1\n").await;
    let configuration = service.configuration();
    let clock = |what| run(&["clock", what, "--config", configuration.to_str().unwrap()]);
    assert!(done(clock("show")).contains("is believed"));
    let who: Vec<String> = people().take(2).collect();
    let set = line(&who[0], "2015-01-01", ",\"toDate\":\"2020-01-01\"") + &line(&who[1], "2015-01-01", "");
    let put = service.put(BANK, "?register=KAR").body(set);
    assert_eq!(put.send().await.unwrap().status(), 200);
    // What ended in 2020 would go now.
    service.configure(|table| drop(section(table, "retention").insert("closed_years".to_owned(), 1.into())));
    start_with_wrong_clock(&mut service);
    service.wait_until_ready().await;
    service
        .wait_until_metrics(|metrics| metrics.contains(JUMPED))
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(rows(&service), 2);
    assert!(service.log().contains("clock_jumped"));
    assert!(refused(clock("show")).contains("nothing is removed until"));
    assert!(service.listed(&who[1]).await != serde_json::json!([]));

    assert!(done(clock("confirm")).contains("from now on"));
    assert!(done(clock("show")).contains("is believed"));
    service
        .wait_until_metrics(|metrics| !metrics.contains(JUMPED))
        .await;
    service.wait_until(|| rows(&service) == 1).await;
}
