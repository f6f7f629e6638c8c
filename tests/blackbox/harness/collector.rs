//! Takes spans as an OTLP collector does, and keeps what it was sent.

use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub struct Collector(ManuallyDrop<MockServer>);

impl Collector {
    pub async fn start() -> Self {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/v1/traces"))
            .and(header("content-type", "application/x-protobuf"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        Self(ManuallyDrop::new(server))
    }

    /// Lines of configuration that send every span here.
    pub fn configuration(&self) -> String {
        format!(
            "[traces]\notlp_endpoint = \"{}/v1/traces\"\nsampled_percent = 100\n",
            self.0.uri()
        )
    }

    /// All bodies, one after the other.
    pub async fn received(&self) -> Vec<u8> {
        let requests = self.0.received_requests().await.unwrap_or_default();
        requests.into_iter().flat_map(|request| request.body).collect()
    }

    pub async fn wait_for(&self, bytes: &[u8]) {
        let started = Instant::now();
        while !contains(&self.received().await, bytes) {
            assert!(started.elapsed() < Duration::from_secs(20), "no such span came");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
