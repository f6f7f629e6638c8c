//! The calls that banks make, complete with all headers; a test changes what it is about.

use super::{Service, world};
use futures_util::stream;
use reqwest::{Body, Method, RequestBuilder, Response};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

pub const CORRELATION: &str = "0d1f7a58-6e1a-4f7e-9d4b-00000000cafe";
/// Separates the parts of [`form`].
pub const BOUNDARY: &str = "------------------------a1b2c3";

impl Service {
    /// `POST` or `DELETE …/relationshipType/DSOPBANK`.
    pub fn kfr(&self, method: Method, bank: &str, customer: &str) -> RequestBuilder {
        let path = format!("/kar-ws/api/v1/customers/financialInstitutions/{bank}/relationshipType/DSOPBANK");
        self.bank_call(method, bank, &path).header("CustomerID", customer)
    }

    /// `POST …/batch` with these customers.
    pub fn kfr_batch(&self, bank: &str, customers: &str) -> RequestBuilder {
        let form = form(&[
            ("name=\"customer_type\"", "DSOPBANK"),
            ("name=\"customers\"", customers),
        ]);
        self.kfr_form(bank, &format!("multipart/form-data; boundary={BOUNDARY}"), form)
    }

    /// `POST …/batch` with any body.
    pub fn kfr_form(&self, bank: &str, content_type: &str, body: impl Into<Body>) -> RequestBuilder {
        let path = format!("/kar-ws/api/v1/customers/financialInstitutions/{bank}/batch");
        self.bank_call(Method::POST, bank, &path)
            .header("Content-Type", content_type)
            .body(body)
    }

    /// A bank's own registration of a customer, read back.
    pub fn kfr_own(&self, bank: &str, customer: &str) -> RequestBuilder {
        let path = format!("/kar-ws/api/v1/customers/financialInstitutions/{bank}/");
        self.bank_call(Method::GET, bank, &path)
            .header("CustomerID", customer)
    }

    fn bank_call(&self, method: Method, bank: &str, path: &str) -> RequestBuilder {
        self.http
            .request(method, self.url(path))
            .bearer_auth(self.issuer.bank_token(bank))
            .header("CorrelationID", CORRELATION)
    }

    /// A call of `/v2` on the bank's own path, which goes on with `tail`.
    pub fn v2(&self, method: Method, bank: &str, tail: &str) -> RequestBuilder {
        self.bank_call(method, bank, &format!("/v2/financialInstitutions/{bank}/{tail}"))
    }

    /// `PUT …/relationships`, its body still to be given.
    pub fn put(&self, bank: &str, query: &str) -> RequestBuilder {
        let path = format!("/v2/financialInstitutions/{bank}/relationships{query}");
        self.http
            .put(self.url(&path))
            .bearer_auth(self.issuer.bank_token(bank))
    }

    /// What an agency is told about a customer of today, ownership included.
    pub async fn listed(&self, customer: &str) -> Value {
        let today = world::today().to_string();
        self.listed_between(customer, &today, &today).await
    }

    /// What an agency is told about a customer of a period, ownership included.
    pub async fn listed_between(&self, customer: &str, from: &str, to: &str) -> Value {
        let request = self.relationships(customer, from, to);
        let response = request.query(&[("onlyPrimaryOwner", "false")]).send().await;
        let response = response.unwrap();
        assert_eq!(response.status(), 200, "{}", self.log());
        response.json::<Value>().await.unwrap()["banks"].take()
    }

    /// Whether any bank is listed for a customer on one day.
    pub async fn is_listed_on(&self, customer: &str, day: impl ToString) -> bool {
        let day = day.to_string();
        self.listed_between(customer, &day, &day).await != serde_json::json!([])
    }

    /// Puts another participants file in place, rings the bell, and waits until the log tells of it.
    pub async fn replace_participants(&self, text: &str, outcome: &str) {
        let told = self.log().matches(outcome).count();
        std::fs::write(self.directory.path().join("participants.toml"), text).unwrap();
        self.signal("-HUP");
        self.wait_until(|| self.log().matches(outcome).count() > told)
            .await;
    }

    /// The same for what the metrics say.
    pub async fn wait_until_metrics(&self, condition: impl Fn(&str) -> bool) {
        let started = Instant::now();
        while !condition(&self.metrics().await) {
            assert!(started.elapsed() < Duration::from_secs(20), "in vain");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn wait_until(&self, condition: impl Fn() -> bool) {
        let started = Instant::now();
        // The connections of this process, too, go on only while something is awaited.
        tokio::time::sleep(Duration::from_millis(20)).await;
        while !condition() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "in vain:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A multipart form: what stands after `form-data; ` in each part's header, and its content.
pub fn form(parts: &[(&str, &str)]) -> String {
    let part = |(header, content): &(&str, &str)| {
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {header}\r\n\r\n{content}\r\n")
    };
    parts.iter().map(part).collect::<String>() + &format!("--{BOUNDARY}--\r\n")
}

/// A body that comes in piece by piece; an error breaks the connection.
pub fn streamed() -> (mpsc::Sender<Result<String, std::io::Error>>, Body) {
    let (pieces, taken) = mpsc::channel(1);
    let stream = stream::unfold(taken, async |mut taken| {
        taken.recv().await.map(|piece| (piece, taken))
    });
    (pieces, Body::wrap_stream(Box::pin(stream)))
}

/// An error's code, after its status and the marks of every error were checked.
pub async fn code_of(response: Response, status: u16) -> String {
    let found = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(found, status, "{text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    assert!(
        body["errorMessage"].is_string() && body["timestamp"].is_string(),
        "{body}"
    );
    assert!(body["correlationID"].is_string(), "{body}");
    body["errorCode"].as_str().unwrap().to_owned()
}
