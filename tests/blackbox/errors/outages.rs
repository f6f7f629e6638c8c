//! The rows of what is not the caller's fault.

use super::*;
use crate::harness::ask::Ask;
use crate::harness::strace::{READ, Tampered};
use crate::harness::{Caching, EITHER_WAY, Service};

#[tokio::test]
async fn a_defect_is_err_500_and_the_log_has_its_correlation_id() {
    let service = Service::start(Caching::With).await;
    service.deliver_world().await;
    service.spoil_records().await;
    for ask in [Ask::relationships(&service), Ask::account(&service)] {
        let told = ask.send().await;
        assert_error(&told, DEFECT);
        let correlation = told.header("CorrelationID").unwrap().to_owned();
        let log = service.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&correlation)).collect();
        assert!(lines.iter().any(|line| line.contains("500")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("cause")), "{lines:?}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_err_503() {
    for caching in EITHER_WAY {
        let mut service = Service::start_on_file(caching, "").await;
        service.deliver_world().await;
        // So that nothing of it is in memory.
        service.restart().await;
        let errors = async || {
            let metrics = service.metrics().await;
            let told = metrics
                .lines()
                .filter_map(|line| line.strip_prefix("kundeforhold_store_errors_total{"));
            told.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
                .sum::<f64>()
        };
        let before = errors().await;
        let unread = Tampered::begin(&service, READ, "error=EIO");
        for ask in [Ask::relationships(&service), Ask::account(&service)] {
            assert_error(&ask.clone().send().await, UNAVAILABLE);
            assert_error(&ask.send().await, UNAVAILABLE);
        }
        assert!(errors().await >= before + 4.0, "{caching:?}");
        unread.end();
        assert_eq!(Ask::relationships(&service).send().await.status, 200);
    }
}

#[tokio::test]
async fn without_the_issuers_keys_a_call_is_err_503() {
    for caching in EITHER_WAY {
        let nobody = crate::harness::free_address();
        let configuration = format!("[maskinporten]\njwks_uri = \"http://{nobody}/jwk\"");
        let service = Service::launch(caching, &configuration).await;
        service.wait_until_alive().await;
        assert!(!service.is_ready().await);
        for ask in [
            Ask::relationships(&service),
            Ask::account(&service),
            Ask::participants(&service),
        ] {
            assert_error(&ask.clone().send().await, UNAVAILABLE);
            assert_error(&ask.method("POST").send().await, METHOD);
        }
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_in_time_is_err_504() {
    let mut service = Service::start_on_file(Caching::Without, "[store]\ntimeout_milliseconds = 300").await;
    service.deliver_world().await;
    // So that nothing of it is in memory.
    service.restart().await;
    let slow = Tampered::begin(&service, READ, "delay_enter=700000");
    for ask in [Ask::relationships(&service), Ask::account(&service)] {
        assert_error(&ask.send().await, TIMED_OUT);
    }
    slow.end();
    assert_eq!(Ask::relationships(&service).send().await.status, 200);
}
