//! What is recorded and what is not, and how the operator's commands find and prune it.

use super::load::{audit, recorded_statuses, search, verify};
use crate::harness::issuer::AGENCY;
use crate::harness::{Caching, PROGRAM, Service, world};
use reqwest::RequestBuilder;
use std::process::Command;
use uuid::Uuid;

/// Sends it with a correlation id of its own: the status, and the id.
async fn send(request: RequestBuilder) -> (u16, String) {
    let mut request = request.build().unwrap();
    let correlation = Uuid::new_v4().to_string();
    request
        .headers_mut()
        .insert("CorrelationID", correlation.parse().unwrap());
    let response = reqwest::Client::new().execute(request).await.unwrap();
    (response.status().as_u16(), correlation)
}

#[tokio::test]
async fn every_status_of_an_authenticated_call_is_recorded_and_no_other() {
    let service = Service::start(Caching::Without).await;
    service.deliver_world().await;
    let lookup = || service.relationships("13897210066", "2024-01-01", "2024-12-31");
    let other_scope = service.issuer.token(AGENCY, "bits:other");
    let with_header = |request: RequestBuilder, name: &'static str, value: &str| {
        let mut built = request.build().unwrap();
        built.headers_mut().insert(name, value.parse().unwrap());
        RequestBuilder::from_parts(reqwest::Client::new(), built)
    };
    let bearer = |token: &str| format!("Bearer {token}");
    for (expected, request) in [
        (200, lookup()),
        (200, service.account("17101002225")),
        (400, lookup().query(&[("onlyPrimaryOwner", "perhaps")])),
        (400, with_header(lookup(), "CustomerID", "1")),
        (403, with_header(lookup(), "Authorization", &bearer(&other_scope))),
        (404, service.account("99990000006")),
        (406, lookup().header("Accept", "text/csv")),
    ] {
        let (status, correlation) = send(request).await;
        assert_eq!(status, expected);
        assert_eq!(
            recorded_statuses(&service).get(&correlation),
            Some(&u64::from(expected)),
            "{expected}"
        );
    }
    let unknown = service
        .http
        .get(service.url("/v2/elsewhere"))
        .bearer_auth(service.issuer.agency_token());
    for (expected, request) in [
        (401, with_header(lookup(), "Authorization", "Bearer none")),
        (404, unknown),
    ] {
        let (status, correlation) = send(request).await;
        assert_eq!(status, expected);
        assert_eq!(recorded_statuses(&service).get(&correlation), None, "{expected}");
    }
    verify(&service, &[]);
}

#[tokio::test]
async fn an_entry_holds_all_that_is_specified_and_names_nobody() {
    let service = Service::start(Caching::Without).await;
    service.deliver_world().await;
    let today = world::today().to_string();
    let request = service.relationships("01856867389", "2024-01-01", &today);
    let case = Uuid::new_v4().to_string();
    let mut request = request.query(&[("onlyPrimaryOwner", "true")]).build().unwrap();
    request
        .headers_mut()
        .insert("AccountInfoRequestID", case.parse().unwrap());
    let client = reqwest::Client::new();
    let (status, correlation) = send(RequestBuilder::from_parts(client, request)).await;
    assert_eq!(status, 200);

    let found = search(&service, &["--customer", "-"], "01856867389\n");
    assert_eq!(found.len(), 1);
    let entry = &found[0];
    assert_eq!(entry["correlationID"], correlation.as_str());
    assert_eq!(entry["accountInfoRequestID"], case.as_str());
    assert_eq!(
        (entry["consumer"].as_str(), entry["status"].as_u64()),
        (Some(AGENCY), Some(200))
    );
    assert_eq!(entry["endpoint"], "customerRelationships");
    assert_eq!(entry["clientAmr"], "virksomhetssertifikat");
    assert_eq!(
        (entry["fromDate"].as_str(), entry["toDate"].as_str()),
        (Some("2024-01-01"), Some(today.as_str()))
    );
    assert_eq!(entry["onlyPrimaryOwner"], true);
    assert!(!entry["banks"].as_array().unwrap().is_empty());
    for name in [
        "time",
        "instance",
        "key",
        "jti",
        "legalMandate",
        "customerPseudonym",
    ] {
        assert!(
            entry[name].as_str().is_some_and(|text| text.len() >= 4),
            "{name}: {entry}"
        );
    }
    assert!(entry["sequence"].as_u64().unwrap() > 0);
    assert!(!entry.to_string().contains("01856867389"));

    for criteria in [
        ["--case", case.as_str()],
        ["--correlation", &correlation],
        ["--day", &today],
    ] {
        let found = search(&service, &criteria, "");
        assert!(found.contains(entry), "{criteria:?}");
    }
    assert!(search(&service, &["--account", "-"], "17101002225\n").is_empty());
    assert!(
        !audit(&service, &["search", "--json"], "").0,
        "it wants a criterion"
    );
    let (done, told) = audit(&service, &["search", "--customer", "01856867389"], "");
    assert!(!done && told.contains("standard input"), "{told}");
    assert!(
        !told.contains("01856867389"),
        "an identifier in the process list is not repeated"
    );
    let (done, table) = audit(&service, &["search", "--customer", "-"], "01856867389");
    assert!(
        done && table.lines().count() == 3 && table.contains(&correlation) && table.contains("1 found in "),
        "{table}"
    );
}

#[tokio::test]
async fn the_log_is_read_after_its_key_was_changed_and_refused_without_the_former_one() {
    let mut service = Service::start(Caching::Without).await;
    let (status, first) = send(service.relationships("01856867389", "2024-01-01", "2024-12-31")).await;
    assert_eq!(status, 200);
    assert!(service.log().contains("has no keys of its own"));
    assert!(service.terminate().success());

    let (new, former) = (
        service.directory.path().join("record.key"),
        service.directory.path().join("pseudonym.key"),
    );
    let made = Command::new(PROGRAM)
        .args(["key", "new"])
        .arg(&new)
        .output()
        .unwrap();
    assert!(made.status.success());
    let configured = std::fs::read_to_string(service.configuration()).unwrap();
    let with_keys = |keys: &str| {
        let mut table: toml::Table = configured.parse().unwrap();
        let record = table.entry("record").or_insert_with(|| toml::Table::new().into());
        record
            .as_table_mut()
            .unwrap()
            .insert("key_files".to_owned(), keys.parse::<toml::Value>().unwrap());
        std::fs::write(service.configuration(), table.to_string()).unwrap();
    };
    with_keys(&format!("[{new:?}]"));
    let (proved, told) = audit(&service, &["verify"], "");
    assert!(!proved && told.contains("key that is not in the ring"), "{told}");
    with_keys(&format!("[{new:?}, {former:?}]"));
    verify(&service, &[]);
    service.start_again();
    service.wait_until_ready().await;
    let (_, second) = send(service.relationships("01856867389", "2024-01-01", "2024-12-31")).await;
    let found = search(&service, &["--customer", "-"], "01856867389");
    let correlations: Vec<_> = found
        .iter()
        .map(|entry| entry["correlationID"].as_str().unwrap())
        .collect();
    assert_eq!(correlations, [first, second]);
    assert_ne!(found[0]["key"], found[1]["key"]);
}

#[tokio::test]
async fn pruning_keeps_to_the_retention_and_may_happen_while_serving() {
    let configuration = "[record]\nretention_years = 0\n";
    let service = Service::start_with(Caching::Without, configuration).await;
    for _ in 0..30 {
        send(service.relationships("01856867389", "2024-01-01", "2024-12-31")).await;
    }
    let tomorrow = world::today().succ_opt().unwrap().to_string();
    let (done, told) = audit(&service, &["prune", "--before", &tomorrow], "");
    assert!(!done && told.contains("record.retention_years"), "{told}");
    let (done, told) = audit(&service, &["prune", "--json"], "");
    assert!(done && told == "[]\n", "nothing is from yesterday: {told}");
    let (status, _) = send(service.relationships("01856867389", "2024-01-01", "2024-12-31")).await;
    assert_eq!(status, 200);
    verify(&service, &[]);
}
