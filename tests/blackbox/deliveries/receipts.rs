//! Receipts: every field and state, in answers and in the list, before and after a restart.

use super::{
    BLABAERLIA, GRANSKAUEN, change, id_of, kill_and_restart, lines, newest, owners, published, put, receipt,
    receipts, record, roll_back, send,
};
use crate::harness::calls::streamed;
use crate::harness::identifiers::{accounts, people};
use crate::harness::{ENGINES, Service};
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
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
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
            assert_eq!(&changed[field], value, "{engine:?} {field}: {changed}");
        }
        let list = receipts(&service, GRANSKAUEN).await;
        assert_eq!(list, [changed.clone(), given.clone()], "{engine:?}");
        kill_and_restart(&mut service).await;
        assert_eq!(receipts(&service, GRANSKAUEN).await, list, "{engine:?}");
        assert_eq!(
            receipt(&service, GRANSKAUEN, &id_of(&given)).await,
            given,
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn a_delivery_is_receiving_until_its_last_byte() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
                "{engine:?} {unknown}: {receiving}"
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
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn what_was_cut_off_or_killed_is_abandoned() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
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
            assert_eq!(cut["deliveryID"], receiving["deliveryID"], "{engine:?}");

            let (pieces, body) = streamed();
            let sending = tokio::spawn(service.v2(method, BLABAERLIA, path).body(body).send());
            pieces.send(Ok(owners(&who[..1]))).await.unwrap();
            let receiving = newest(&service, BLABAERLIA, "receiving").await;
            assert_ne!(cut["deliveryID"], receiving["deliveryID"], "{engine:?}");
            kill_and_restart(&mut service).await;
            assert!(sending.await.unwrap().is_err());
            let killed = receipt(&service, BLABAERLIA, &id_of(&receiving)).await;
            assert_eq!(killed["state"], "abandoned", "{engine:?}");
            assert_eq!(
                receipt(&service, BLABAERLIA, &id_of(&cut)).await,
                cut,
                "{engine:?}"
            );
        }
        // Nothing is in the way of the next.
        published(put(&service, BLABAERLIA, "", owners(&who)).await);
    }
}

#[tokio::test]
async fn a_whole_set_is_superseded_by_the_next_and_stands_again_when_that_is_rolled_back() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
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
        assert_eq!(states(&service).await, expected, "{engine:?}");
        let third = published(put(&service, BLABAERLIA, "", owners(&who[2..])).await);
        let expected = ["superseded", "rolledBack", "published"].map(|state| json!(state));
        assert_eq!(states(&service).await, expected, "{engine:?}");
        kill_and_restart(&mut service).await;
        assert_eq!(states(&service).await, expected, "{engine:?}");
        assert_eq!(receipt(&service, BLABAERLIA, &third).await["state"], "published");
    }
}

#[tokio::test]
async fn a_delivery_that_is_nobodys_is_not_found() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
                    "{engine:?} {tail}"
                );
            }
        }
        let (status, _) = send(service.v2(Method::GET, GRANSKAUEN, &format!("deliveries/{id}"))).await;
        assert_eq!(status, 404, "another bank's");
    }
}
