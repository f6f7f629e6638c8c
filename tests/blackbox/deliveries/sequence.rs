//! `Delivery-Sequence`: without gap or repeat, for each bank and register.

use super::{
    BLABAERLIA, GRANSKAUEN, changing, conflict, newest, owners, published, put, receipt, roll_back, send,
};
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use serde_json::{Value, json};

async fn numbered(
    service: &Service,
    bank: &str,
    query: &str,
    sequence: &str,
    changes: &[Value],
) -> (u16, Value) {
    send(changing(service, bank, query, changes).header("Delivery-Sequence", sequence)).await
}

fn expects(answer: (u16, Value), number: u64) {
    let (parameter, reason) = conflict(answer);
    assert_eq!(
        (parameter.as_str(), reason),
        (
            "Delivery-Sequence",
            format!("Delivery-Sequence {number} is expected.")
        )
    );
}

#[tokio::test]
async fn a_gap_or_repeat_is_a_conflict_that_names_the_number_expected() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let kar = "?register=KAR";
        expects(numbered(&service, GRANSKAUEN, kar, "2", &[]).await, 1);
        newest(&service, GRANSKAUEN, "abandoned").await;
        let id = published(numbered(&service, GRANSKAUEN, kar, "1", &[]).await);
        assert_eq!(
            receipt(&service, GRANSKAUEN, &id).await["deliverySequence"],
            1,
            "{caching:?}"
        );
        expects(numbered(&service, GRANSKAUEN, kar, "1", &[]).await, 2);
        expects(numbered(&service, GRANSKAUEN, kar, "3", &[]).await, 2);
        service.kill_and_restart().await;
        expects(
            numbered(&service, GRANSKAUEN, kar, "9223372036854775807", &[]).await,
            2,
        );
        published(numbered(&service, GRANSKAUEN, kar, "2", &[]).await);
        // Each bank and register counts for itself.
        expects(numbered(&service, GRANSKAUEN, "?register=KFR", "3", &[]).await, 1);
        published(numbered(&service, GRANSKAUEN, "?register=KFR", "1", &[]).await);
        published(numbered(&service, BLABAERLIA, "", "1", &[]).await);
        expects(numbered(&service, GRANSKAUEN, kar, "2", &[]).await, 3);
    }
}

#[tokio::test]
async fn a_number_is_consumed_by_what_is_published_only_and_no_whole_set() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let customer = people().next().unwrap();
        let (status, refused) = numbered(&service, BLABAERLIA, "", "1", &[json!({"put": 1})]).await;
        assert_eq!(status, 422, "{refused}");
        assert!(refused.get("deliverySequence").is_none(), "{refused}");
        published(numbered(&service, BLABAERLIA, "", "1", &[]).await);
        published(put(&service, BLABAERLIA, "", owners(&[customer])).await);
        published(send(changing(&service, BLABAERLIA, "", &[])).await);
        published(numbered(&service, BLABAERLIA, "", "2", &[]).await);
        // A retry with its key is answered, not held against the number.
        let keyed = |key: &str| {
            let request = changing(&service, BLABAERLIA, "", &[]).header("Idempotency-Key", key);
            request.header("Delivery-Sequence", "3")
        };
        let first = send(keyed("three")).await;
        assert_eq!(send(keyed("three")).await, first, "{caching:?}");
        expects(send(keyed("other")).await, 4);
    }
}

#[tokio::test]
async fn a_rollback_gives_no_number_back() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        published(numbered(&service, BLABAERLIA, "", "1", &[]).await);
        let whole = published(put(&service, BLABAERLIA, "", owners(&who)).await);
        published(numbered(&service, BLABAERLIA, "", "2", &[]).await);
        let discarded = roll_back(&service, BLABAERLIA, &whole, "?discardLaterChanges=true").await;
        published(discarded);
        expects(numbered(&service, BLABAERLIA, "", "2", &[]).await, 3);
        service.kill_and_restart().await;
        published(numbered(&service, BLABAERLIA, "", "3", &[]).await);
    }
}

#[tokio::test]
async fn a_number_is_a_number_from_one_on_once() {
    let service = Service::start(Caching::Without).await;
    for bad in ["0", "-1", "x", "1.0", "", "9223372036854775808"] {
        let (status, body) = numbered(&service, BLABAERLIA, "", bad, &[]).await;
        assert_eq!(
            (status, &body["details"][0]["parameter"]),
            (400, &json!("Delivery-Sequence")),
            "{bad}"
        );
    }
    let twice = changing(&service, BLABAERLIA, "", &[]).header("Delivery-Sequence", "1");
    assert_eq!(send(twice.header("Delivery-Sequence", "1")).await.0, 400);
}
