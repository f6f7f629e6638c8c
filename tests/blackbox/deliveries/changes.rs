//! `POST …/changes`: in order, all or nothing, in the next answer.

use super::{
    BLABAERLIA, GRANSKAUEN, RYPA, change, conflict, is_listed, own, owners, published, put, record, roll_back,
};
use crate::harness::calls::streamed;
use crate::harness::identifiers::{accounts, people};
use crate::harness::{Caching, EITHER_WAY, Service, world};
use chrono::Days;
use reqwest::Method;
use serde_json::{Value, json};

/// The identity of a record made by [`record`], with more fields.
fn identity(customer: &str, more: &Value) -> Value {
    let mut identity = record(customer, "", more);
    identity.as_object_mut().unwrap().remove("role");
    identity
}

#[tokio::test]
async fn changes_are_in_the_next_answer_and_after_a_kill() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(4).collect();
        let account = accounts().next().unwrap();
        let on = json!({"accountID": account});
        published(put(&service, BLABAERLIA, "", owners(&who[..2])).await);

        let put_one = json!({"put": record(&who[2], "owner", &on)});
        published(change(&service, BLABAERLIA, "", &[put_one]).await);
        assert!(is_listed(&service, &who[2]).await, "{caching:?}");
        assert_eq!(service.account(&account).send().await.unwrap().status(), 200);

        let yesterday = world::today() - Days::new(1);
        let ended = identity(&who[0], &json!({"toDate": yesterday.to_string()}));
        published(change(&service, BLABAERLIA, "", &[json!({"end": ended})]).await);
        assert!(!is_listed(&service, &who[0]).await, "{caching:?}");
        assert!(service.is_listed_on(&who[0], yesterday).await, "{caching:?}");

        let removed = json!({"remove": identity(&who[2], &on)});
        let (_, receipt) = change(&service, BLABAERLIA, "", std::slice::from_ref(&removed)).await;
        assert_eq!((&receipt["removed"], &receipt["read"]), (&json!(1), &json!(1)));
        assert!(!is_listed(&service, &who[2]).await, "{caching:?}");
        assert_eq!(
            service.account(&account).send().await.unwrap().status(),
            404,
            "{caching:?}"
        );

        // What is not there is removed already.
        let (status, receipt) = change(&service, BLABAERLIA, "", &[removed]).await;
        assert_eq!(
            (status, &receipt["removed"], &receipt["rejected"]),
            (200, &json!(0), &json!(0))
        );
        service.kill_and_restart().await;
        let listed = [false, true, false, false];
        for (customer, listed) in who.iter().zip(listed) {
            assert_eq!(
                is_listed(&service, customer).await,
                listed,
                "{caching:?} after a kill"
            );
        }
        assert!(
            service.is_listed_on(&who[0], yesterday).await,
            "{caching:?} after a kill"
        );
    }
}

#[tokio::test]
async fn changes_hold_in_the_order_of_their_lines() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        let put_as = |customer: &str, role: &str| json!({"put": record(customer, role, &json!({}))});
        let end = |customer: &str, to: &str| json!({"end": identity(customer, &json!({"toDate": to}))});
        let remove = |customer: &str| json!({"remove": identity(customer, &json!({}))});
        let (_, receipt) = change(
            &service,
            BLABAERLIA,
            "",
            &[
                put_as(&who[0], "owner"),
                remove(&who[1]),
                end(&who[0], "2016-01-01"),
                put_as(&who[1], "owner"),
                put_as(&who[2], "owner"),
                end(&who[0], "2017-01-01"),
                put_as(&who[1], "other"),
                remove(&who[2]),
            ],
        )
        .await;
        let counts = ["stored", "ended", "removed", "customers"].map(|name| receipt[name].as_u64().unwrap());
        assert_eq!(counts, [4, 2, 1, 3], "{caching:?}: {receipt}");
        let first = own(&service, BLABAERLIA, &who[0]).await;
        assert_eq!(
            (first.len(), &first[0]["toDate"]),
            (1, &json!("2017-01-01")),
            "{caching:?}"
        );
        let second = own(&service, BLABAERLIA, &who[1]).await;
        let expected = json!({"register": "KAR", "role": "other", "creditable": false, "holdsFunds": false,
            "fromDate": "2015-01-01"});
        assert_eq!(second, [expected], "{caching:?}");
        assert_eq!(
            own(&service, BLABAERLIA, &who[2]).await,
            [] as [Value; 0],
            "{caching:?}"
        );
    }
}

#[tokio::test]
async fn one_change_that_cannot_be_made_leaves_all_unmade() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        let unknown = identity(&who[1], &json!({"toDate": "2016-01-01"}));
        let another_day = json!({"customerID": who[0], "fromDate": "2015-01-02", "toDate": "2016-01-01"});
        let another_agreement = identity(&who[0], &json!({"agreementID": "loan", "toDate": "2016-01-01"}));
        for bad in [unknown, another_day, another_agreement] {
            let changes = [
                json!({"put": record(&who[2], "owner", &json!({}))}),
                json!({"remove": identity(&who[0], &json!({}))}),
                json!({"end": bad}),
            ];
            let (status, refused) = change(&service, BLABAERLIA, "", &changes).await;
            assert_eq!(
                (status, &refused["state"]),
                (422, &json!("rejected")),
                "{refused}"
            );
            let reject = &refused["rejects"][0];
            assert_eq!(
                (&reject["line"], &reject["faults"][0]["code"]),
                (&json!(3), &json!("KFR-008")),
                "{reject}"
            );
            assert!(
                is_listed(&service, &who[0]).await && !is_listed(&service, &who[2]).await,
                "{caching:?}"
            );
            let (_, taken) = change(&service, BLABAERLIA, "?maxRejects=1", &changes).await;
            assert_eq!(
                (&taken["stored"], &taken["rejected"]),
                (&json!(1), &json!(1)),
                "{taken}"
            );
            published((200, taken));
            assert!(
                !is_listed(&service, &who[0]).await && is_listed(&service, &who[2]).await,
                "{caching:?}"
            );
            published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        }
    }
}

#[tokio::test]
async fn a_line_that_is_no_change_is_refused_and_named() {
    let service = Service::start(Caching::Without).await;
    let who = people().next().unwrap();
    let good = record(&who, "owner", &json!({}));
    let bad = [
        json!({}),
        json!({"put": good, "remove": identity(&who, &json!({}))}),
        json!({"PUT": good}),
        json!(["put", good]),
        json!("put"),
        json!({"put": [who, null, null, "owner", null, null, "2020-01-01", null]}),
        json!({"put": identity(&who, &json!({}))}),
        json!({"end": identity(&who, &json!({}))}),
        json!({"end": identity(&who, &json!({"toDate": "2014-12-31"}))}),
        json!({"end": identity(&who, &json!({"toDate": "2016-01-01", "role": "owner"}))}),
        json!({"remove": identity(&who, &json!({"toDate": "2016-01-01"}))}),
        json!({"remove": good}),
        json!({"remove": {"customerID": who}}),
        json!({"remove": identity("1", &json!({}))}),
        good.clone(),
    ];
    let (status, refused) = change(&service, BLABAERLIA, "", &bad).await;
    assert_eq!(
        (status, &refused["rejected"]),
        (422, &json!(bad.len())),
        "{refused}"
    );
    assert!(!refused.to_string().contains(&who), "{refused}");
    let lines = refused["rejects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| reject["line"].as_u64().unwrap());
    assert!(lines.eq(1..=bad.len() as u64));
    let whole_set_only = service.v2(
        Method::POST,
        BLABAERLIA,
        "relationships/changes?confirmShrink=true",
    );
    assert_eq!(super::send(whole_set_only).await.0, 400);
}

#[tokio::test]
async fn no_changes_say_that_there_is_nothing_new() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let delivered = async |service: &Service| {
            let request = service.http.get(service.url("/v2/participants"));
            let request = request.bearer_auth(service.issuer.agency_token());
            let body: Value = request.send().await.unwrap().json().await.unwrap();
            let banks = body["participants"].as_array().unwrap().clone();
            let bank = banks
                .into_iter()
                .find(|bank| bank["organizationID"] == RYPA)
                .unwrap();
            (
                bank["state"].clone(),
                bank["lastDelivery"].as_str().map(str::to_owned),
            )
        };
        assert_eq!(
            delivered(&service).await,
            (json!("notLoaded"), None),
            "{caching:?}"
        );
        // What is not in changes is no relationship only once a whole set has said so.
        published(change(&service, RYPA, "", &[]).await);
        assert_eq!(delivered(&service).await.0, "notLoaded", "{caching:?}");
        published(put(&service, RYPA, "", "").await);
        let (_, first) = delivered(&service).await;
        // Told in whole seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let (_, receipt) = change(&service, RYPA, "", &[]).await;
        assert_eq!(
            (&receipt["read"], &receipt["stored"]),
            (&json!(0), &json!(0)),
            "{receipt}"
        );
        for _ in 0..2 {
            let (state, last) = delivered(&service).await;
            assert_eq!(state, "current", "{caching:?}");
            assert!(last > first, "{caching:?}: {last:?} after {first:?}");
            service.kill_and_restart().await;
        }
    }
}

#[tokio::test]
async fn a_bank_may_begin_with_changes_and_deliver_a_whole_set_later() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        let put_one = json!({"put": record(&who[0], "owner", &json!({}))});
        published(change(&service, GRANSKAUEN, "?register=KFR", &[put_one]).await);
        assert!(is_listed(&service, &who[0]).await, "{caching:?}");
        let whole = published(put(&service, GRANSKAUEN, "?register=KFR", owners(&who[1..])).await);
        for _ in 0..2 {
            assert!(
                !is_listed(&service, &who[0]).await && is_listed(&service, &who[1]).await,
                "{caching:?}"
            );
            // Before it the set was not loaded.
            let refused = roll_back(&service, GRANSKAUEN, &whole, "").await;
            assert_eq!(conflict(refused).0, "deliveryID", "{caching:?}");
            service.kill_and_restart().await;
        }
    }
}

#[tokio::test]
async fn many_changes_of_many_customers_are_made_whole() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        // More than are resolved together.
        let who: Vec<String> = people().take(23_000).collect();
        let (pieces, body) = streamed();
        let request = service
            .v2(Method::POST, BLABAERLIA, "relationships/changes")
            .body(body);
        let sending = tokio::spawn(super::send(request));
        for chunk in who.chunks(1_000) {
            let put = |customer: &String| json!({"put": record(customer, "owner", &json!({}))});
            pieces
                .send(Ok(super::lines(&chunk.iter().map(put).collect::<Vec<_>>())))
                .await
                .unwrap();
        }
        drop(pieces);
        let (status, receipt) = sending.await.unwrap();
        assert_eq!(
            (status, &receipt["stored"], &receipt["customers"]),
            (200, &json!(23_000), &json!(23_000))
        );
        for customer in who.iter().step_by(4_599) {
            assert!(is_listed(&service, customer).await, "{caching:?}");
        }
    }
}
