//! SIGTERM: readiness off, what runs is finished, exit code 0.

use super::{BLABAERLIA, Told, is_listed, told, truths};
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Service};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_finishes_what_runs() {
    for engine in ENGINES {
        let service = Service::start_with(engine, "[server]\ndrain_seconds = 1\n").await;
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
        assert!(!service.is_ready().await, "{engine:?}: draining is not ready");
        assert_eq!(
            told(&service, &truths[0].0, &truths[0].1).await,
            Told::Right,
            "{engine:?}: still served"
        );
        tokio::time::sleep(Duration::from_millis(900)).await;
        pieces.send(Ok(lines.next().unwrap())).await.unwrap();
        drop(pieces);
        assert_eq!(
            delivering.await.unwrap().unwrap().status(),
            200,
            "{engine:?}: a delivery under way is finished"
        );
        for task in asking {
            assert!(task.await.unwrap() > 10, "{engine:?}");
        }
        let mut service = Arc::into_inner(service).unwrap();
        assert_eq!(
            service.terminate().code(),
            Some(0),
            "{engine:?}:\n{}",
            service.log()
        );
        assert!(service.log().contains("\"stopped\""), "{engine:?}");
        service.start_again();
        service.wait_until_ready().await;
        assert!(is_listed(&service, &people().nth(1).unwrap()).await, "{engine:?}");
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
    for engine in ENGINES {
        for signal in ["-TERM", "-INT"] {
            let mut service = Service::start(engine).await;
            let started = std::time::Instant::now();
            service.signal(signal);
            assert_eq!(service.terminate().code(), Some(0), "{engine:?} {signal}");
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "{:?}",
                started.elapsed()
            );
        }
    }
}
