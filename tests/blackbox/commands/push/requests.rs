//! What `push` sends: the file as it is, its options as parameters and headers, a token for each attempt.

use super::failures::{BANK, Failing, SET, assert_same, header};
use super::file;
use crate::commands::{done, program, text};
use crate::harness::{PROGRAM, free_address};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wiremock::ResponseTemplate;

#[tokio::test]
async fn compressed_files_are_sent_as_they_are() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(SET.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(SET.as_bytes(), 1).unwrap();
    for (content, encoding) in [(gzip, "gzip"), (zstd, "zstd")] {
        let service = Failing::start(vec![]).await;
        let (_folder, path) = file(&content);
        done(service.push(&["--file", text(&path)], b"").await);
        done(service.push(&["--file", "-"], &content).await);
        let requests = service.requests().await;
        assert_eq!(requests.len(), 2);
        for request in &requests {
            assert_eq!(header(request, "Content-Encoding"), Some(encoding));
            assert_eq!(request.body, content);
        }
        assert_ne!(
            header(&requests[0], "Idempotency-Key"),
            header(&requests[1], "Idempotency-Key")
        );
    }
}

#[tokio::test]
async fn options_become_parameters_and_headers() {
    let service = Failing::start(vec![]).await;
    let (_folder, path) = file(SET);
    let shared = [
        "--file",
        text(&path),
        "--idempotency-key",
        "2026-11-20 no. 1",
        "--max-rejects",
        "3",
    ];
    done(
        service
            .push(
                &[&shared[..], &["--register", "KFR", "--confirm-shrink"]].concat(),
                b"",
            )
            .await,
    );
    done(
        service
            .push(&[&shared[..], &["--changes", "--sequence", "17"]].concat(), b"")
            .await,
    );
    let requests = service.requests().await;
    assert_eq!(
        requests[0].url.query(),
        Some("register=KFR&maxRejects=3&confirmShrink=true")
    );
    assert_eq!(header(&requests[0], "Delivery-Sequence"), None);
    let changes = &requests[1];
    assert_eq!(changes.method.as_str(), "POST");
    assert!(
        changes.url.path().ends_with("/relationships/changes"),
        "{}",
        changes.url
    );
    assert_eq!(changes.url.query(), Some("maxRejects=3"));
    assert_eq!(header(changes, "Delivery-Sequence"), Some("17"));
    assert_eq!(header(changes, "Idempotency-Key"), Some("2026-11-20 no. 1"));
}

#[tokio::test]
async fn every_attempt_has_a_token_of_its_own() {
    let answers = vec![ResponseTemplate::new(503).insert_header("Retry-After", "0")];
    let service = Failing::start(answers).await;
    let (folder, path) = file(SET);
    let (address, key) = (free_address(), folder.path().join("client.pem"));
    let mut issuer = Command::new(PROGRAM)
        .args([
            "issuer",
            "--listen",
            &address,
            "--bank",
            BANK,
            "--key-file",
            text(&key),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let name = format!("http://{address}/");
    let endpoint = format!("{name}token");
    let client = format!("bank-{BANK}");
    let url = service.0.uri();
    let mut command = program(&["push", "--url", &url, "--bank", BANK, "--file", text(&path)]);
    command.args([
        "--client-id",
        &client,
        "--key",
        text(&key),
        "--token-endpoint",
        &endpoint,
    ]);
    command.args(["--issuer", &name]);
    // The key is there as soon as the issuer is; until it listens, attempts pass.
    let started = Instant::now();
    while !key.exists() {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    done(output);
    issuer.kill().unwrap();
    issuer.wait().unwrap();
    let requests = service.requests().await;
    assert_eq!(requests.len(), 2);
    assert_same(&requests, SET.as_bytes());
    let tokens: BTreeSet<_> = requests
        .iter()
        .map(|request| header(request, "Authorization"))
        .collect();
    assert_eq!(tokens.len(), 2);
}

#[tokio::test]
async fn lines_that_were_left_out_are_told_beside_the_receipt() {
    let receipt = json!({"deliveryID": "0199", "state": "published", "rejected": 2});
    let published = ResponseTemplate::new(200).set_body_json(&receipt);
    let service = Failing::start(vec![published]).await;
    let (_folder, path) = file(SET);
    let arguments = [
        "--file",
        text(&path),
        "--max-rejects",
        "2",
        "--json",
        "--idempotency-key",
        "k",
    ];
    let output = service.push(&arguments, b"").await;
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(
        told.trim_end(),
        "2 bad lines were left out; `kundeforhold receipts --delivery 0199 --rejects` tells which"
    );
    assert_eq!(serde_json::from_str::<Value>(&done(output)).unwrap(), receipt);
}
