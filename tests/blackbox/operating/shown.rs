//! What commands show of others' texts: nothing moves a cursor, makes a row of its own, or turns the direction of reading.

use crate::commands::program;
use crate::harness::{Caching, Service};
use serde_json::json;
use std::process::{Output, Stdio};

/// Controls are refused in a token; these are none.
const TRICKS: &str = "visible\u{2028}9999-01-01 row\u{200b}\u{202e}txt";

fn search(service: &Service, more: &[&str], columns: Option<&str>, input: &str) -> Output {
    let configuration = service.configuration();
    let mut arguments = vec!["audit", "search", "--config", configuration.to_str().unwrap()];
    arguments.extend(more);
    let mut command = program(&arguments);
    command.env_remove("COLUMNS");
    if let Some(columns) = columns {
        command.env("COLUMNS", columns);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    child.wait_with_output().unwrap()
}

fn is_unseen(character: char) -> bool {
    character != '\n' && (character.is_control() || TRICKS[7..].contains(character) && !character.is_ascii())
}

/// A lookup whose token carries such a text, recorded.
async fn tricked() -> Service {
    let service = Service::start_on_file(Caching::Without, "").await;
    let mut claims = service
        .issuer
        .claims(crate::harness::issuer::AGENCY, "bits:kundeforhold");
    claims["jti"] = json!(TRICKS);
    claims["client_amr"] = json!(TRICKS);
    let token = service.issuer.sign(&claims);
    let request = service.relationships("01856867389", "2024-01-01", "2024-12-31");
    let (http, request) = request.build_split();
    let mut request = request.unwrap();
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("Authorization", bearer);
    let mandate = "Test%20%E2%80%AEtxt".parse().unwrap();
    request.headers_mut().insert("Legal-Mandate", mandate);
    let answer = http.execute(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    service
}

#[tokio::test]
async fn what_is_unseen_is_escaped_in_tables_and_in_json() {
    let service = tricked().await;
    for more in [&["--day"][..], &["--json", "--day"]] {
        let today = crate::harness::world::today().to_string();
        for columns in [None, Some("80")] {
            let output = search(&service, &[more, &[&today]].concat(), columns, "");
            assert!(output.status.success(), "{output:?}");
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(said.contains("customerRelationships"), "{said}");
            assert!(!said.contains(is_unseen), "{said:?}");
            assert!(!said.lines().any(|line| line.starts_with("9999")), "{said}");
            if more[0] == "--json" {
                let line: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
                assert!(said.contains("\\u202e"), "{said}");
                assert!(line["jti"].as_str().unwrap().contains('\u{202e}'), "{line}");
            }
        }
    }
    // No line of the log either.
    assert!(!service.log().contains(is_unseen));
}

#[tokio::test]
async fn a_search_fits_the_terminal_and_tells_period_and_service() {
    let service = tricked().await;
    for columns in [60, 80, 120] {
        let output = search(
            &service,
            &["--customer", "-"],
            Some(&columns.to_string()),
            "01856867389",
        );
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.lines().all(|line| line.chars().count() <= columns), "{said}");
    }
    let said = String::from_utf8(search(&service, &["--customer", "-"], None, "01856867389").stdout).unwrap();
    let heading = said.lines().next().unwrap_or_default();
    assert!(
        heading.contains("service") && heading.contains("period"),
        "{said}"
    );
}

#[tokio::test]
async fn a_number_with_wrong_check_digits_is_refused_and_an_empty_result_says_where_it_was_looked() {
    let service = tricked().await;
    let output = search(&service, &["--customer", "-"], None, "01856867388\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("0185686738"), "{said}");
    let output = search(&service, &["--customer", "-"], None, "13897210066\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("nothing found in 1 entries"),
        "{said}"
    );
    let output = search(&service, &["--day", "31.12.2025"], None, "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("YYYY-MM-DD"),
        "{said}"
    );
}
