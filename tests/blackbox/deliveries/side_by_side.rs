//! Deliveries at the same time: one of a bank and register, any of different ones, and KFR calls always.

use super::{
    BLABAERLIA, GRANSKAUEN, change, conflict, id_of, is_listed, newest, own, owners, published, put, record,
    roll_back,
};
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::{EITHER_WAY, Service};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

pub struct Running {
    pieces: Sender<Result<String, std::io::Error>>,
    sending: JoinHandle<reqwest::Result<reqwest::Response>>,
    pub id: String,
}

impl Running {
    /// A delivery that has begun and waits for more.
    pub async fn begin(service: &Service, method: Method, bank: &str, tail: &str) -> Self {
        let (pieces, body) = streamed();
        let sending = tokio::spawn(service.v2(method, bank, tail).body(body).send());
        pieces.send(Ok("\n".to_owned())).await.unwrap();
        let id = id_of(&newest(service, bank, "receiving").await);
        Self { pieces, sending, id }
    }

    /// Some of the rest.
    pub async fn send(&self, piece: String) {
        self.pieces.send(Ok(piece)).await.unwrap();
    }

    /// The connection breaks.
    pub async fn break_off(self) {
        let broken = Err(std::io::Error::other("cut on purpose"));
        // Where the service was killed, it is broken already.
        let _ = self.pieces.send(broken).await;
        assert!(self.sending.await.unwrap().is_err());
    }

    /// Sends nothing more, and does not end either.
    pub async fn give_up(self) -> (u16, Value) {
        let answer = self.sending.await.unwrap().unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The rest in small pieces, for as long as the service is there; whether it was acknowledged.
    pub async fn drip(self, rest: String) -> bool {
        for piece in rest.as_bytes().chunks(4_096) {
            if self
                .pieces
                .send(Ok(String::from_utf8(piece.to_vec()).unwrap()))
                .await
                .is_err()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.end_unless_killed().await
    }

    /// The rest at once; whether it was acknowledged before the service was killed.
    pub async fn finish_unless_killed(self, rest: String) -> bool {
        let _ = self.pieces.send(Ok(rest)).await;
        self.end_unless_killed().await
    }

    async fn end_unless_killed(self) -> bool {
        drop(self.pieces);
        let answer = self.sending.await.unwrap();
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    pub async fn finish(self, rest: String) -> (u16, Value) {
        self.pieces.send(Ok(rest)).await.unwrap();
        drop(self.pieces);
        let answer = self.sending.await.unwrap().unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn a_second_delivery_to_the_same_set_is_told_which_one_runs() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(5).collect();
        let earlier = published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        for (method, tail) in [
            (Method::PUT, "relationships?confirmShrink=true"),
            (Method::POST, "relationships/changes"),
        ] {
            let running = Running::begin(&service, method, BLABAERLIA, tail).await;
            for answer in [
                put(&service, BLABAERLIA, "", owners(&who)).await,
                change(&service, BLABAERLIA, "", &[]).await,
                roll_back(&service, BLABAERLIA, &earlier, "").await,
            ] {
                let (parameter, reason) = conflict(answer);
                assert_eq!(parameter, "register");
                assert!(reason.contains(&running.id), "{caching:?}: {reason}");
            }
            // Another bank, and another register, are not in the way.
            published(put(&service, GRANSKAUEN, "?register=KAR", owners(&who[1..3])).await);
            published(change(&service, GRANSKAUEN, "?register=KFR", &[]).await);
            let id = running.id.clone();
            assert_eq!(
                published(running.finish("\n".to_owned()).await),
                id,
                "{caching:?}"
            );
        }
        published(change(&service, BLABAERLIA, "", &[]).await);
    }
}

#[tokio::test]
async fn kar_and_kfr_are_received_side_by_side_and_answer_together() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        let kar = Running::begin(&service, Method::PUT, GRANSKAUEN, "relationships?register=KAR").await;
        let kfr = Running::begin(&service, Method::PUT, GRANSKAUEN, "relationships?register=KFR").await;
        let other = super::lines(&[record(&who[1], "other", &json!({"creditable": true}))]);
        let (first, second) = tokio::join!(
            kar.finish(owners(&who[..1]) + &other),
            kfr.finish(owners(&who[1..]))
        );
        published(first);
        published(second);
        for _ in 0..2 {
            let registers = async |customer: &str| {
                let own = own(&service, GRANSKAUEN, customer).await;
                own.iter()
                    .map(|r| r["register"].as_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(registers(&who[0]).await, ["KAR"], "{caching:?}");
            assert_eq!(registers(&who[1]).await, ["KAR", "KFR"], "{caching:?}");
            assert_eq!(registers(&who[2]).await, ["KFR"], "{caching:?}");
            let listed = service.listed(&who[1]).await;
            assert_eq!(listed.as_array().unwrap().len(), 1, "{caching:?}");
            assert_eq!(listed[0]["ownershipType"], "primaryOwner", "{caching:?}");
            service.kill_and_restart().await;
        }
    }
}

#[tokio::test]
async fn a_registration_that_stands_already_holds_in_the_set_being_received_too() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        let tail = "relationships?register=KFR";
        published(put(&service, GRANSKAUEN, "?register=KFR", owners(&who[..1])).await);
        let running = Running::begin(&service, Method::PUT, GRANSKAUEN, tail).await;
        let call = service.kfr(Method::POST, GRANSKAUEN, &who[0]).send();
        let answer = tokio::time::timeout(Duration::from_secs(10), call)
            .await
            .expect("at once");
        assert_eq!(answer.unwrap().status(), 200, "{caching:?}: it runs already");
        published(running.finish(owners(&who[1..])).await);
        assert!(is_listed(&service, &who[0]).await, "{caching:?}: and goes on");
    }
}

#[tokio::test]
async fn kfr_calls_without_a_pause_are_in_no_deliverys_way() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(200).collect();
        let calls = async {
            for customer in &who[100..] {
                let response = service.kfr(Method::POST, GRANSKAUEN, customer).send().await;
                assert_eq!(response.unwrap().status(), 201);
            }
        };
        let deliveries = async {
            for customer in &who[..10] {
                let put = json!({"put": record(customer, "owner", &json!({}))});
                published(change(&service, GRANSKAUEN, "?register=KFR", &[put]).await);
            }
            published(
                put(
                    &service,
                    GRANSKAUEN,
                    "?register=KFR&confirmShrink=true",
                    owners(&who[..100]),
                )
                .await,
            );
        };
        tokio::join!(calls, deliveries);
        for customer in [&who[0], &who[99], &who[199]] {
            assert!(is_listed(&service, customer).await, "{caching:?}");
        }
    }
}
