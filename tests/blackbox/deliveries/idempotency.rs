//! `Idempotency-Key`: what is sent again is answered again and not done again.

use super::encodings::gzip;
use super::{
    BLABAERLIA, GRANSKAUEN, change, changing, conflict, id_of, is_listed, kill_and_restart, owners,
    published, receipts, record, send,
};
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Engine, Service};
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
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        let who: Vec<String> = people().take(4).collect();
        let (_, first) = send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[..2]))).await;
        let id = published((200, first.clone()));
        for _ in 0..2 {
            let again = send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[..2]))).await;
            assert_eq!(again, (200, first.clone()), "{engine:?}");
            let other = send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[1..3]))).await;
            let (parameter, reason) = conflict(other);
            assert_eq!(parameter, "Idempotency-Key");
            assert!(reason.contains(&id), "{reason}");
            assert!(!is_listed(&service, &who[2]).await, "{engine:?}");
            kill_and_restart(&mut service).await;
        }
        let packed = keyed(
            &service,
            BLABAERLIA,
            "",
            "monday",
            gzip(owners(&who[..2]).as_bytes()),
        );
        let again = send(packed.header("Content-Encoding", "gzip")).await;
        assert_eq!(again, (200, first), "{engine:?}: the decoded body counts");
        assert_eq!(
            receipts(&service, BLABAERLIA).await.len(),
            1,
            "{engine:?}: done once"
        );
        // Another key: done again.
        let (_, second) = send(keyed(&service, BLABAERLIA, "", "tuesday", owners(&who[..2]))).await;
        assert_ne!(published((200, second)), id);
        let (_, first) = send(keyed(&service, BLABAERLIA, "", "monday", owners(&who[..2]))).await;
        assert_eq!(
            (id_of(&first), &first["state"]),
            (id, &json!("superseded")),
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn a_key_is_bound_for_its_bank_register_and_operation() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
        assert_eq!(&id_of(&again), ids.last().unwrap(), "{engine:?}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4, "{engine:?}");
        for customer in &who {
            assert!(is_listed(&service, customer).await, "{engine:?}");
        }
    }
}

#[tokio::test]
async fn a_rejected_delivery_binds_its_key_and_an_abandoned_one_does_not() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        let who: Vec<String> = people().take(2).collect();
        let (status, refused) = send(keyed(&service, BLABAERLIA, "", "k", "bad\n")).await;
        assert_eq!(status, 422, "{refused}");
        kill_and_restart(&mut service).await;
        let (status, again) = send(keyed(&service, BLABAERLIA, "", "k", "bad\n")).await;
        assert_eq!((status, id_of(&again)), (422, id_of(&refused)), "{engine:?}");
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
    let service = Service::start(ENGINES[0]).await;
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
async fn what_is_journalled_and_not_in_the_index_yet_is_not_acknowledged_to_a_retry() {
    let patience = "[index]\nwrite_timeout_milliseconds = 500\ntimeout_milliseconds = 500\n";
    let service = Service::start_with(Engine::Redis, patience).await;
    let who: Vec<String> = people().take(1).collect();
    let (pieces, body) = streamed();
    let sending = tokio::spawn(send(keyed(&service, BLABAERLIA, "", "k", body)));
    pieces.send(Ok(owners(&who))).await.unwrap();
    super::newest(&service, BLABAERLIA, "receiving").await;
    let redis = service.redis.as_ref().unwrap();
    // It can be read, so the delivery is journalled; it cannot be written.
    redis.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    drop(pieces);
    let (status, body) = sending.await.unwrap();
    assert_eq!((status, &body["errorCode"]), (503, &json!("KFR-016")), "{body}");
    let (status, body) = send(keyed(&service, BLABAERLIA, "", "k", owners(&who))).await;
    assert_eq!(status, 503, "{body}");
    let state = receipts(&service, BLABAERLIA).await[0]["state"].clone();
    redis.command(&["CLIENT", "UNPAUSE"]);
    assert_eq!(state, "receiving", "lookups do not see it yet");
    service.wait_until_ready().await;
    let started = std::time::Instant::now();
    let receipt = loop {
        let (status, body) = send(keyed(&service, BLABAERLIA, "", "k", owners(&who))).await;
        if status == 200 {
            break body;
        }
        assert!(
            status == 503 && started.elapsed().as_secs() < 20,
            "{status} {body}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(receipt["state"], "published");
    assert_eq!(receipts(&service, BLABAERLIA).await, [receipt]);
    assert!(is_listed(&service, &who[0]).await, "acknowledged");
    assert_eq!(receipts(&service, BLABAERLIA).await.len(), 1, "done once");
}
