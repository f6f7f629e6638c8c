//! Rollback: back to the state just before the latest whole set.

use super::{
    BLABAERLIA, GRANSKAUEN, change, conflict, is_listed, kill_and_restart, own, owners, published, put,
    rebuild_index, receipt, receipts, record, roll_back,
};
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Engine, Service};
use reqwest::Method;
use serde_json::{Value, json};

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
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
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
        assert_eq!(standing(&service, &who).await, before, "{engine:?}");
        let whole = published(put(&service, GRANSKAUEN, kfr, owners(&who[3..])).await);
        assert_eq!(
            standing(&service, &who).await,
            [false, false, false, true, true],
            "{engine:?}"
        );
        kill_and_restart(&mut service).await;
        let back = published(roll_back(&service, GRANSKAUEN, &whole, "").await);
        assert_eq!(standing(&service, &who).await, before, "{engine:?}");
        assert_eq!(receipt(&service, GRANSKAUEN, &whole).await["state"], "rolledBack");
        kill_and_restart(&mut service).await;
        assert_eq!(standing(&service, &who).await, before, "{engine:?}");
        // Changes go on from what stands again; neither a rollback nor the set it undid can be undone.
        published(change(&service, GRANSKAUEN, kfr, &[put_one(&who[4])]).await);
        for none in [&back, &whole] {
            assert_eq!(
                conflict(roll_back(&service, GRANSKAUEN, none, "").await).0,
                "deliveryID",
                "{engine:?}"
            );
        }
        rebuild_index(&mut service).await;
        assert_eq!(
            standing(&service, &who).await,
            [false, true, true, false, true],
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn later_changes_are_named_and_let_go_knowingly() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
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
                "{engine:?}"
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
            "{engine:?}"
        );
        for discarded in [&whole, &one, &two] {
            assert_eq!(
                receipt(&service, BLABAERLIA, discarded).await["state"],
                "rolledBack",
                "{engine:?}"
            );
        }
        rebuild_index(&mut service).await;
        assert_eq!(
            standing(&service, &who).await,
            [true, false, false, false],
            "{engine:?}"
        );
        assert_eq!(
            receipts(&service, BLABAERLIA).await.first(),
            Some(&undone),
            "{engine:?}"
        );
        let bad = roll_back(&service, BLABAERLIA, &whole, "?discardLaterChanges=maybe").await;
        assert_eq!(bad.0, 400, "{}", bad.1);
    }
}

#[tokio::test]
async fn only_the_latest_published_whole_set_can_be_rolled_back() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let who: Vec<String> = people().take(3).collect();
        let first = published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        let changed = published(change(&service, BLABAERLIA, "", &[]).await);
        let (_, refused) = put(&service, BLABAERLIA, "", "bad\n").await;
        let second = published(put(&service, BLABAERLIA, "", owners(&who[1..2])).await);
        for none in [&first, &changed, &super::id_of(&refused)] {
            assert_eq!(
                conflict(roll_back(&service, BLABAERLIA, none, "").await).0,
                "deliveryID",
                "{engine:?}"
            );
        }
        published(roll_back(&service, BLABAERLIA, &second, "").await);
        assert_eq!(standing(&service, &who).await, [true, false, false], "{engine:?}");
        // The former one is the latest now; before it there was nothing.
        published(roll_back(&service, BLABAERLIA, &first, "?discardLaterChanges=true").await);
        assert_eq!(standing(&service, &who).await, [false; 3], "{engine:?}");
        assert_eq!(
            own(&service, BLABAERLIA, &who[0]).await,
            [] as [Value; 0],
            "{engine:?}"
        );
        assert_eq!(
            conflict(roll_back(&service, BLABAERLIA, &first, "").await).0,
            "deliveryID",
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn a_whole_set_whose_time_is_over_is_not_rolled_back() {
    let service = Service::start_with(Engine::Embedded, "[delivery]\nrollback_days = 0\n").await;
    let customer = people().next().unwrap();
    let whole = published(put(&service, BLABAERLIA, "", owners(&[customer])).await);
    let (parameter, reason) = conflict(roll_back(&service, BLABAERLIA, &whole, "").await);
    assert!(
        parameter == "deliveryID" && reason.contains("too long ago"),
        "{reason}"
    );
    assert_eq!(receipt(&service, BLABAERLIA, &whole).await["state"], "published");
}
