//! A disk that fails while the service runs, and the probes that tell of it.

use super::{GRANSKAUEN, Told, assert_index_agrees_with_journal, is_listed, told, truths};
use crate::harness::calls::code_of;
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Service};
use reqwest::Method;
use std::path::PathBuf;

/// Takes a directory out of the service's reach, by renaming it away: root is not held by permissions.
struct Away {
    here: PathBuf,
    there: PathBuf,
}

impl Away {
    fn take(service: &Service, name: &str) -> Self {
        let here = service.directory.path().join(name);
        let there = service.directory.path().join(format!("{name}.away"));
        std::fs::rename(&here, &there).unwrap();
        Self { here, there }
    }

    fn bring_back(self) {
        let _ = std::fs::remove_dir_all(&self.here);
        std::fs::rename(self.there, self.here).unwrap();
    }
}

#[tokio::test]
async fn without_a_record_of_use_nothing_is_answered() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        service.deliver_world().await;
        let truths = truths(&service).await;
        let away = Away::take(&service, "audit");
        for (customer, right) in &truths {
            assert_eq!(
                told(&service, customer, right).await,
                Told::Unavailable,
                "{engine:?}"
            );
        }
        assert!(!service.is_ready().await, "{engine:?}");
        let participants = service.http.get(service.url("/v2/participants"));
        let participants = participants.bearer_auth(service.issuer.agency_token());
        let request = participants.header("CorrelationID", crate::harness::calls::CORRELATION);
        assert_eq!(request.send().await.unwrap().status(), 503, "{engine:?}");
        let own = service.kfr_own(GRANSKAUEN, &truths[0].0).send().await.unwrap();
        assert_eq!(own.status(), 503, "{engine:?}");
        // Refusals are records too.
        let bad = service
            .relationships("13097248032", "x", "y")
            .send()
            .await
            .unwrap();
        assert_eq!(bad.status(), 503, "{engine:?}");
        let unauthenticated = service
            .http
            .get(service.url("/v2/participants"))
            .send()
            .await
            .unwrap();
        assert_eq!(unauthenticated.status(), 401, "nobody to record");
        assert!(
            service
                .metrics()
                .await
                .contains("kundeforhold_audit_failures_total")
        );
        away.bring_back();
        service.wait_until_ready().await;
        for (customer, right) in &truths {
            assert_eq!(told(&service, customer, right).await, Told::Right, "{engine:?}");
        }
    }
}

#[tokio::test]
async fn without_a_journal_no_delivery_is_acknowledged_and_lookups_go_on() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        let who: Vec<String> = people().take(2).collect();
        assert_eq!(
            service
                .kfr(Method::POST, GRANSKAUEN, &who[0])
                .send()
                .await
                .unwrap()
                .status(),
            201
        );
        let away = Away::take(&service, "journal");
        let refused = service
            .kfr(Method::POST, GRANSKAUEN, &who[1])
            .send()
            .await
            .unwrap();
        assert_eq!(code_of(refused, 503).await, "KFR-016", "{engine:?}");
        let refused = service
            .kfr(Method::DELETE, GRANSKAUEN, &who[0])
            .send()
            .await
            .unwrap();
        assert_eq!(code_of(refused, 503).await, "KFR-016", "{engine:?}");
        assert!(
            is_listed(&service, &who[0]).await && !is_listed(&service, &who[1]).await,
            "{engine:?}"
        );
        away.bring_back();
        let again = service
            .kfr(Method::POST, GRANSKAUEN, &who[1])
            .send()
            .await
            .unwrap();
        assert!(again.status().is_success(), "{engine:?}");
        assert!(is_listed(&service, &who[1]).await, "{engine:?}");
        service.kill();
        service.start_again();
        service.wait_until_ready().await;
        assert!(
            is_listed(&service, &who[0]).await && is_listed(&service, &who[1]).await,
            "{engine:?}"
        );
        service.terminate();
        assert_index_agrees_with_journal(&service);
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_no_answer() {
    let mut service = Service::start(ENGINES[0]).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    service.terminate();
    let log = service.directory.path().join("log.jsonl");
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    service.start_again();
    service.wait_until_ready().await;
    for (customer, right) in &truths {
        assert_eq!(told(&service, customer, right).await, Told::Right);
    }
    assert_eq!(service.terminate().code(), Some(0));
}

#[tokio::test]
async fn probes_and_metrics_are_on_the_management_port_under_both_names() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        let get = async |path: &str| {
            let response = service
                .http
                .get(format!("http://{}{path}", service.management))
                .send()
                .await
                .unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        for path in ["/isalive", "/internal/isalive", "/isready", "/internal/isready"] {
            assert_eq!(get(path).await.0, 200, "{engine:?}: {path}");
        }
        service.deliver_world().await;
        let metrics = service.metrics().await;
        for name in [
            "kundeforhold_ready 1",
            "kundeforhold_audit_head",
            "kundeforhold_requests_total",
            "kundeforhold_request_seconds_bucket",
        ] {
            assert!(metrics.contains(name), "{name}:\n{metrics}");
        }
        let samples = metrics
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        assert!(
            samples.into_iter().all(|line| line.starts_with("kundeforhold_")),
            "{metrics}"
        );
        for path in ["/metrics", "/isready", "/isalive"] {
            let public = service.http.get(service.url(path)).send().await.unwrap();
            assert_eq!(public.status(), 404, "not on the public port: {path}");
        }
        service.issuer.server.reset().await;
        service.kill();
        service.start_again();
        service
            .wait_until(|| service.log().matches("\"listening\"").count() >= 2)
            .await;
        for (path, status) in [
            ("/isalive", 200),
            ("/internal/isalive", 200),
            ("/isready", 503),
            ("/internal/isready", 503),
        ] {
            let response = service
                .http
                .get(format!("http://{}{path}", service.management))
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), status, "without the issuer's keys: {path}");
        }
        assert_eq!(
            service
                .relationships("x", "y", "z")
                .send()
                .await
                .unwrap()
                .status(),
            503,
            "{engine:?}"
        );
    }
}
