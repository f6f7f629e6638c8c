//! `push`: against the real service, and against one that fails on purpose.

mod failures;
mod requests;

use super::{done, program, refused, text};
use crate::harness::identifiers::people;
use crate::harness::{Caching, Service};
use crate::whole_set::{BLABAERLIA, GRANSKAUEN, line};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use tempfile::TempDir;

/// Runs `push` for a bank, off the thread that the test's own servers may need.
async fn push(url: &str, bank: &str, token: &str, more: &[&str], input: &[u8]) -> Output {
    let mut command = program(&[&["push", "--url", url, "--bank", bank], more].concat());
    command
        .env("KUNDEFORHOLD_TOKEN", token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_vec();
    let run = move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A file that lives as long as its folder.
fn file(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("relationships.ndjson");
    std::fs::write(&path, content).unwrap();
    (directory, path)
}

async fn push_to(service: &Service, bank: &str, more: &[&str], input: &[u8]) -> Output {
    push(
        &service.url(""),
        bank,
        &service.issuer.bank_token(bank),
        more,
        input,
    )
    .await
}

#[tokio::test]
async fn a_bank_pushes_its_whole_set_and_gets_the_receipt() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(3).collect();
    let set = [line(&who[0], "owner", ""), line(&who[1], "other", "")].concat();
    let (_folder, path) = file(&set);
    let table = done(push_to(&service, BLABAERLIA, &["--file", text(&path)], b"").await);
    for shown in [
        "deliveryID",
        "wholeSet",
        "KAR",
        "published",
        "sha256",
        "customers",
    ] {
        assert!(table.contains(shown), "{shown}: {table}");
    }
    assert_eq!(service.listed(&who[0]).await.as_array().unwrap().len(), 1);

    let one = line(&who[2], "owner", "");
    let arguments = ["--file", "-", "--json", "--register", "KFR"];
    let output = push_to(&service, GRANSKAUEN, &arguments, one.as_bytes()).await;
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    let receipt: Value = serde_json::from_str(&done(output)).unwrap();
    assert_eq!(
        (&receipt["state"], &receipt["register"], &receipt["stored"]),
        (&json!("published"), &json!("KFR"), &json!(1))
    );
    assert!(told.contains("the key of this delivery is"), "{told}");
    assert_eq!(told.lines().count(), 1, "no bar where no terminal is: {told}");
    assert_eq!(service.listed(&who[2]).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_rejected_delivery_shows_what_is_wrong_and_no_identifier() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(60).collect();
    let good = line(&who[0], "owner", "");
    let bad: String = who[1..]
        .iter()
        .map(|customer| line(customer, "guarantor", ""))
        .collect();
    let (_folder, path) = file(format!("{good}{bad}"));
    let output = push_to(&service, BLABAERLIA, &["--file", text(&path), "--json"], b"").await;
    assert_eq!(output.status.code(), Some(1));
    let receipt: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&receipt["state"], &receipt["rejected"]),
        (&json!("rejected"), &json!(59))
    );
    assert!(
        who.iter()
            .all(|customer| !receipt.to_string().contains(customer.as_str()))
    );
    let said = String::from_utf8(output.stderr).unwrap();
    for told in [
        "KFR-012",
        "59 bad lines",
        "line 2: role must be owner",
        "line 21:",
        "and 39 more",
        "rejected",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!said.contains("line 22:"), "{said}");
    assert!(
        who.iter().all(|customer| !said.contains(customer.as_str())),
        "{said}"
    );
    assert_eq!(service.listed(&who[0]).await, json!([]));
}

#[tokio::test]
async fn a_refused_delivery_is_one_sentence_without_the_token() {
    let service = Service::start(Caching::Without).await;
    let (_folder, path) = file("");
    let another = service.issuer.bank_token(GRANSKAUEN);
    let arguments = ["--file", text(&path), "--idempotency-key", "mine"];
    let said = refused(push(&service.url(""), BLABAERLIA, &another, &arguments, b"").await);
    assert!(
        said.contains("403") && said.contains("KFR-003") && !said.contains(&another),
        "{said}"
    );
    let said = refused(push_to(&service, BLABAERLIA, &["--file", "/nowhere/at/all"], b"").await);
    assert!(said.contains("/nowhere/at/all"), "{said}");
    let key = [
        "--file",
        text(&path),
        "--token-endpoint",
        "https://example.com/",
        "--issuer",
        "i",
    ];
    let mut command = program(&[&["push", "--bank", BLABAERLIA], &key[..]].concat());
    assert!(refused(command.output().unwrap()).contains("--token"));
}
