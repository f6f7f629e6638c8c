//! What the clients say of wrong options and refusals, and where their output ends.

use crate::commands::{done, program, refused};
use crate::harness::{Caching, Service};
use crate::whole_set::{BLABAERLIA, line};
use serde_json::Value;
use std::process::{Command, Output, Stdio};

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn push(service: &Service, token: &str, file: &std::path::Path, more: &[&str]) -> Command {
    let url = service.url("");
    let arguments = [
        "push",
        "--url",
        &url,
        "--bank",
        BLABAERLIA,
        "--file",
        file.to_str().unwrap(),
    ];
    let mut command = program(&[&arguments[..], more].concat());
    command.env("KUNDEFORHOLD_TOKEN", token);
    command
}

#[tokio::test]
async fn push_says_what_to_do_about_a_refusal() {
    let service = Service::start(Caching::Without).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("set.ndjson");
    let who: Vec<String> = crate::harness::identifiers::people().take(10).collect();
    let lines = |count: usize| {
        who.iter()
            .take(count)
            .map(|who| line(who, "owner", ""))
            .collect::<String>()
    };
    let token = service.issuer.bank_token(BLABAERLIA);
    std::fs::write(&file, lines(10)).unwrap();
    done(run(push(&service, &token, &file, &[])).await);
    std::fs::write(&file, lines(1)).unwrap();
    let said = refused(run(push(&service, &token, &file, &[])).await);
    assert!(said.contains("--confirm-shrink"), "{said}");
    done(run(push(&service, &token, &file, &["--confirm-shrink"])).await);
    let said = refused(run(push(&service, "a.b.c", &file, &[])).await);
    assert!(said.contains("401") && said.contains("--client-id"), "{said}");

    let empty = directory.path().join("token");
    std::fs::write(&empty, "\n").unwrap();
    let mut command = push(&service, "", &file, &["--token-file", empty.to_str().unwrap()]);
    command.env_remove("KUNDEFORHOLD_TOKEN");
    let said = refused(run(command).await);
    assert!(said.contains("is empty") && said.contains("token"), "{said}");

    // A rejected delivery has a receipt too.
    std::fs::write(&file, "{}\n").unwrap();
    let output = run(push(&service, &token, &file, &["--json", "--confirm-shrink"])).await;
    let receipt: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &receipt["state"]),
        (Some(1), &"rejected".into()),
        "{receipt}"
    );
    assert!(receipt["rejects"][0]["faults"].is_array(), "{receipt}");
}

#[tokio::test]
async fn wrong_addresses_and_what_is_missing_have_their_sentence() {
    let service = Service::start(Caching::Without).await;
    let ask = |url: &str| {
        let mut command = program(&[
            "lookup",
            "--url",
            url,
            "--mandate",
            "Test",
            "--customer",
            "01856867389",
        ]);
        command.env("KUNDEFORHOLD_TOKEN", service.issuer.agency_token());
        command
    };
    for url in [service.address.as_str(), "localhost", "http://x:99999", "ftp://x"] {
        let output = run(ask(url)).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("http://") || said.contains("port"), "{said}");
    }
    let said = refused(run(ask(&format!("http://{}", service.management))).await);
    assert!(said.contains("is --url its public port?"), "{said}");
    let said = refused(run(program(&["serve"])).await);
    assert!(said.contains("--config"), "{said}");
    let said = refused(run(program(&["serve", "--config", "/nowhere.toml"])).await);
    assert!(said.contains("/nowhere.toml cannot be read"), "{said}");
}

#[tokio::test]
async fn a_lookup_takes_any_letter_case_and_tells_the_coverage() {
    let service = Service::start(Caching::Without).await;
    service.deliver_world().await;
    let url = service.url("");
    let token = service.issuer.agency_token();
    for (flag, json) in [("TRUE", false), ("False", true)] {
        let mut arguments = vec![
            "lookup",
            "--url",
            &url,
            "--mandate",
            "Test",
            "--customer",
            "01856867389",
            "--from",
            "2024-01-01",
            "--only-primary-owner",
            flag,
        ];
        arguments.extend(json.then_some("--json"));
        let mut command = program(&arguments);
        command.env("KUNDEFORHOLD_TOKEN", &token);
        let output = run(command).await;
        let told = if json { &output.stderr } else { &output.stdout };
        assert!(String::from_utf8_lossy(told).contains("coverage: "), "{output:?}");
        done(output);
    }
}

#[test]
fn output_that_nobody_reads_ends_quietly_and_one_that_cannot_be_written_is_told() {
    for arguments in [
        "openapi",
        "settings",
        "terms",
        "completions bash",
        "lookup --help",
    ] {
        let command = format!("{} {arguments} | true", crate::harness::PROGRAM);
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(output.stderr.is_empty(), "{arguments}: {output:?}");
    }
    for arguments in [
        &["openapi"][..],
        &["settings"],
        &["terms"],
        &["completions", "bash"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = program(arguments).stdout(Stdio::from(full)).output().unwrap();
        let said = refused(output);
        assert!(said.contains("standard output cannot be written"), "{said}");
    }
}

#[tokio::test]
async fn tables_fit_the_columns_that_the_environment_names() {
    let service = Service::start(Caching::Without).await;
    service.deliver_world().await;
    let url = service.url("");
    for columns in [60_usize, 100] {
        let mut command = program(&["participants", "--url", &url]);
        command
            .env("KUNDEFORHOLD_TOKEN", service.issuer.agency_token())
            .env("COLUMNS", columns.to_string());
        let table = done(run(command).await);
        assert!(
            table.lines().all(|line| line.chars().count() <= columns),
            "{table}"
        );
    }
}
