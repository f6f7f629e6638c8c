//! How large the store is, is told; what would fill its disk is refused.

use super::{BANK, line, whole_set};
use crate::audit::disk::Mount;
use crate::harness::calls::{code_of, streamed};
use crate::harness::identifiers::people;
use crate::harness::metrics::value_of;
use crate::harness::{Caching, Service};
use std::time::Duration;
use tokio::time::timeout;

/// A piece that is not asked for within this time is not wanted.
const ASKED_FOR_WITHIN: Duration = Duration::from_secs(1);

/// Two megabytes, so that some of it is taken at once.
fn piece() -> String {
    let padding = " ".repeat(600);
    let lines = people()
        .take(3_000)
        .map(|customer| line(&customer, "2020-01-01", &padding));
    lines.collect()
}

#[tokio::test]
async fn a_delivery_that_comes_while_the_disk_fills_up_is_refused_and_nothing_is_lost() {
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=64m", "none"]);
    let file = format!("sqlite:{}", mount.path().join("register.sqlite").display());
    let configuration = format!("[store]\nurl = {file:?}\n[delivery]\nmin_free_megabytes = 32\n");
    let service = Service::start_on_file(Caching::Without, &configuration).await;
    assert_eq!(
        service
            .put_set(BANK, "KAR", whole_set("2019-01-01"))
            .await
            .status(),
        200
    );
    let (pieces, body) = streamed();
    let delivering = service.put(BANK, "?register=KAR").body(body).send();
    let (filler, service_told) = (mount.path().join("filler"), &service);
    let filled = filler.clone();
    let filling = async move {
        for _ in 0..3 {
            pieces.send(Ok(piece())).await.unwrap();
        }
        service_told
            .wait_until_metrics(|metrics| value_of(metrics, "kundeforhold_running_deliveries") == 1.0)
            .await;
        std::fs::write(&filled, vec![1; 40 << 20]).unwrap();
        // The server may or may not take what it no longer needs.
        for _ in 0..5 {
            let _ = timeout(ASKED_FOR_WITHIN, pieces.send(Ok(piece()))).await;
        }
    };
    let (response, ()) = tokio::join!(delivering, filling);
    assert_eq!(code_of(response.unwrap(), 503).await, "KFR-016");
    let refused = service.put_set(BANK, "KAR", whole_set("2021-01-01")).await;
    assert_eq!(code_of(refused, 503).await, "KFR-016");
    let customer = people().next().unwrap();
    assert!(service.is_listed_on(&customer, "2019-06-01").await);
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(
        service
            .put_set(BANK, "KAR", whole_set("2021-01-01"))
            .await
            .status(),
        200
    );
    assert!(!service.is_listed_on(&customer, "2019-06-01").await);
    drop(service);
}

#[tokio::test]
async fn how_large_the_store_is_and_what_banks_delivered_is_told() {
    let service = Service::start_on_file(Caching::Without, "").await;
    let set = format!("{}{{}}\n", whole_set("2019-01-01"));
    let request = service.put(BANK, "?register=KAR&maxRejects=5").body(set);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let labels = format!("{{bank=\"{BANK}\",register=\"KAR\"}}");
    service
        .wait_until_metrics(|metrics| metrics.contains(&format!("kundeforhold_records{labels} 3000")))
        .await;
    let metrics = service.metrics().await;
    assert!(metrics.contains("kundeforhold_store_wal_bytes "), "{metrics}");
    assert!(metrics.contains("kundeforhold_store_seconds"), "{metrics}");
    let value = |series: &str| value_of(&metrics, series);
    assert_eq!(value("kundeforhold_store_writable"), 1.0);
    assert!(value("kundeforhold_merge_steps_total") > 0.0);
    assert_eq!(value(&format!("kundeforhold_rejects_total{labels}")), 1.0);
    let last = value(&format!("kundeforhold_last_delivery_timestamp_seconds{labels}"));
    assert!(last > 1.7e9, "{last}");
    assert_eq!(value("kundeforhold_running_deliveries"), 0.0);
    let of_bank = format!("{{bank=\"{BANK}\"}}");
    assert_eq!(
        value(&format!("kundeforhold_deliveries_published_total{of_bank}")),
        1.0
    );
    assert_eq!(value("kundeforhold_delivery_seconds_count"), 1.0);
}
