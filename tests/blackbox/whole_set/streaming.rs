//! Bodies that break, drag, or burst their bounds; and the KFR calls that come meanwhile.

use super::{BLABAERLIA, GRANSKAUEN, line, put};
use crate::harness::calls::{code_of, streamed};
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Small bounds, so that a test reaches them.
const BOUNDS: &str = "[delivery]\nmax_body_bytes = 20000\nmax_line_bytes = 300\npause_seconds = 1\n";

async fn with_former_set(caching: Caching, former: &str) -> Service {
    let service = Service::start_with(caching, BOUNDS).await;
    put(&service, BLABAERLIA, "", &line(former, "owner", "")).await;
    service
}

async fn only_former_stands(service: &Service, former: &str, new: &str) {
    assert_eq!(service.listed(former).await.as_array().unwrap().len(), 1);
    assert_eq!(service.listed(new).await, json!([]));
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_former_set() {
    for caching in EITHER_WAY {
        let who: Vec<String> = people().take(2).collect();
        let service = with_former_set(caching, &who[0]).await;
        for whole_lines in [true, false] {
            let (pieces, body) = streamed();
            let sending = tokio::spawn(service.put(BLABAERLIA, "").body(body).send());
            let sent = line(&who[1], "owner", "");
            let piece = if whole_lines { sent } else { sent[..40].to_owned() };
            pieces.send(Ok(piece)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            pieces
                .send(Err(std::io::Error::other("broken on purpose")))
                .await
                .unwrap();
            assert!(sending.await.unwrap().is_err(), "the connection is gone");
            tokio::time::sleep(Duration::from_millis(300)).await;
            only_former_stands(&service, &who[0], &who[1]).await;
        }
        // And the bank delivers again as if nothing had been.
        put(&service, BLABAERLIA, "", &line(&who[1], "owner", "")).await;
        assert_eq!(
            service.listed(&who[1]).await.as_array().unwrap().len(),
            1,
            "{caching:?}"
        );
    }
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_leaves_the_former_set() {
    for caching in EITHER_WAY {
        let who: Vec<String> = people().take(2).collect();
        let service = with_former_set(caching, &who[0]).await;
        let good = line(&who[1], "owner", "");
        let long = line(&who[1], "owner", &" ".repeat(300));
        for set in [
            format!("{good}{long}"),
            format!("{good}{}", long.trim()),
            good.repeat(20_000 / good.len() + 1),
        ] {
            let response = service.put(BLABAERLIA, "").body(set).send().await.unwrap();
            assert_eq!(code_of(response, 413).await, "KFR-013", "{caching:?}");
            only_former_stands(&service, &who[0], &who[1]).await;
        }
        let (pieces, body) = streamed();
        pieces.send(Ok(good.clone())).await.unwrap();
        let started = Instant::now();
        let response = service.put(BLABAERLIA, "").body(body).send().await.unwrap();
        assert_eq!(code_of(response, 408).await, "KFR-014", "{caching:?}");
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{:?}",
            started.elapsed()
        );
        only_former_stands(&service, &who[0], &who[1]).await;

        // Slow, but within the pause at every step, and a line that comes in two pieces.
        let (pieces, body) = streamed();
        let sending = tokio::spawn(service.put(BLABAERLIA, "").body(body).send());
        for piece in [&good[..30], &good[30..60], &good[60..]] {
            tokio::time::sleep(Duration::from_millis(600)).await;
            pieces.send(Ok(piece.to_owned())).await.unwrap();
        }
        drop(pieces);
        assert_eq!(sending.await.unwrap().unwrap().status(), 200, "{caching:?}");
        assert_eq!(
            service.listed(&who[1]).await.as_array().unwrap().len(),
            1,
            "{caching:?}"
        );
    }
}

/// Waits no longer than a call may take while a set is coming in.
async fn at_once(request: reqwest::RequestBuilder) -> u16 {
    let answer = tokio::time::timeout(Duration::from_secs(2), request.send()).await;
    answer.expect("answered at once").unwrap().status().as_u16()
}

#[tokio::test]
async fn kfr_calls_during_a_slow_whole_set_are_answered_at_once_and_hold_in_the_new_set() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(7).collect();
        let [stays, leaves, comes, in_batch, undone, in_both, sent_late] = &who[..] else {
            unreachable!()
        };
        let register = "?register=KFR";
        let former = [stays, leaves, undone]
            .map(|customer| line(customer, "unknown", ""))
            .concat();
        put(&service, GRANSKAUEN, register, &former).await;

        let (pieces, body) = streamed();
        let sending = tokio::spawn(service.put(GRANSKAUEN, register).body(body).send());
        let first = [stays, leaves, undone]
            .map(|customer| line(customer, "unknown", ""))
            .concat();
        pieces.send(Ok(first)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;

        assert_eq!(
            at_once(service.kfr(Method::POST, GRANSKAUEN, comes)).await,
            201,
            "{caching:?}"
        );
        assert_eq!(
            at_once(service.kfr(Method::POST, GRANSKAUEN, in_both)).await,
            201,
            "{caching:?}"
        );
        assert_eq!(
            at_once(service.kfr(Method::DELETE, GRANSKAUEN, leaves)).await,
            204,
            "{caching:?}"
        );
        assert_eq!(
            at_once(service.kfr(Method::DELETE, GRANSKAUEN, undone)).await,
            204,
            "{caching:?}"
        );
        assert_eq!(
            at_once(service.kfr(Method::POST, GRANSKAUEN, undone)).await,
            201,
            "{caching:?}"
        );
        assert_eq!(
            at_once(service.kfr_batch(GRANSKAUEN, in_batch)).await,
            201,
            "{caching:?}"
        );
        let holds = async |service: &Service, moment: &str, sent_late_stands: bool| {
            for (customer, listed) in [
                (stays, true),
                (comes, true),
                (in_both, true),
                (in_batch, true),
                (undone, true),
                (leaves, false),
            ] {
                let found = service.listed(customer).await != json!([]);
                assert_eq!(
                    found,
                    listed,
                    "{caching:?} {moment}: {}",
                    who.iter().position(|w| w == customer).unwrap()
                );
            }
            assert_eq!(
                service.listed(sent_late).await != json!([]),
                sent_late_stands,
                "{caching:?} {moment}"
            );
            let since = service.listed_between(in_both, "2016-01-01", "2016-01-01").await;
            assert_eq!(
                since != json!([]),
                sent_late_stands,
                "the set knows an earlier start"
            );
        };
        holds(&service, "in the former set", false).await;
        let rest = [sent_late, in_both]
            .map(|customer| line(customer, "unknown", ""))
            .concat();
        pieces.send(Ok(rest)).await.unwrap();
        drop(pieces);
        let receipt: Value = sending.await.unwrap().unwrap().json().await.unwrap();
        assert_eq!(
            (&receipt["state"], &receipt["stored"]),
            (&json!("published"), &json!(5)),
            "{receipt}"
        );
        holds(&service, "in the new set", true).await;

        service.kill_and_restart().await;
        holds(&service, "after a kill", true).await;
    }
}

#[tokio::test]
async fn two_whole_sets_at_once_leave_one_of_them_whole() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(400).collect();
        let (one, two) = who.split_at(200);
        let set = |who: &[String]| {
            who.iter()
                .map(|customer| line(customer, "owner", ""))
                .collect::<String>()
        };
        let send = |who: &[String]| service.put(BLABAERLIA, "").body(set(who)).send();
        let (first, second) = tokio::join!(send(one), send(two));
        for answer in [first.unwrap(), second.unwrap()] {
            assert!(
                [200, 409].contains(&answer.status().as_u16()),
                "{}",
                answer.status()
            );
        }
        let stands = async |customer: &str| service.listed(customer).await != json!([]);
        let first_stands = stands(&one[0]).await;
        for (a, b) in one.iter().zip(two).step_by(20) {
            assert_eq!(
                (stands(a).await, stands(b).await),
                (first_stands, !first_stands),
                "{caching:?}"
            );
        }
    }
}
