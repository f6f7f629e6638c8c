//! HTTP itself: bodies that are asked for, refused and announced, upgrades, what is no request, and who does not read.

use crate::harness::{Caching, Service, world};
use crate::tls::authority::{Authority, Connection, Files};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const BANK: &str = "210099093";

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(&service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn send(mut stream: &TcpStream, text: impl AsRef<[u8]>) {
    stream.write_all(text.as_ref()).unwrap();
}

/// One answer: its status, its head in lower case, and its body.
fn read(stream: &TcpStream) -> (u16, String, String) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        head += &std::mem::take(&mut line).to_ascii_lowercase();
    }
    let status = head
        .split(' ')
        .nth(1)
        .unwrap_or_else(|| panic!("{head}"))
        .parse()
        .unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    (status, head, String::from_utf8(body).unwrap())
}

fn put(token: &str, more: &str) -> String {
    format!(
        "PUT /v2/financialInstitutions/{BANK}/relationships?register=KAR HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {token}\r\n{more}\r\n"
    )
}

fn lookup(service: &Service, more: &str) -> String {
    let (today, token) = (world::today(), service.issuer.agency_token());
    format!(
        "GET /v2/customers/customerRelationships?fromDate={today}&toDate={today} HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {token}\r\nCorrelationID: 0d1f7a58-6e1a-4f7e-9d4b-00000000cafe\r\n\
         AccountInfoRequestID: 0d1f7a58-6e1a-4f7e-9d4b-00000000cafe\r\nLegal-Mandate: Test\r\n\
         CustomerID: 13897210066\r\n{more}\r\n"
    )
}

fn error_code(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {body}"));
    body["errorCode"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_once_the_token_holds() {
    let service = Service::start(Caching::Without).await;
    let line = "{\"customerID\":\"13897210066\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}\n";
    let expecting = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", line.len());
    let good = connect(&service);
    send(&good, put(&service.issuer.bank_token(BANK), &expecting));
    assert_eq!(read(&good).0, 100);
    send(&good, line);
    assert_eq!(read(&good).0, 200);

    for token in [
        "a.b.c",
        &service.issuer.token(BANK, "bits:kundeforhold.write")[1..],
    ] {
        let bad = connect(&service);
        send(&bad, put(token, &expecting));
        let (status, head, body) = read(&bad);
        assert_eq!((status, error_code(&body).as_str()), (401, "KFR-001"), "{head}");
        assert!(
            head.contains("www-authenticate: bearer error=") && head.contains("correlationid: "),
            "{head}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_too_great_is_refused_before_anything_comes() {
    let configuration = "[delivery]\nmax_body_bytes = 10000\nmax_batch_bytes = 10000\n";
    let service = Service::start_with(Caching::Without, configuration).await;
    let token = service.issuer.bank_token(BANK);
    let stream = connect(&service);
    send(&stream, put(&token, "Content-Length: 10001\r\n"));
    let (status, _, body) = read(&stream);
    assert_eq!((status, error_code(&body).as_str()), (413, "KFR-013"));
    assert!(body.contains("10000 bytes"), "{body}");
    let stream = connect(&service);
    send(
        &stream,
        format!(
            "POST /kar-ws/api/v1/customers/financialInstitutions/{BANK}/batch HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {token}\r\nCorrelationID: 0d1f7a58-6e1a-4f7e-9d4b-00000000cafe\r\n\
             Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 10001\r\n\r\n"
        ),
    );
    let (status, _, body) = read(&stream);
    assert_eq!((status, error_code(&body).as_str()), (413, "KFR-013"));
}

/// As clients do that look for an answer only once all is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_can_read_its_answer() {
    let service = Service::start(Caching::Without).await;
    let piece = vec![b' '; 1 << 16];
    let pieces = 60;
    for chunked in [false, true] {
        let stream = connect(&service);
        let framing = match chunked {
            true => "Transfer-Encoding: chunked\r\n".to_owned(),
            false => format!("Content-Length: {}\r\n", pieces * piece.len()),
        };
        send(&stream, put("a.b.c", &framing));
        for _ in 0..pieces {
            if chunked {
                send(&stream, format!("{:x}\r\n", piece.len()));
            }
            send(&stream, &piece);
            if chunked {
                send(&stream, "\r\n");
            }
            // Slower than the service is at refusing, for some seconds.
            std::thread::sleep(Duration::from_millis(50));
        }
        if chunked {
            send(&stream, "0\r\n\r\n");
        }
        let (status, _, body) = read(&stream);
        assert_eq!(
            (status, error_code(&body).as_str()),
            (401, "KFR-001"),
            "chunked: {chunked}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_are_ignored_whatever_they_name() {
    let service = Service::start(Caching::Without).await;
    for upgrade in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "connection: keep-alive, upgrade\r\nupgrade: TLS/1.2, other\r\n",
    ] {
        let stream = connect(&service);
        for call in 0..3 {
            send(&stream, lookup(&service, upgrade));
            let (status, head, body) = read(&stream);
            assert_eq!(status, 200, "{upgrade}: call {call}: {body}");
            assert!(
                !head.contains("upgrade") && !head.contains("connection: close"),
                "{head}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_answered_in_our_form() {
    let service = Service::start_with(Caching::Without, "[server]\nrequest_head_seconds = 1\n").await;
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(200_000));
    let coded = put("a.b.c", "Transfer-Encoding: gzip, chunked\r\n");
    for (sent, status, code, words) in [
        ("NOT A REQUEST\r\n\r\n", 400, "ERR-005", ""),
        ("GET / HTTP/1.1\r\n\r\n", 400, "ERR-005", ""),
        (
            coded.as_str(),
            400,
            "ERR-005",
            "Transfer-Encoding must be chunked",
        ),
        (
            &format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
            431,
            "ERR-009",
            "96 header fields",
        ),
        (&endless, 431, "ERR-009", ""),
        ("GET / HTTP/1.1\r\n", 408, "ERR-009", ""),
    ] {
        let stream = connect(&service);
        send(&stream, sent);
        let (found, head, body) = read(&stream);
        let start = &sent[..sent.len().min(60)];
        assert_eq!(
            (found, error_code(&body).as_str()),
            (status, code),
            "{start}: {body}"
        );
        assert!(body.contains(words), "{start}: {body}");
        for header in [
            "correlationid: ",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "connection: close",
        ] {
            assert!(head.contains(header), "{header} of {start}: {head}");
        }
    }
    let metrics = service.metrics().await;
    assert!(
        metrics.contains("kundeforhold_requests_total{endpoint=\"none\",status=\"400\""),
        "counted"
    );
    assert!(
        !service.log().contains("\"level\":\"ERROR\""),
        "{}",
        service.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_closed() {
    let service = Service::start_with(Caching::Without, "[server]\nwrite_timeout_seconds = 2\n").await;
    let stream = connect(&service);
    // The page's largest file, over and over: more than the system holds.
    let ask = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(16);
    send(&stream, ask);
    let began = Instant::now();
    service
        .wait_until_metrics(|metrics| {
            metrics.contains("kundeforhold_connections_closed_total{reason=\"not_read\"} 1")
        })
        .await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let answer = service
        .http
        .get(service.url("/openapi-3.0.json"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["openapi"], "3.0.3");
    drop(stream);
}

/// A client of HTTP/2 decides how much is sent to it, and may let answers wait.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_bounded_in_time_and_size() {
    let authority = Authority::new();
    let files = Files::new(&authority, 1);
    let bounds = "[server]\nwrite_timeout_seconds = 2\nmax_connection_unsent_bytes = 2000000\n";
    let service = Service::start_with(Caching::Without, &(files.configuration() + bounds)).await;
    let closed = |count: u32| {
        let line = format!("kundeforhold_connections_closed_total{{reason=\"not_read\"}} {count}\n");
        move |metrics: &str| metrics.contains(&line)
    };
    let mut one = Connection::with_closed_windows(&service.address, &authority);
    one.ask(1, "/openapi.json");
    let began = Instant::now();
    service.wait_until_metrics(closed(1)).await;
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    let mut many = Connection::with_closed_windows(&service.address, &authority);
    let began = Instant::now();
    for stream in 0..60 {
        many.ask(2 * stream + 1, "/docs/swagger-ui-bundle.js");
    }
    service.wait_until_metrics(closed(2)).await;
    assert!(
        began.elapsed() < Duration::from_millis(1_900),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_http_2_end_with_the_drain() {
    let authority = Authority::new();
    let files = Files::new(&authority, 1);
    let mut service = Service::start_with(Caching::Without, &files.configuration()).await;
    let mut idle = Connection::with_closed_windows(&service.address, &authority);
    let ended = std::thread::spawn(move || idle.wait_for_end());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    assert!(service.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    ended.join().unwrap();
}

/// What comes after a body's last chunk and never ends takes a turn and a connection for a bounded time.
#[tokio::test]
async fn trailers_without_an_end_are_bounded() {
    let bounds = "[delivery]\npause_seconds = 1\n[server]\nwrite_timeout_seconds = 2\n";
    let service = Service::start_with(Caching::Without, bounds).await;
    let token = service.issuer.bank_token(BANK);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let requests = [
        (
            "a delivery",
            put(
                &token,
                &format!("{chunked}Content-Type: application/x-ndjson\r\n"),
            ),
        ),
        ("a delivery that is refused", put("x.y.z", chunked)),
        ("a lookup", lookup(&service, chunked)),
        (
            "what is not here",
            format!("POST /nowhere HTTP/1.1\r\nHost: x\r\n{chunked}\r\n"),
        ),
    ];
    for (what, head) in requests {
        for rest in ["a: b\r\n".repeat(1000), "a".repeat(6000)] {
            let stream = connect(&service);
            send(&stream, format!("{head}0\r\n"));
            let began = Instant::now();
            let mut sent = 0;
            while (&stream).write_all(rest.as_bytes()).is_ok() {
                sent += rest.len();
                assert!(
                    began.elapsed() < Duration::from_secs(15),
                    "{what}: {sent} bytes and on"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    assert!(service.is_ready().await);
}

/// What is sent on a connection that idled for longer, after an answer to a request with a body, is the next request.
#[tokio::test]
async fn after_a_body_and_a_long_pause_the_connection_still_serves() {
    let service = Service::start_with(Caching::Without, "[server]\nwrite_timeout_seconds = 1\n").await;
    let stream = connect(&service);
    for _ in 0..3 {
        send(&stream, lookup(&service, "Content-Length: 2\r\n") + "{}");
        assert_eq!(read(&stream).0, 200);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    send(&stream, put("x.y.z", "Content-Length: 2\r\n") + "{}");
    assert_eq!(read(&stream).0, 401);
}
