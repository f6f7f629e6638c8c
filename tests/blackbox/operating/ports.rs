//! Connections that idle, HEAD, and what the management port says of itself.

use crate::harness::{Caching, Service};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// One answer without much of a body; `None`: the connection has ended.
fn ask(mut stream: &TcpStream, path: &str) -> Option<String> {
    write!(stream, "HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn a_connection_that_idles_is_kept_longer_than_proxies_keep_theirs() {
    let mut service = Service::start(Caching::Without).await;
    let ports = [
        (&service.address, "/openapi.json"),
        (&service.management, "/isalive"),
    ];
    let connections = ports.map(|(address, path)| (connect(address), path));
    for (stream, path) in &connections {
        assert!(ask(stream, path).unwrap().starts_with("HTTP/1.1 200"));
    }
    // Longer than the five seconds of the library, which no proxy keeps to.
    tokio::time::sleep(Duration::from_secs(8)).await;
    for (stream, path) in &connections {
        assert!(ask(stream, path).is_some(), "{path}: the connection was ended");
    }
    // What idles does not hold up the end.
    let began = Instant::now();
    assert!(service.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn idle_connections_are_kept_for_as_long_as_is_set() {
    let service = Service::start_with(Caching::Without, "[server]\nkeep_alive_seconds = 1\n").await;
    for (address, path) in [
        (&service.address, "/openapi.json"),
        (&service.management, "/isalive"),
    ] {
        let stream = connect(address);
        assert!(ask(&stream, path).is_some());
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(ask(&stream, path).is_none(), "{address} keeps it");
    }
}

#[tokio::test]
async fn head_is_answered_wherever_get_is() {
    let service = Service::start(Caching::Without).await;
    let management = [
        "/",
        "/isalive",
        "/isready",
        "/internal/isalive",
        "/internal/isready",
        "/metrics",
        "/internal/audit/head",
        "/console",
        "/console/banks",
        "/console/assets/console.css",
    ];
    let public = ["/openapi.json", "/openapi-3.0.json", "/docs/", "/docs/index.html"];
    let addresses = management.map(|path| format!("http://{}{path}", service.management));
    let addresses = addresses.into_iter().chain(public.map(|path| service.url(path)));
    for address in addresses {
        let got = service.http.get(&address).send().await.unwrap();
        let head = service.http.head(&address).send().await.unwrap();
        assert_eq!(head.status(), got.status(), "{address}");
        assert!(got.status().is_success(), "{address}: {}", got.status());
        assert_eq!(
            head.headers().get("content-type"),
            got.headers().get("content-type"),
            "{address}"
        );
        assert!(head.headers().contains_key("content-length"), "{address}");
        assert!(head.bytes().await.unwrap().is_empty(), "{address}");
    }
    // The contract of the calls is GET only.
    let lookup = service
        .http
        .head(service.url("/v2/participants"))
        .send()
        .await
        .unwrap();
    assert_eq!(lookup.status(), 405);
}

#[tokio::test]
async fn the_management_port_says_what_is_there() {
    let service = Service::start(Caching::Without).await;
    let address = |path: &str| format!("http://{}{path}", service.management);
    let told = service
        .http
        .get(address("/"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let paths: Vec<&str> = told.lines().filter(|line| line.starts_with('/')).collect();
    assert!(paths.len() >= 5, "{told}");
    for line in paths {
        let path = line.split_whitespace().next().unwrap();
        let answer = service.http.get(address(path)).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}

#[tokio::test]
async fn metrics_have_the_usual_names_and_no_label_that_scrapers_set() {
    let service = Service::start(Caching::Without).await;
    service.deliver_world().await;
    let told = service.metrics().await;
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        assert!(
            told.lines().any(|line| line.starts_with(&format!("{name} "))),
            "{name}: {told}"
        );
    }
    for label in ["instance=", "job=", "hash="] {
        assert!(
            !told.contains(&format!("{{{label}")) && !told.contains(&format!(",{label}")),
            "{label}"
        );
    }
    assert!(
        told.contains("kundeforhold_bank_info{bank=\"210011013\",name=\"Blåbærlia"),
        "{told}"
    );
    for bound in ["60", "600", "3600"] {
        let of_deliveries = |line: &str| {
            line.starts_with("kundeforhold_request_seconds_bucket")
                && line.contains("/relationships\"")
                && line.contains(&format!("le=\"{bound}\""))
        };
        assert!(told.lines().any(of_deliveries), "{bound}");
    }
}

#[tokio::test]
async fn a_log_line_has_a_severity_where_that_is_set_and_tells_who_did_not_answer() {
    let nobody = crate::harness::free_address();
    let configuration =
        format!("[log]\nseverity = true\n[maskinporten]\njwks_uri = \"http://{nobody}/jwk\"\n");
    let service = Service::launch(Caching::Without, &configuration).await;
    service.wait_until_alive().await;
    let began = Instant::now();
    let line = loop {
        let log = service.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let told = lines
            .into_iter()
            .find(|line| line["message"] == "the issuer's keys could not be fetched");
        if let Some(told) = told {
            break told;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(
        (&line["level"], &line["severity"]),
        (&"WARN".into(), &"WARNING".into())
    );
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.contains(&nobody) && cause.contains("refused"), "{cause}");
}
