//! Deliveries in the record: which they were, and those that took effect while nothing could be recorded.

use super::load::{search, verify};
use crate::deliveries::{newest, owners, receipts};
use crate::harness::calls::code_of;
use crate::harness::identifiers::people;
use crate::harness::strace::{Tampered, WRITE};
use crate::harness::{Caching, Service};
use serde_json::Value;

const BANK: &str = "210011013";

fn set(customers: usize) -> String {
    owners(&people().take(customers).collect::<Vec<_>>())
}

fn id_of(receipt: &Value) -> &str {
    receipt["deliveryID"].as_str().unwrap()
}

#[tokio::test]
async fn entries_of_deliveries_tell_which_and_what_was_in_them() {
    let service = Service::start_on_file(Caching::Without, "").await;
    assert_eq!(service.put_set(BANK, "KAR", set(10)).await.status(), 200);
    let published = newest(&service, BANK, "published").await;
    let rejected = service.put_set(BANK, "KAR", set(10) + "no record\n").await;
    assert_eq!(rejected.status(), 422);
    let rejected: Value = rejected.json().await.unwrap();
    for (receipt, status) in [(&published, 200), (&rejected, 422)] {
        let found = search(&service, &["--delivery", id_of(receipt)], "");
        let entry = found
            .iter()
            .find(|entry| entry["endpoint"] == "wholeSet")
            .unwrap();
        assert_eq!(entry["deliveryID"], receipt["deliveryID"]);
        assert_eq!(entry["sha256"], receipt["sha256"]);
        assert_eq!(
            (entry["status"].as_u64(), entry["consumer"].as_str()),
            (Some(status), Some(BANK))
        );
        assert_eq!(entry["sha256"].as_str().unwrap().len(), 64);
    }
}

#[tokio::test]
async fn a_delivery_that_took_effect_without_a_record_gets_one_at_the_next_start() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    assert_eq!(service.put_set(BANK, "KAR", set(10)).await.status(), 200);
    let failing = Tampered::begin_on(&service, &service.record_files(), WRITE, "error=EIO");
    let refused = service.put_set(BANK, "KAR", set(12)).await;
    assert_eq!(code_of(refused, 503).await, "KFR-016");
    service.kill();
    drop(failing);
    service.start_again();
    service.wait_until_ready().await;
    service
        .wait_until(|| service.log().contains("recorded_late"))
        .await;

    let all = receipts(&service, BANK).await;
    assert_eq!(all.len(), 2, "{all:?}");
    let receipt = newest(&service, BANK, "published").await;
    let of_sets = |receipt: &Value| {
        let found = search(&service, &["--delivery", id_of(receipt)], "");
        let of_sets = found.into_iter().filter(|entry| entry["endpoint"] == "wholeSet");
        of_sets.collect::<Vec<_>>()
    };
    let late = of_sets(&receipt);
    assert_eq!(late.len(), 1, "{late:?}");
    assert_eq!(
        (&late[0]["status"], &late[0]["consumer"], &late[0]["sha256"]),
        (&Value::Null, &Value::from(BANK), &receipt["sha256"])
    );
    let before = all.iter().find(|one| id_of(one) != id_of(&receipt)).unwrap();
    let recorded = of_sets(before);
    assert_eq!(recorded.len(), 1, "one that was answered is not recorded again");
    assert_eq!(recorded[0]["status"], 200);
    service.restart().await;
    assert_eq!(service.log().matches("recorded_late").count(), 1);
    verify(&service, &[]);
}
