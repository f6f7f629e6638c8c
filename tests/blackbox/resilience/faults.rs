//! A disk that fails while the service runs, and the probes that tell of it.

use super::{GRANSKAUEN, Told, told, truths};
use crate::harness::store::Away;
use crate::harness::{Caching, EITHER_WAY, Service};

#[tokio::test]
async fn without_a_record_of_use_nothing_is_answered() {
    for caching in EITHER_WAY {
        let service = Service::start_on_file(caching, "").await;
        service.deliver_world().await;
        let truths = truths(&service).await;
        let away = Away::take(service.record_files());
        for (customer, right) in &truths {
            assert_eq!(
                told(&service, customer, right).await,
                Told::Unavailable,
                "{caching:?}"
            );
        }
        assert!(!service.is_ready().await, "{caching:?}");
        let participants = service.http.get(service.url("/v2/participants"));
        let participants = participants.bearer_auth(service.issuer.agency_token());
        let request = participants.header("CorrelationID", crate::harness::calls::CORRELATION);
        assert_eq!(request.send().await.unwrap().status(), 503, "{caching:?}");
        let own = service.kfr_own(GRANSKAUEN, &truths[0].0).send().await.unwrap();
        assert_eq!(own.status(), 503, "{caching:?}");
        // Refusals are records too.
        let bad = service
            .relationships("13097248032", "x", "y")
            .send()
            .await
            .unwrap();
        assert_eq!(bad.status(), 503, "{caching:?}");
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
                .contains("kundeforhold_record_failures_total")
        );
        away.bring_back();
        service.wait_until_ready().await;
        for (customer, right) in &truths {
            assert_eq!(told(&service, customer, right).await, Told::Right, "{caching:?}");
        }
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_no_answer() {
    let mut service = Service::start(Caching::Without).await;
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
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
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
            assert_eq!(get(path).await.0, 200, "{caching:?}: {path}");
        }
        service.deliver_world().await;
        let metrics = service.metrics().await;
        for name in [
            "kundeforhold_ready 1",
            "kundeforhold_record_head",
            "kundeforhold_requests_total",
            "kundeforhold_request_seconds_bucket",
        ] {
            assert!(metrics.contains(name), "{name}:\n{metrics}");
        }
        let samples = metrics
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        assert!(
            samples
                .into_iter()
                .all(|line| line.starts_with("kundeforhold_") || line.starts_with("process_")),
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
            "{caching:?}"
        );
    }
}
