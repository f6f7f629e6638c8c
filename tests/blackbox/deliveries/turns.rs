//! Clients that begin deliveries and hardly send anything: they hold up themselves, and nobody else.

use super::side_by_side::Running;
use super::{BLABAERLIA, GRANSKAUEN, RYPA, is_listed, newest, owners, published, put};
use crate::audit::load::search;
use crate::harness::calls::{BOUNDARY, code_of, form, streamed};
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use reqwest::{Method, Response};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

/// A batch of one customer that has begun to be sent: `end` is what is lacking.
struct Trickle {
    pieces: Sender<Result<String, std::io::Error>>,
    sending: JoinHandle<reqwest::Result<Response>>,
    end: String,
}

impl Trickle {
    async fn begin(service: &Service, bank: &str, customer: &str) -> Self {
        let whole = form(&[
            ("name=\"customer_type\"", "DSOPBANK"),
            ("name=\"customers\"", customer),
        ]);
        let (begun, end) = whole.split_at(whole.len() - BOUNDARY.len() - 10);
        let (pieces, body) = streamed();
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let sending = tokio::spawn(service.kfr_form(bank, &content_type, body).send());
        pieces.send(Ok(begun.to_owned())).await.unwrap();
        let end = end.to_owned();
        Self { pieces, sending, end }
    }

    async fn end(self) -> u16 {
        self.pieces.send(Ok(self.end)).await.unwrap();
        drop(self.pieces);
        self.sending.await.unwrap().unwrap().status().as_u16()
    }
}

async fn batch(service: &Service, bank: &str, customer: &str) -> Response {
    service.kfr_batch(bank, customer).send().await.unwrap()
}

/// Waits until so many deliveries are under way.
async fn turns_taken(service: &Service, count: usize) {
    let told = format!("kundeforhold_delivery_turns {count}\n");
    service
        .wait_until_metrics(|metrics| metrics.contains(&told))
        .await;
}

/// Sends batches until one is told to come again.
async fn refused_batch(service: &Service, bank: &str, customer: &str, status: u16) -> Response {
    let started = Instant::now();
    loop {
        let answer = batch(service, bank, customer).await;
        if answer.status() == status {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{}", answer.status());
    }
}

#[tokio::test]
async fn a_bank_that_trickles_batches_holds_up_nobody_but_itself() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(12).collect();
        let mut trickles = Vec::new();
        for customer in &who[..4] {
            trickles.push(Trickle::begin(&service, GRANSKAUEN, customer).await);
        }
        turns_taken(&service, 4).await;
        let refused = refused_batch(&service, GRANSKAUEN, &who[4], 429).await;
        assert!(refused.headers().contains_key("Retry-After"), "{caching:?}");
        assert_eq!(code_of(refused, 429).await, "KFR-015", "{caching:?}");
        let recorded = search(&service, &["--consumer", GRANSKAUEN], "");
        assert!(recorded.iter().any(|call| call["status"] == 429), "{caching:?}");

        // Others go on, and so does what the same bank sends otherwise.
        published(put(&service, BLABAERLIA, "", owners(&who[5..6])).await);
        assert_eq!(batch(&service, RYPA, &who[6]).await.status(), 201, "{caching:?}");
        published(put(&service, GRANSKAUEN, "?register=KFR", owners(&who[7..8])).await);
        let call = service.kfr(Method::POST, GRANSKAUEN, &who[8]).send().await;
        assert_eq!(call.unwrap().status(), 201, "{caching:?}");

        for trickle in trickles {
            assert_eq!(trickle.end().await, 201, "{caching:?}");
            assert_eq!(
                batch(&service, GRANSKAUEN, &who[9]).await.status(),
                201,
                "{caching:?}"
            );
        }
        for customer in &who[..4] {
            assert!(is_listed(&service, customer).await, "{caching:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_gives_up_its_turn() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(5).collect();
    let mut trickles = Vec::new();
    for customer in &who[..4] {
        trickles.push(Trickle::begin(&service, GRANSKAUEN, customer).await);
    }
    turns_taken(&service, 4).await;
    refused_batch(&service, GRANSKAUEN, &who[4], 429).await;
    trickles.iter().for_each(|trickle| trickle.sending.abort());
    refused_batch(&service, GRANSKAUEN, &who[4], 201).await;
    assert!(!is_listed(&service, &who[0]).await);
}

#[tokio::test]
async fn a_delivery_sent_again_and_again_takes_turns_of_its_bank_only() {
    let service = Service::start_with(Caching::Without, "[delivery]\nmax_batches_per_bank = 1\n").await;
    let who: Vec<String> = people().take(2).collect();
    let keyed = |body: reqwest::Body| {
        let request = service.v2(Method::PUT, BLABAERLIA, "relationships");
        request.header("Idempotency-Key", "once").body(body)
    };
    let first = published(super::send(keyed(owners(&who[..1]).into())).await);
    let (pieces, body) = streamed();
    let repeated = tokio::spawn(keyed(body).send());
    pieces.send(Ok(owners(&who[..1]))).await.unwrap();
    turns_taken(&service, 1).await;
    let started = Instant::now();
    while super::send(keyed(owners(&who[..1]).into())).await.0 != 429 {
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    published(put(&service, BLABAERLIA, "", owners(&who)).await);
    drop(pieces);
    let answer: serde_json::Value = repeated.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(super::id_of(&answer), first);
}

#[tokio::test]
async fn when_all_turns_are_taken_a_delivery_is_told_to_come_again() {
    let bounds = "[delivery]\nmax_at_once = 4\nmax_batches_per_bank = 1\nturn_seconds = 1\n";
    let service = Service::start_with(Caching::Without, bounds).await;
    let who: Vec<String> = people().take(4).collect();
    published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
    let kar = Running::begin(&service, Method::PUT, GRANSKAUEN, "relationships?register=KAR").await;
    let kfr = Running::begin(&service, Method::PUT, GRANSKAUEN, "relationships?register=KFR").await;
    let trickle = Trickle::begin(&service, GRANSKAUEN, &who[1]).await;
    let other = Running::begin(&service, Method::PUT, BLABAERLIA, "relationships").await;

    turns_taken(&service, 4).await;
    let refused = refused_batch(&service, RYPA, &who[2], 503).await;
    assert!(refused.headers().contains_key("Retry-After"));
    let asked = Instant::now();
    assert_eq!(code_of(refused, 503).await, "KFR-016");
    assert_eq!(
        code_of(batch(&service, RYPA, &who[2]).await, 503).await,
        "KFR-016"
    );
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(is_listed(&service, &who[0]).await, "lookups go on");
    let call = service.kfr(Method::POST, RYPA, &who[3]).send().await;
    assert_eq!(call.unwrap().status(), 201, "calls too");

    published(kar.finish("\n".to_owned()).await);
    assert_eq!(batch(&service, RYPA, &who[2]).await.status(), 201);
    published(kfr.finish("\n".to_owned()).await);
    published(other.finish(owners(&who[..1])).await);
    assert_eq!(trickle.end().await, 201);
    newest(&service, BLABAERLIA, "published").await;
}
