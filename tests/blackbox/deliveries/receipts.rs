//! Receipts: every field and state, in answers and in the list, before and after a restart.

use super::{
    BLABAERLIA, GRANSKAUEN, RYPA, change, changing, conflict, id_of, lines, newest, owners, published, put,
    receipt, receipts, record, roll_back, send,
};
use crate::harness::calls::streamed;
use crate::harness::identifiers::{accounts, people};
use crate::harness::{EITHER_WAY, Service, world};
use reqwest::Method;
use serde_json::{Value, json};

/// The fields of a receipt that has them all.
const FIELDS: [&str; 14] = [
    "deliveryID",
    "kind",
    "register",
    "state",
    "receivedAt",
    "publishedAt",
    "read",
    "stored",
    "ended",
    "removed",
    "rejected",
    "customers",
    "accounts",
    "sha256",
];

fn names(receipt: &Value) -> Vec<&str> {
    receipt.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_receipt_reads_later_as_it_was_given_and_after_a_kill_too() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        let account = accounts().next().unwrap();
        let set = lines(&[
            record(&who[0], "owner", &json!({"accountID": account})),
            record(&who[1], "other", &json!({"accountID": account})),
            json!({"customerID": "1"}),
        ]);
        let (_, given) = put(&service, GRANSKAUEN, "?register=KAR&maxRejects=1", set).await;
        assert_eq!(names(&given).len(), FIELDS.len(), "{given}");
        for field in FIELDS {
            assert!(given.get(field).is_some(), "{field}: {given}");
        }
        let identity = json!({"customerID": who[1], "accountID": account, "fromDate": "2015-01-01"});
        let ended = json!({"customerID": who[0], "accountID": account, "fromDate": "2015-01-01", "toDate": "2016-01-01"});
        let changes = [
            json!({"put": record(&who[2], "owner", &json!({}))}),
            json!({"end": ended}),
            json!({"remove": identity}),
        ];
        let (_, changed) = change(&service, GRANSKAUEN, "?register=KAR", &changes).await;
        let counts = json!({"kind": "changes", "register": "KAR", "state": "published", "read": 3, "stored": 1,
            "ended": 1, "removed": 1, "rejected": 0, "customers": 3, "accounts": 1});
        for (field, value) in counts.as_object().unwrap() {
            assert_eq!(&changed[field], value, "{caching:?} {field}: {changed}");
        }
        let list = receipts(&service, GRANSKAUEN).await;
        assert_eq!(list, [changed.clone(), given.clone()], "{caching:?}");
        service.kill_and_restart().await;
        assert_eq!(receipts(&service, GRANSKAUEN).await, list, "{caching:?}");
        assert_eq!(
            receipt(&service, GRANSKAUEN, &id_of(&given)).await,
            given,
            "{caching:?}"
        );
    }
}

#[tokio::test]
async fn a_delivery_is_receiving_until_its_last_byte() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        let (pieces, body) = streamed();
        let sending = tokio::spawn(
            service
                .v2(Method::PUT, BLABAERLIA, "relationships")
                .body(body)
                .send(),
        );
        pieces.send(Ok(owners(&who[..1]))).await.unwrap();
        let receiving = newest(&service, BLABAERLIA, "receiving").await;
        assert_eq!(
            (&receiving["kind"], &receiving["register"]),
            (&json!("wholeSet"), &json!("KAR"))
        );
        for unknown in ["publishedAt", "sha256"] {
            assert!(
                receiving.get(unknown).is_none(),
                "{caching:?} {unknown}: {receiving}"
            );
        }
        pieces.send(Ok(owners(&who[1..]))).await.unwrap();
        drop(pieces);
        let given: Value = sending.await.unwrap().unwrap().json().await.unwrap();
        assert_eq!(given["deliveryID"], receiving["deliveryID"]);
        assert_eq!(given["receivedAt"], receiving["receivedAt"]);
        assert_eq!(
            receipt(&service, BLABAERLIA, &id_of(&given)).await,
            given,
            "{caching:?}"
        );
    }
}

#[tokio::test]
async fn what_was_cut_off_or_killed_is_abandoned() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        for path in ["relationships", "relationships/changes"] {
            let method = if path == "relationships" {
                Method::PUT
            } else {
                Method::POST
            };
            let (pieces, body) = streamed();
            let sending = tokio::spawn(service.v2(method.clone(), BLABAERLIA, path).body(body).send());
            pieces.send(Ok(owners(&who[..1]))).await.unwrap();
            let receiving = newest(&service, BLABAERLIA, "receiving").await;
            pieces
                .send(Err(std::io::Error::other("cut on purpose")))
                .await
                .unwrap();
            assert!(sending.await.unwrap().is_err());
            let cut = newest(&service, BLABAERLIA, "abandoned").await;
            assert_eq!(cut["deliveryID"], receiving["deliveryID"], "{caching:?}");

            let (pieces, body) = streamed();
            let sending = tokio::spawn(service.v2(method, BLABAERLIA, path).body(body).send());
            pieces.send(Ok(owners(&who[..1]))).await.unwrap();
            let receiving = newest(&service, BLABAERLIA, "receiving").await;
            assert_ne!(cut["deliveryID"], receiving["deliveryID"], "{caching:?}");
            service.kill_and_restart().await;
            assert!(sending.await.unwrap().is_err());
            let killed = receipt(&service, BLABAERLIA, &id_of(&receiving)).await;
            assert_eq!(killed["state"], "abandoned", "{caching:?}");
            assert_eq!(
                receipt(&service, BLABAERLIA, &id_of(&cut)).await,
                cut,
                "{caching:?}"
            );
        }
        // Nothing is in the way of the next.
        published(put(&service, BLABAERLIA, "", owners(&who)).await);
    }
}

#[tokio::test]
async fn what_was_not_published_says_why_as_the_bank_was_told() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        published(put(&service, BLABAERLIA, "", owners(&who)).await);
        let (_, told) = conflict(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        let shrunk = newest(&service, BLABAERLIA, "abandoned").await;
        assert_eq!(shrunk["reason"], told, "{caching:?}");
        let numbered = changing(&service, BLABAERLIA, "", &[]).header("Delivery-Sequence", "7");
        let (_, told) = conflict(send(numbered).await);
        let gap = newest(&service, BLABAERLIA, "abandoned").await;
        assert_eq!(gap["reason"], told, "{caching:?}");
        let (_, refused) = put(&service, BLABAERLIA, "", "bad\n").await;
        let rejected = receipt(&service, BLABAERLIA, &id_of(&refused)).await;
        assert!(!rejected["reason"].as_str().unwrap().is_empty(), "{rejected}");
        assert_eq!(rejected["reason"], refused["reason"], "{caching:?}");

        let (pieces, body) = streamed();
        let request = service.v2(Method::PUT, BLABAERLIA, "relationships");
        let sending = tokio::spawn(request.body(body).send());
        pieces.send(Ok(owners(&who))).await.unwrap();
        let receiving = newest(&service, BLABAERLIA, "receiving").await;
        assert!(receiving.get("reason").is_none(), "{receiving}");
        let cut = Err(std::io::Error::other("cut on purpose"));
        pieces.send(cut).await.unwrap();
        assert!(sending.await.unwrap().is_err());
        let cut = newest(&service, BLABAERLIA, "abandoned").await;
        assert!(cut["reason"].as_str().unwrap().contains("connection"), "{cut}");

        let (pieces, body) = streamed();
        let request = service.v2(Method::PUT, BLABAERLIA, "relationships");
        let sending = tokio::spawn(request.body(body).send());
        pieces.send(Ok(owners(&who))).await.unwrap();
        let receiving = newest(&service, BLABAERLIA, "receiving").await;
        service.kill_and_restart().await;
        assert!(sending.await.unwrap().is_err());
        let killed = receipt(&service, BLABAERLIA, &id_of(&receiving)).await;
        assert!(killed["reason"].as_str().unwrap().contains("restart"), "{killed}");
        for kept in [&shrunk, &gap, &rejected, &cut] {
            assert_eq!(&receipt(&service, BLABAERLIA, &id_of(kept)).await, kept);
        }
    }
}

#[tokio::test]
async fn kfr_calls_are_one_line_a_day_and_a_batch_is_one_of_its_own() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        // The last one ends nothing any more, and is no success.
        let calls = [
            (Method::POST, 201),
            (Method::POST, 200),
            (Method::DELETE, 204),
            (Method::DELETE, 404),
        ];
        for (method, status) in calls {
            let call = service.kfr(method, RYPA, &who[0]).send().await;
            assert_eq!(call.unwrap().status(), status);
        }
        let batch = service.kfr_batch(RYPA, &who[1..].join(",")).send().await;
        assert_eq!(batch.unwrap().status(), 201);
        let list = receipts(&service, RYPA).await;
        assert_eq!(list.len(), 2, "{caching:?}: {list:?}");
        let line = list.iter().find(|receipt| receipt["kind"] == "kfrCalls").unwrap();
        let batch = list.iter().find(|receipt| receipt["kind"] == "batch").unwrap();
        let expected = json!({"register": "KFR", "state": "published", "calls": 3,
            "day": world::today().to_string()});
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&line[field], value, "{caching:?} {field}: {line}");
        }
        let expected =
            json!({"register": "KFR", "state": "published", "read": 2, "customers": 2, "rejected": 0});
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&batch[field], value, "{caching:?} {field}: {batch}");
        }
        service.kill_and_restart().await;
        assert_eq!(receipts(&service, RYPA).await, list, "{caching:?}");
    }
}

#[tokio::test]
async fn a_whole_set_is_superseded_by_the_next_and_stands_again_when_that_is_rolled_back() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(4).collect();
        let first = published(put(&service, BLABAERLIA, "", owners(&who[..2])).await);
        let second = published(put(&service, BLABAERLIA, "", owners(&who[1..3])).await);
        let (_, undone) = roll_back(&service, BLABAERLIA, &second, "").await;
        let kept = published((200, undone.clone()));
        assert_eq!(undone["kind"], "rollback");
        assert_eq!(undone["discardedDeliveries"], json!([second]));
        let states = async |service: &Service| {
            let receipts = receipts(service, BLABAERLIA).await;
            let state =
                |id: &String| receipts.iter().find(|r| r["deliveryID"] == **id).unwrap()["state"].clone();
            [&first, &second, &kept].map(state)
        };
        let expected = ["published", "rolledBack", "published"].map(|state| json!(state));
        assert_eq!(states(&service).await, expected, "{caching:?}");
        let third = published(put(&service, BLABAERLIA, "", owners(&who[2..])).await);
        let expected = ["superseded", "rolledBack", "published"].map(|state| json!(state));
        assert_eq!(states(&service).await, expected, "{caching:?}");
        service.kill_and_restart().await;
        assert_eq!(states(&service).await, expected, "{caching:?}");
        assert_eq!(receipt(&service, BLABAERLIA, &third).await["state"], "published");
    }
}

#[tokio::test]
async fn a_delivery_that_is_nobodys_is_not_found() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let id = published(put(&service, BLABAERLIA, "", "").await);
        for delivery in ["0197a5b0-0000-7000-8000-000000000000", "x", "%00"] {
            for (method, tail) in [
                (Method::GET, ""),
                (Method::GET, "/rejects"),
                (Method::POST, "/rollback"),
            ] {
                let request = service.v2(method, BLABAERLIA, &format!("deliveries/{delivery}{tail}"));
                let (status, body) = send(request).await;
                assert_eq!(
                    (status, &body["errorCode"]),
                    (404, &json!("KFR-008")),
                    "{caching:?} {tail}"
                );
            }
        }
        let (status, _) = send(service.v2(Method::GET, GRANSKAUEN, &format!("deliveries/{id}"))).await;
        assert_eq!(status, 404, "another bank's");
    }
}
