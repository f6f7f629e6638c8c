//! `Idempotency-Key`: what is sent again is answered again and not done again.

use super::encodings::gzip;
use super::{
    BLABAERLIA, GRANSKAUEN, change, changing, conflict, id_of, is_listed, owners, published, receipts,
    record, roll_back, send,
};
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

fn keyed(
    service: &Service,
    bank: &str,
    query: &str,
    key: &str,
    body: impl Into<reqwest::Body>,
) -> RequestBuilder {
    let request = service.v2(Method::PUT, bank, &format!("relationships{query}"));
    request.header("Idempotency-Key", key).body(body)
}

#[tokio::test]
async fn the_same_key_and_body_get_the_first_receipt_and_another_body_a_conflict() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(4).collect();
        let (_, first) = send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[..2]))).await;
        let id = published((200, first.clone()));
        for _ in 0..2 {
            let again = send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[..2]))).await;
            assert_eq!(again, (200, first.clone()), "{caching:?}");
            let other = send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[1..3]))).await;
            let (parameter, reason) = conflict(other);
            assert_eq!(parameter, "Idempotency-Key");
            assert!(reason.contains(&id), "{reason}");
            assert!(!is_listed(&service, &who[2]).await, "{caching:?}");
            service.kill_and_restart().await;
        }
        let packed = keyed(
            &service,
            BLABAERLIA,
            "",
            "monday",
            gzip(owners(&who[..2]).as_bytes()),
        );
        let again = send(packed.header("Content-Encoding", "gzip")).await;
        assert_eq!(again, (200, first), "{caching:?}: the decoded body counts");
        assert_eq!(
            receipts(&service, BLABAERLIA).await.len(),
            1,
            "{caching:?}: done once"
        );
        // Another key: done again.
        let (_, second) = send(keyed(&service, BLABAERLIA, "", "tuesday", owners(&who[..2]))).await;
        assert_ne!(published((200, second)), id);
        let (_, first) = send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[..2]))).await;
        assert_eq!(
            (id_of(&first), &first["state"]),
            (id, &json!("superseded")),
            "{caching:?}"
        );
    }
}

#[tokio::test]
async fn a_key_is_bound_for_its_bank_register_and_operation() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(4).collect();
        let mut ids = Vec::new();
        for (bank, query, customer) in [
            (BLABAERLIA, "", &who[0]),
            (GRANSKAUEN, "?register=KAR", &who[1]),
            (GRANSKAUEN, "?register=KFR", &who[2]),
        ] {
            let set = owners(std::slice::from_ref(customer));
            ids.push(published(
                send(keyed(&service, bank, query, "one key", set)).await,
            ));
        }
        let put = [json!({"put": record(&who[3], "owner", &json!({}))})];
        let request = changing(&service, BLABAERLIA, "", &put).header("Idempotency-Key", "one key");
        ids.push(published(send(request).await));
        let request = changing(&service, BLABAERLIA, "", &put).header("Idempotency-Key", "one key");
        let (_, again) = send(request).await;
        assert_eq!(&id_of(&again), ids.last().unwrap(), "{caching:?}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4, "{caching:?}");
        for customer in &who {
            assert!(is_listed(&service, customer).await, "{caching:?}");
        }
    }
}

#[tokio::test]
async fn a_rejected_delivery_binds_its_key_and_an_abandoned_one_does_not() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        let (status, refused) = send(keyed(&service, BLABAERLIA, "", "k", "bad\n")).await;
        assert_eq!(status, 422, "{refused}");
        service.kill_and_restart().await;
        let (status, again) = send(keyed(&service, BLABAERLIA, "", "k", "bad\n")).await;
        assert_eq!((status, id_of(&again)), (422, id_of(&refused)), "{caching:?}");
        assert_eq!(
            (&again["rejects"], &again["state"]),
            (&refused["rejects"], &json!("rejected"))
        );
        conflict(send(keyed(&service, BLABAERLIA, "", "k", owners(&who))).await);

        let (pieces, body) = streamed();
        let sending = tokio::spawn(keyed(&service, BLABAERLIA, "", "cut", body).send());
        pieces.send(Ok(owners(&who[..1]))).await.unwrap();
        super::newest(&service, BLABAERLIA, "receiving").await;
        pieces
            .send(Err(std::io::Error::other("cut on purpose")))
            .await
            .unwrap();
        assert!(sending.await.unwrap().is_err());
        super::newest(&service, BLABAERLIA, "abandoned").await;
        published(send(keyed(&service, BLABAERLIA, "", "cut", owners(&who))).await);

        // A conflict is abandoned: the same call, confirmed, is taken.
        conflict(send(keyed(&service, BLABAERLIA, "", "shrunk", "")).await);
        let confirmed = keyed(&service, BLABAERLIA, "?confirmShrink=true", "shrunk", "");
        published(send(confirmed).await);
    }
}

#[tokio::test]
async fn a_key_is_printable_and_comes_once() {
    let service = Service::start(Caching::Without).await;
    let longest = "k".repeat(200);
    published(send(keyed(&service, BLABAERLIA, "", &longest, "")).await);
    for key in [&longest[..], "k"].map(|key| format!("{key}{}", if key.len() > 1 { "k" } else { "\t" })) {
        let (status, body) = send(keyed(&service, BLABAERLIA, "", &key, "")).await;
        // Blanks around a value are no part of it on the wire.
        let trimmed = key.ends_with('\t');
        assert_eq!(status, if trimmed { 200 } else { 400 }, "{body}");
    }
    for request in [
        keyed(&service, BLABAERLIA, "", "", ""),
        keyed(&service, BLABAERLIA, "", "a\tb", ""),
        keyed(&service, BLABAERLIA, "", "a", "").header("Idempotency-Key", "a"),
    ] {
        let (status, body) = send(request).await;
        assert_eq!(
            (status, &body["details"][0]["parameter"]),
            (400, &json!("Idempotency-Key")),
            "{body}"
        );
    }
    let (status, _) = change(&service, BLABAERLIA, "", &[]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_delivery_that_was_rolled_back_does_not_bind_its_key() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        published(send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[..1]))).await);
        let (_, tuesday) = send(keyed(&service, BLABAERLIA, "", "tuesday", owners(&who[1..2]))).await;
        let whole = published((200, tuesday));
        let later = [json!({"put": record(&who[2], "owner", &json!({}))})];
        let later = || changing(&service, BLABAERLIA, "", &later).header("Idempotency-Key", "later");
        let discarded = published(send(later()).await);
        published(roll_back(&service, BLABAERLIA, &whole, "?discardLaterChanges=true").await);
        // The same again is done again, and another body is no conflict.
        assert_ne!(published(send(later()).await), discarded, "{caching:?}");
        assert!(is_listed(&service, &who[2]).await, "{caching:?}");
        let other = keyed(&service, BLABAERLIA, "", "tuesday", owners(&who[..2]));
        assert_ne!(published(send(other).await), whole, "{caching:?}");
        // What stands again keeps its key.
        conflict(send(keyed(&service, BLABAERLIA, "", "monday", owners(&who))).await);
    }
}
