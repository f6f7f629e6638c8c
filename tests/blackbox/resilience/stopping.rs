//! SIGTERM: readiness off, what runs is finished, exit code 0.

use super::{BLABAERLIA, Told, is_listed, told, truths};
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_finishes_what_runs() {
    for caching in EITHER_WAY {
        let service = Service::start_with(caching, "[server]\ndrain_seconds = 1\n").await;
        service.deliver_world().await;
        let truths = truths(&service).await;
        let service = Arc::new(service);
        let (pieces, body) = streamed();
        let delivering = tokio::spawn(service.put(BLABAERLIA, "?confirmShrink=true").body(body).send());
        let mut lines = people().take(2).map(|who| {
            format!("{{\"customerID\":\"{who}\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}}\n")
        });
        pieces.send(Ok(lines.next().unwrap())).await.unwrap();

        let asking: Vec<_> = (0..4)
            .map(|_| tokio::spawn(ask_until_refused(Arc::clone(&service), truths.clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        service.signal("-TERM");
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(!service.is_ready().await, "{caching:?}: draining is not ready");
        assert_eq!(
            told(&service, &truths[0].0, &truths[0].1).await,
            Told::Right,
            "{caching:?}: still served"
        );
        tokio::time::sleep(Duration::from_millis(900)).await;
        pieces.send(Ok(lines.next().unwrap())).await.unwrap();
        drop(pieces);
        assert_eq!(
            delivering.await.unwrap().unwrap().status(),
            200,
            "{caching:?}: a delivery under way is finished"
        );
        for task in asking {
            assert!(task.await.unwrap() > 10, "{caching:?}");
        }
        let mut service = Arc::into_inner(service).unwrap();
        assert_eq!(
            service.terminate().code(),
            Some(0),
            "{caching:?}:\n{}",
            service.log()
        );
        assert!(service.log().contains("\"stopped\""), "{caching:?}");
        service.start_again();
        service.wait_until_ready().await;
        assert!(
            is_listed(&service, &people().nth(1).unwrap()).await,
            "{caching:?}"
        );
    }
}

/// Every answer that comes is right, until connections are refused.
async fn ask_until_refused(service: Arc<Service>, truths: Vec<(String, serde_json::Value)>) -> usize {
    let today = crate::harness::world::today().to_string();
    let mut answered = 0;
    for (customer, right) in truths.iter().cycle() {
        let request = service
            .relationships(customer, &today, &today)
            .query(&[("onlyPrimaryOwner", "false")]);
        let Ok(response) = request.send().await else { break };
        assert_eq!(response.status(), 200);
        let body: serde_json::Value = response
            .json()
            .await
            .expect("an answer that was begun is finished");
        // The set that is delivered at the end changes what is told of its bank only.
        if answered < 10 {
            assert_eq!(&body["banks"], right);
        }
        answered += 1;
    }
    answered
}

#[tokio::test]
async fn an_idle_stop_is_prompt() {
    for caching in EITHER_WAY {
        for signal in ["-TERM", "-INT"] {
            let mut service = Service::start(caching).await;
            let started = std::time::Instant::now();
            service.signal(signal);
            assert_eq!(service.terminate().code(), Some(0), "{caching:?} {signal}");
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "{:?}",
                started.elapsed()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_drains_answers_and_closes_the_connection() {
    let service = Service::start_with(Caching::Without, "[server]\ndrain_seconds = 3\n").await;
    let connection_of = async || {
        let answer = service
            .http
            .get(service.url("/openapi.json"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        answer
            .headers()
            .get("connection")
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(connection_of().await, None);
    service.signal("-TERM");
    let started = std::time::Instant::now();
    while service.is_ready().await {
        assert!(started.elapsed() < Duration::from_secs(2));
    }
    assert_eq!(connection_of().await.as_deref(), Some("close"));
}
