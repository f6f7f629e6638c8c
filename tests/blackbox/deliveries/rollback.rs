//! Rollback: back to the state just before the latest whole set.

use super::{
    BLABAERLIA, GRANSKAUEN, change, conflict, is_listed, owners, published, put, receipt, receipts, record,
    roll_back,
};
use crate::harness::ask::Ask;
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

fn put_one(customer: &str) -> Value {
    json!({"put": record(customer, "owner", &json!({}))})
}

/// Which of the customers are listed.
async fn standing(service: &Service, who: &[String]) -> Vec<bool> {
    let mut standing = Vec::new();
    for customer in who {
        standing.push(is_listed(service, customer).await);
    }
    standing
}

#[tokio::test]
async fn the_state_before_the_whole_set_stands_again_with_its_changes() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(5).collect();
        let kfr = "?register=KFR";
        published(put(&service, GRANSKAUEN, kfr, owners(&who[..2])).await);
        published(change(&service, GRANSKAUEN, kfr, &[put_one(&who[2])]).await);
        let gone = service
            .kfr(Method::DELETE, GRANSKAUEN, &who[0])
            .send()
            .await
            .unwrap();
        assert_eq!(gone.status(), 204);
        let before = [false, true, true, false, false];
        assert_eq!(standing(&service, &who).await, before, "{caching:?}");
        let whole = published(put(&service, GRANSKAUEN, kfr, owners(&who[3..])).await);
        assert_eq!(
            standing(&service, &who).await,
            [false, false, false, true, true],
            "{caching:?}"
        );
        service.kill_and_restart().await;
        let back = published(roll_back(&service, GRANSKAUEN, &whole, "").await);
        assert_eq!(standing(&service, &who).await, before, "{caching:?}");
        assert_eq!(receipt(&service, GRANSKAUEN, &whole).await["state"], "rolledBack");
        service.kill_and_restart().await;
        assert_eq!(standing(&service, &who).await, before, "{caching:?}");
        // Changes go on from what stands again; neither a rollback nor the set it undid can be undone.
        published(change(&service, GRANSKAUEN, kfr, &[put_one(&who[4])]).await);
        for none in [&back, &whole] {
            assert_eq!(
                conflict(roll_back(&service, GRANSKAUEN, none, "").await).0,
                "deliveryID",
                "{caching:?}"
            );
        }
        service.kill_and_restart().await;
        assert_eq!(
            standing(&service, &who).await,
            [false, true, true, false, true],
            "{caching:?}"
        );
    }
}

#[tokio::test]
async fn later_changes_are_named_and_let_go_knowingly() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(4).collect();
        published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        let whole = published(put(&service, BLABAERLIA, "", owners(&who[1..2])).await);
        let one = published(change(&service, BLABAERLIA, "", &[put_one(&who[2])]).await);
        let two = published(change(&service, BLABAERLIA, "", &[put_one(&who[3])]).await);
        for query in ["", "?discardLaterChanges=false"] {
            let (parameter, reason) = conflict(roll_back(&service, BLABAERLIA, &whole, query).await);
            assert_eq!(parameter, "discardLaterChanges");
            assert!(reason.contains(&one) && reason.contains(&two), "{reason}");
            assert_eq!(
                standing(&service, &who).await,
                [false, true, true, true],
                "{caching:?}"
            );
        }
        let (status, undone) = roll_back(&service, BLABAERLIA, &whole, "?discardLaterChanges=true").await;
        assert_eq!(
            (status, &undone["discardedDeliveries"]),
            (200, &json!([whole, one, two])),
            "{undone}"
        );
        assert!(undone.get("sha256").is_none(), "it has no body: {undone}");
        assert_eq!(
            standing(&service, &who).await,
            [true, false, false, false],
            "{caching:?}"
        );
        for discarded in [&whole, &one, &two] {
            assert_eq!(
                receipt(&service, BLABAERLIA, discarded).await["state"],
                "rolledBack",
                "{caching:?}"
            );
        }
        service.kill_and_restart().await;
        assert_eq!(
            standing(&service, &who).await,
            [true, false, false, false],
            "{caching:?}"
        );
        assert_eq!(
            receipts(&service, BLABAERLIA).await.first(),
            Some(&undone),
            "{caching:?}"
        );
        let bad = roll_back(&service, BLABAERLIA, &whole, "?discardLaterChanges=maybe").await;
        assert_eq!(bad.0, 400, "{}", bad.1);
    }
}

#[tokio::test]
async fn only_the_latest_published_whole_set_can_be_rolled_back() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        let first = published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        let changed = published(change(&service, BLABAERLIA, "", &[]).await);
        let (_, refused) = put(&service, BLABAERLIA, "", "bad\n").await;
        let second = published(put(&service, BLABAERLIA, "", owners(&who[1..2])).await);
        for none in [&first, &changed, &super::id_of(&refused)] {
            assert_eq!(
                conflict(roll_back(&service, BLABAERLIA, none, "").await).0,
                "deliveryID",
                "{caching:?}"
            );
        }
        published(roll_back(&service, BLABAERLIA, &second, "").await);
        assert_eq!(
            standing(&service, &who).await,
            [true, false, false],
            "{caching:?}"
        );
        // The former one is the latest now; before it the set was not loaded.
        for query in ["", "?discardLaterChanges=true"] {
            let refused = roll_back(&service, BLABAERLIA, &first, query).await;
            assert_eq!(conflict(refused).0, "deliveryID", "{caching:?}");
        }
        assert_eq!(
            standing(&service, &who).await,
            [true, false, false],
            "{caching:?}"
        );
        assert_eq!(receipt(&service, BLABAERLIA, &first).await["state"], "published");
    }
}

/// What the agencies are told of the bank: its state, and when it last delivered.
async fn freshness(service: &Service, bank: &str) -> (Value, Value) {
    let told = Ask::participants(service).send().await.body();
    let banks = told["participants"].as_array().unwrap();
    let bank = banks.iter().find(|told| told["organizationID"] == bank).unwrap();
    (bank["state"].clone(), bank["lastDelivery"].clone())
}

#[tokio::test]
async fn a_rollback_makes_the_set_as_old_as_what_stands_again() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        let before = freshness(&service, BLABAERLIA).await;
        assert_eq!(before.0, "current");
        // Told in whole seconds.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let whole = published(put(&service, BLABAERLIA, "", owners(&who[1..])).await);
        assert_ne!(freshness(&service, BLABAERLIA).await, before, "{caching:?}");
        published(roll_back(&service, BLABAERLIA, &whole, "").await);
        for _ in 0..2 {
            assert_eq!(freshness(&service, BLABAERLIA).await, before, "{caching:?}");
            service.kill_and_restart().await;
        }
    }
}

#[tokio::test]
async fn a_rollback_of_a_set_that_kfr_calls_changed_before_is_to_what_they_made_of_it() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        // A batch loads a KFR set.
        let batch = service.kfr_batch(GRANSKAUEN, &who[0]).send().await;
        assert_eq!(batch.unwrap().status(), 201);
        let call = service.kfr(Method::POST, GRANSKAUEN, &who[1]).send().await;
        assert_eq!(call.unwrap().status(), 201);
        let whole = published(put(&service, GRANSKAUEN, "?register=KFR", owners(&who[2..])).await);
        assert_eq!(
            standing(&service, &who).await,
            [false, false, true],
            "{caching:?}"
        );
        published(roll_back(&service, GRANSKAUEN, &whole, "").await);
        assert_eq!(standing(&service, &who).await, [true, true, false], "{caching:?}");
    }
}

#[tokio::test]
async fn a_whole_set_whose_time_is_over_is_not_rolled_back() {
    let service = Service::start_with(Caching::Without, "[delivery]\nrollback_days = 0\n").await;
    let who: Vec<String> = people().take(2).collect();
    published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
    let whole = published(put(&service, BLABAERLIA, "", owners(&who)).await);
    let (parameter, reason) = conflict(roll_back(&service, BLABAERLIA, &whole, "").await);
    assert!(
        parameter == "deliveryID" && reason.contains("too long ago"),
        "{reason}"
    );
    assert_eq!(receipt(&service, BLABAERLIA, &whole).await["state"], "published");
}
