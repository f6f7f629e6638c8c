//! A service that fails on purpose: what `push` sends again, and what it leaves.

use super::{file, push};
use crate::commands::{done, refused, text};
use crate::harness::free_address;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

pub const BANK: &str = "210011013";
pub const SET: &str = "{\"customerID\":\"17912099997\",\"role\":\"owner\",\"fromDate\":\"2020-01-01\"}\n";

/// A service that gives these answers, and then its receipts.
pub struct Failing(pub ManuallyDrop<MockServer>);

impl Failing {
    pub async fn start(answers: Vec<ResponseTemplate>) -> Self {
        let server = MockServer::start().await;
        for answer in answers {
            let once = Mock::given(any()).respond_with(answer).up_to_n_times(1);
            once.mount(&server).await;
        }
        let receipt = json!({"deliveryID": "0199", "state": "published", "read": 1});
        let published = ResponseTemplate::new(200).set_body_json(receipt);
        Mock::given(any()).respond_with(published).mount(&server).await;
        Self(ManuallyDrop::new(server))
    }

    pub async fn requests(&self) -> Vec<Request> {
        self.0.received_requests().await.unwrap()
    }

    pub async fn push(&self, more: &[&str], input: &[u8]) -> std::process::Output {
        push(&self.0.uri(), BANK, "a.b.c", more, input).await
    }
}

pub fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).map(|value| value.to_str().unwrap())
}

/// All the same delivery: one key, one body.
pub fn assert_same(requests: &[Request], body: &[u8]) {
    let keys: BTreeSet<_> = requests
        .iter()
        .map(|request| header(request, "Idempotency-Key"))
        .collect();
    assert!(keys.len() == 1 && !keys.contains(&None), "{keys:?}");
    assert!(requests.iter().all(|request| request.body == body));
}

#[tokio::test]
async fn not_now_is_asked_again_with_the_same_key_when_the_service_says() {
    let answers = vec![
        ResponseTemplate::new(503).insert_header("Retry-After", "1"),
        ResponseTemplate::new(429).insert_header("Retry-After", "0"),
        ResponseTemplate::new(409).insert_header("Retry-After", "0"),
        ResponseTemplate::new(502).set_body_string("<html>"),
    ];
    let service = Failing::start(answers).await;
    let (_folder, path) = file(SET);
    let began = Instant::now();
    let output = service.push(&["--file", text(&path), "--json"], b"").await;
    assert!(began.elapsed() > Duration::from_secs(1));
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(told.contains("status 503; attempt 2 of 5"), "{told}");
    assert!(!told.contains("a.b.c") && !told.contains("17912099997"), "{told}");
    let receipt: Value = serde_json::from_str(&done(output)).unwrap();
    assert_eq!(receipt["deliveryID"], "0199");
    let requests = service.requests().await;
    assert_eq!(requests.len(), 5);
    assert_same(&requests, SET.as_bytes());
    let first = &requests[0];
    assert_eq!(
        first.url.path(),
        format!("/v2/financialInstitutions/{BANK}/relationships")
    );
    assert_eq!((first.method.as_str(), first.url.query()), ("PUT", None));
    assert_eq!(header(first, "Content-Type"), Some("application/x-ndjson"));
    assert_eq!(header(first, "Content-Encoding"), None);
    assert_eq!(
        header(first, "Content-Length"),
        Some(SET.len().to_string().as_str())
    );
    assert_eq!(header(first, "Transfer-Encoding"), None);
    assert_eq!(header(first, "Authorization"), Some("Bearer a.b.c"));
}

#[tokio::test]
async fn attempts_are_bounded_and_a_refusal_is_not_asked_again() {
    let not_now = |_| ResponseTemplate::new(504).insert_header("Retry-After", "0");
    let service = Failing::start((0..9).map(not_now).collect()).await;
    let (_folder, path) = file(SET);
    let output = service
        .push(&["--file", text(&path), "--attempts", "3"], b"")
        .await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(service.requests().await.len(), 3);
    for status in [400, 401, 403, 404, 409, 413, 422, 500, 302] {
        let body = json!({"errorCode": "KFR-000", "errorMessage": "No", "correlationID": "c"});
        let service = Failing::start(vec![ResponseTemplate::new(status).set_body_json(body)]).await;
        let output = service
            .push(&["--file", text(&path), "--idempotency-key", "k"], b"")
            .await;
        assert!(refused(output).contains("KFR-000"), "{status}");
        assert_eq!(service.requests().await.len(), 1, "{status}");
    }
    let service = Failing::start(vec![ResponseTemplate::new(200).set_body_string("<html>")]).await;
    let said = refused(
        service
            .push(&["--file", text(&path), "--idempotency-key", "k"], b"")
            .await,
    );
    assert!(said.contains("no receipt"), "{said}");
}

#[tokio::test]
async fn nobody_there_is_a_failure_after_the_attempts() {
    let (_folder, path) = file(SET);
    let url = format!("http://{}", free_address());
    let output = push(
        &url,
        BANK,
        "a.b.c",
        &["--file", text(&path), "--attempts", "2"],
        b"",
    )
    .await;
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("attempt 2 of 2") && told.contains("kundeforhold: the call failed"),
        "{told}"
    );
}

#[tokio::test]
async fn a_cut_connection_is_tried_again_with_what_standard_input_said() {
    let service = Failing::start(vec![]).await;
    let set = SET.repeat(20_000);
    for lose in [Lose::Body, Lose::Answer] {
        service.0.reset().await;
        let receipt = json!({"deliveryID": "0199", "state": "published"});
        let published = ResponseTemplate::new(200).set_body_json(receipt);
        Mock::given(any()).respond_with(published).mount(&service.0).await;
        let url = cut_first(lose, service.0.address().to_string());
        let output = push(&url, BANK, "a.b.c", &["--file", "-"], set.as_bytes()).await;
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(
            told.contains("attempt 2 of 5") && !told.contains("attempt 3"),
            "{told}"
        );
        assert!(done(output).contains("0199"));
        let requests = service.requests().await;
        assert_eq!(requests.len(), if lose == Lose::Answer { 2 } else { 1 });
        assert_same(&requests, set.as_bytes());
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Lose {
    /// The connection breaks while the body is being sent.
    Body,
    /// All of it arrives, but the answer is lost.
    Answer,
}

/// A proxy whose first connection breaks.
fn cut_first(lose: Lose, service: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (nth, client) in listener.incoming().enumerate() {
            let (mut client, upstream) = (client.unwrap(), TcpStream::connect(&service).unwrap());
            if nth == 0 && lose == Lose::Body {
                client.read_exact(&mut [0; 10_000]).unwrap();
                continue;
            }
            let (from_client, to_service) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            std::thread::spawn(move || pass_on(from_client, to_service));
            if nth == 0 {
                let mut answer = upstream;
                let _ = answer.read(&mut [0; 10]).unwrap();
                client.shutdown(std::net::Shutdown::Both).unwrap();
            } else {
                std::thread::spawn(move || pass_on(upstream, client));
            }
        }
    });
    address
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..count]).is_err() {
            return;
        }
    }
}
