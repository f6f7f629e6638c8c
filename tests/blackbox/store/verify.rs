//! `store verify` beside the service and without it.

use super::{BANK, whole_set};
use crate::harness::metrics::value_of;
use crate::harness::{Caching, EITHER_WAY, Service};
use serde_json::{Value, json};
use std::process::Output;

fn told(verified: &Output) -> Value {
    serde_json::from_slice(&verified.stdout).unwrap_or_else(|_| panic!("{verified:?}"))
}

#[tokio::test]
async fn a_sound_register_is_told_and_damage_is_named_without_naming_anybody() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        service.deliver_world().await;
        let verified = service.command(&["store", "verify", "--json"]);
        assert_eq!(verified.status.code(), Some(0), "{verified:?}");
        let sound = told(&verified);
        assert_eq!((&sound["sound"], &sound["findings"]), (&json!(true), &json!([])));
        assert_eq!(sound["sets"].as_array().unwrap().len(), 15);
        service
            .wait_until_metrics(|metrics| {
                value_of(metrics, "kundeforhold_store_verified_timestamp_seconds") > 1.7e9
            })
            .await;
        assert_eq!(service.metric("kundeforhold_store_faults").await, 0.0);
        let records: i64 = service
            .open_store()
            .query_row("SELECT count(*) FROM relationships", [], |row| row.get(0))
            .unwrap();
        service.spoil_records().await;
        let verified = service.command(&["store", "verify"]);
        assert_eq!(verified.status.code(), Some(1), "{verified:?}");
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(said.contains("the format version of a row"), "{said}");
        assert!(said.contains(&format!("{BANK}/KAR: ")), "{caching:?}: {said}");
        service
            .wait_until_metrics(|metrics| value_of(metrics, "kundeforhold_store_faults") == records as f64)
            .await;
    }
}

#[tokio::test]
async fn counts_are_written_anew_only_while_no_service_runs() {
    let mut service = Service::start(Caching::Without).await;
    assert_eq!(
        service
            .put_set(BANK, "KAR", whole_set("2019-01-01"))
            .await
            .status(),
        200
    );
    let repair = ["store", "verify", "--repair-counts", "--json"];
    let refused = service.command(&repair);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by another process"));
    assert!(service.terminate().success());
    let wrong = "UPDATE sets SET records = 1, running = 2";
    assert_eq!(service.open_store().execute(wrong, []), Ok(1));
    assert_eq!(service.command(&["store", "verify"]).status.code(), Some(1));
    let mended = told(&service.command(&repair));
    assert_eq!((&mended["sound"], &mended["mended"]), (&json!(true), &json!(1)));
    assert_eq!(service.command(&["store", "verify"]).status.code(), Some(0));
    service.start_again();
    service.wait_until_ready().await;
    let labels = format!("{{bank=\"{BANK}\",register=\"KAR\"}}");
    service
        .wait_until_metrics(|metrics| value_of(metrics, &format!("kundeforhold_records{labels}")) == 3_000.0)
        .await;
}

#[tokio::test]
async fn the_last_proof_of_the_record_is_told() {
    let service = Service::start(Caching::Without).await;
    assert_eq!(
        service
            .metric("kundeforhold_record_verified_timestamp_seconds")
            .await,
        0.0
    );
    assert!(service.command(&["audit", "verify"]).status.success());
    service
        .wait_until_metrics(|metrics| {
            value_of(metrics, "kundeforhold_record_verified_timestamp_seconds") > 1.7e9
        })
        .await;
    assert_eq!(service.metric("kundeforhold_record_faults").await, 0.0);
}
