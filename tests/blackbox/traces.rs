//! A caller's trace is continued: in the log line, and in the spans that go to a collector.

use crate::harness::ask::Ask;
use crate::harness::collector::{Collector, contains};
use crate::harness::{Caching, Service};
use std::time::{Duration, Instant};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{PARENT}-{flags}")
}

#[tokio::test]
async fn spans_of_a_lookup_continue_the_trace_of_the_caller() {
    let collector = Collector::start().await;
    let service = Service::start_with(Caching::Without, &collector.configuration()).await;
    let told = Ask::relationships(&service)
        .with("traceparent", traceparent(TRACE, "01"))
        .send()
        .await;
    assert_eq!(told.status, 200);
    assert!(!told.headers.contains_key("traceparent"));
    collector.wait_for(&bytes(TRACE)).await;
    let received = collector.received().await;
    for said in [
        bytes(PARENT).as_slice(),
        b"request",
        b"store",
        b"record of use",
        b"http.route",
        b"/v2/customers/customerRelationships",
        b"kundeforhold",
    ] {
        assert!(contains(&received, said), "{:?}", String::from_utf8_lossy(said));
    }
    let line = service.log();
    let line = line
        .lines()
        .find(|line| line.contains("\"message\":\"request\""))
        .unwrap();
    assert!(line.contains(&format!("\"trace\":\"{TRACE}\"")), "{line}");
}

#[tokio::test]
async fn the_caller_decides_whether_its_trace_is_exported() {
    const OTHER: &str = "11111111111111112222222222222222";
    let collector = Collector::start().await;
    let mut service = Service::start_with(Caching::Without, &collector.configuration()).await;
    for (trace, flags) in [(OTHER, "00"), (TRACE, "01")] {
        let told = Ask::account(&service).with("traceparent", traceparent(trace, flags));
        assert_eq!(told.send().await.status, 404);
    }
    // What is still here at the end is sent before the process ends.
    service.terminate();
    let received = collector.received().await;
    assert!(contains(&received, &bytes(TRACE)));
    assert!(!contains(&received, &bytes(OTHER)));
}

#[tokio::test]
async fn without_a_collector_the_trace_is_in_the_log_line_all_the_same() {
    let service = Service::start(Caching::Without).await;
    for sent in [traceparent(TRACE, "01"), format!("00-{TRACE}-x-01")] {
        Ask::participants(&service).with("traceparent", sent).send().await;
    }
    let log = service.log();
    assert_eq!(log.matches(&format!("\"trace\":\"{TRACE}\"")).count(), 1, "{log}");
}

#[tokio::test]
async fn a_collector_that_does_not_answer_neither_slows_answers_nor_holds_up_the_end() {
    // Accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let configuration = format!("[traces]\notlp_endpoint = \"{endpoint}\"\nsampled_percent = 100\n");
    let mut service = Service::start_with(Caching::Without, &configuration).await;
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(Ask::relationships(&service).send().await.status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    let began = Instant::now();
    assert!(service.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(20));
}
