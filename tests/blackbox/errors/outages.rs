//! The rows of what is not the caller's fault.

use super::*;
use crate::harness::ask::Ask;
use crate::harness::{ENGINES, Engine, Service};

#[tokio::test]
async fn a_defect_is_err_500_and_the_log_has_its_correlation_id() {
    const SPOIL_EVERY_ROW: &str = "for _, key in ipairs(redis.call('KEYS', '{??}[ca]*')) do \
        for _, field in ipairs(redis.call('HKEYS', key)) do redis.call('HSET', key, field, 'what is this') end end";
    let service = Service::start(Engine::Redis).await;
    service.deliver_world().await;
    service
        .redis
        .as_ref()
        .unwrap()
        .command(&["EVAL", SPOIL_EVERY_ROW, "0"]);
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
async fn an_index_that_cannot_serve_is_err_503() {
    let mut service = Service::start(Engine::Redis).await;
    service.redis.as_mut().unwrap().kill();
    for ask in [Ask::relationships(&service), Ask::account(&service)] {
        assert_error(&sent_until(503, &ask).await, UNAVAILABLE);
        assert_error(&ask.send().await, UNAVAILABLE);
    }
}

#[tokio::test]
async fn without_the_issuers_keys_a_call_is_err_503() {
    for engine in ENGINES {
        let nobody = crate::harness::free_address();
        let configuration = format!("[maskinporten]\njwks_uri = \"http://{nobody}/jwk\"");
        let service = Service::launch(engine, &configuration).await;
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
async fn an_index_that_does_not_answer_in_time_is_err_504() {
    let service = Service::start_with(Engine::Redis, "[index]\ntimeout_milliseconds = 300").await;
    service
        .redis
        .as_ref()
        .unwrap()
        .command(&["CLIENT", "PAUSE", "4000", "ALL"]);
    for ask in [Ask::relationships(&service), Ask::account(&service)] {
        assert_error(&ask.send().await, TIMED_OUT);
    }
}

/// The first answer with this status. The state of the index is a quarter of a second old at most.
async fn sent_until(status: u16, ask: &Ask<'_>) -> Told {
    for _ in 0..100 {
        let told = ask.clone().send().await;
        if told.status == status {
            return told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no answer with {status}");
}
