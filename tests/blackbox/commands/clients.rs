//! `lookup`, `account`, `token`, `issuer` and `healthcheck` against a demo.

use super::demo::Demo;
use super::{done, program, refused, run, text, unreachable};
use crate::harness::free_address;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn with_input(arguments: &[&str], input: &str) -> Output {
    let mut command = program(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_agency_asks_with_a_token_or_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&["--json", "--data", text(directory.path())]);
    let line = demo.line();
    let of = |value: &Value| value.as_str().unwrap().to_owned();
    let (service, issuer, token) = (
        of(&line["service"]),
        of(&line["issuer"]),
        of(&line["tokens"]["sandbox"]),
    );
    let key = directory.path().join("client-key.pem");
    let endpoint = format!("{issuer}token");
    let by_token = ["--token", token.as_str()];
    let by_key = [
        "--client-id",
        "sandbox",
        "--key",
        text(&key),
        "--token-endpoint",
        &endpoint,
        "--issuer",
        &issuer,
    ];
    let ask = |command: &str, means: &[&str], more: &[&str], input: &str| {
        with_input(
            &[
                &[command, "--url", &service, "--mandate", "Prøve § 1"],
                means,
                more,
            ]
            .concat(),
            input,
        )
    };
    let without_issuer = &by_key[..6];
    for means in [&by_token[..], &by_key[..], without_issuer] {
        let said = done(ask(
            "lookup",
            means,
            &["--json", "--from", "2024-01-01", "--only-primary-owner", "false"],
            "01856867389\n",
        ));
        let banks: Value = serde_json::from_str(&said).unwrap();
        assert!(banks["banks"][0]["ownershipType"].is_string(), "{said}");
        let table = done(ask("lookup", means, &["--from", "2024-01-01"], "01856867389"));
        assert!(
            table.contains(banks["banks"][0]["bankName"].as_str().unwrap()),
            "{table}"
        );
        assert!(
            table.contains("organizationID") && table.contains("coverage: "),
            "{table}"
        );
        let said = done(ask("account", means, &["--json"], " 17101002225 \n"));
        assert!(
            serde_json::from_str::<Value>(&said).unwrap()["bankName"].is_string(),
            "{said}"
        );
        let table = done(ask("account", means, &["--account", "17101002225"], ""));
        assert!(table.contains("organizationID"), "{table}");
    }
    let said = refused(ask("lookup", &by_token, &[], "13097248032"));
    assert!(
        said.contains("ERR-002") && said.contains("CustomerID") && !said.contains("1309"),
        "{said}"
    );
    let said = refused(ask("account", &by_token, &[], "00000000000"));
    assert!(said.contains("404") && said.contains("ERR-006"), "{said}");
    let said = refused(ask("lookup", &["--token", "x.y.z"], &[], "01856867389"));
    assert!(said.contains("401") && said.contains("ERR-001"), "{said}");
    let said = refused(ask("lookup", &[], &[], "01856867389"));
    assert!(said.contains("--token"), "{said}");
    let wrong_client = by_key.map(|argument| if argument == "sandbox" { "nobody" } else { argument });
    refused(ask("lookup", &wrong_client, &[], "01856867389"));
    let scope = ["--scope", "bits:kundeforhold.write"];
    refused(ask("lookup", &by_key, &scope, "01856867389"));

    let from_environment = program(&[
        "lookup",
        "--url",
        &service,
        "--mandate",
        "m",
        "--json",
        "--customer",
        "01856867389",
    ])
    .env("KUNDEFORHOLD_TOKEN", &token)
    .output();
    done(from_environment.unwrap());

    let probe = format!("{}/isready", of(&line["management"]));
    done(run(&["healthcheck", "--url", &probe]));
    demo.stop();
    let said = unreachable(run(&["healthcheck", "--url", &probe]));
    assert!(said.contains("Connection refused"), "{said}");
    unreachable(ask("lookup", &by_token, &[], "01856867389"));
    unreachable(ask("lookup", &by_key, &[], "01856867389"));
}

#[test]
fn a_token_is_of_the_client_and_scope_that_was_asked_for() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("client.pem");
    let mut issuer = Command::new(crate::harness::PROGRAM)
        .args([
            "issuer",
            "--listen",
            &address,
            "--bank",
            "210011013",
            "--key-file",
            text(&key),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let name = format!("http://{address}/");
    let started = std::time::Instant::now();
    while !run(&["token", "--issuer", &name]).status.success() {
        assert!(started.elapsed().as_secs() < 10);
    }
    let claims = |arguments: &[&str]| {
        let token = done(run(&[&["token", "--issuer", &name], arguments].concat()));
        let payload = token.trim().split('.').nth(1).unwrap().to_owned();
        let decoded =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap();
        serde_json::from_slice::<Value>(&decoded).unwrap()
    };
    let bank = claims(&["--client", "bank-210011013"]);
    assert_eq!(
        (&bank["consumer"]["ID"], &bank["iss"]),
        (&"0192:210011013".into(), &name.as_str().into())
    );
    assert_eq!(bank["scope"], "bits:kundeforhold.write");
    assert_eq!(claims(&["--client", "skatt"])["consumer"]["ID"], "0192:974761076");
    assert_eq!(
        claims(&["--scope", "bits:kundeforhold"])["scope"],
        "bits:kundeforhold"
    );
    refused(run(&["token", "--issuer", &name, "--client", "nobody"]));
    refused(run(&[
        "token",
        "--issuer",
        &name,
        "--client",
        "skatt",
        "--scope",
        "bits:kundeforhold.write",
    ]));
    assert!(key.exists());
    issuer.kill().unwrap();
    issuer.wait().unwrap();
    unreachable(run(&["token", "--issuer", &name]));
    refused(run(&["issuer", "--listen", &address, "--bank", "1"]));
}
