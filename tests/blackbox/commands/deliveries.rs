//! `receipts` and `rollback` against a service with deliveries of one bank.

use super::{done, refused, run_with, unreachable};
use crate::deliveries::{BLABAERLIA, GRANSKAUEN, change, is_listed, owners, published, put};
use crate::harness::identifiers::people;
use crate::harness::{Caching, Service, free_address};
use serde_json::Value;
use std::process::Output;

/// A bank's command, by its own token.
async fn run(service: &Service, command: &str, more: &[&str]) -> Output {
    let url = service.url("");
    let arguments = [&[command, "--url", &url, "--bank", BLABAERLIA], more].concat();
    run_with(service.issuer.bank_token(BLABAERLIA), &arguments).await
}

fn json(output: Output) -> Value {
    serde_json::from_str(&done(output)).unwrap()
}

#[tokio::test]
async fn receipts_are_listed_by_pages_and_shown_one_by_one() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(2).collect();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, published(put(&service, BLABAERLIA, "", owners(&who)).await));
    }
    let output = run(&service, "receipts", &["--limit", "2"]).await;
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    let table = done(output);
    assert!(
        table.contains("deliveryID") && table.contains("wholeSet"),
        "{table}"
    );
    assert!(
        ids[..2].iter().all(|id| table.contains(id)) && !table.contains(&ids[2]),
        "{table}"
    );
    assert_eq!(told, format!("older ones: --before {}\n", ids[1]));
    let page = json(run(&service, "receipts", &["--before", &ids[1], "--json"]).await);
    assert_eq!(page["deliveries"][0]["deliveryID"], ids[2].as_str());
    assert_eq!(page.get("nextBefore"), None);

    let receipt = json(run(&service, "receipts", &["--delivery", &ids[0], "--json"]).await);
    assert_eq!(
        (&receipt["state"], &receipt["stored"]),
        (&"published".into(), &2.into())
    );
    let table = done(run(&service, "receipts", &["--delivery", &ids[0]]).await);
    assert!(table.contains(&ids[0]) && table.contains("sha256"), "{table}");
    let said = refused(
        run(
            &service,
            "receipts",
            &["--delivery", &uuid::Uuid::nil().to_string()],
        )
        .await,
    );
    assert!(said.contains("404 KFR-008"), "{said}");
}

#[tokio::test]
async fn rejected_lines_are_told_with_each_fault_and_no_identifier() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(2).collect();
    let bad = owners(&who).replace("\"owner\"", "\"guarantor\"");
    let (status, receipt) = put(&service, BLABAERLIA, "", bad).await;
    assert_eq!(status, 422, "{receipt}");
    let id = receipt["deliveryID"].as_str().unwrap();
    let table = done(run(&service, "receipts", &["--delivery", id, "--rejects"]).await);
    assert!(table.contains("KFR-004") && table.contains("role"), "{table}");
    let lines = done(run(&service, "receipts", &["--delivery", id, "--rejects", "--json"]).await);
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((&lines[0]["line"], &lines[1]["line"]), (&1.into(), &2.into()));
    assert_eq!(lines[0]["faults"][0]["parameter"], "role");
    assert!(
        who.iter().all(|customer| !table.contains(customer.as_str())),
        "{table}"
    );
}

#[tokio::test]
async fn a_rollback_needs_leave_to_discard_what_came_after() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(2).collect();
    published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
    let set = published(put(&service, BLABAERLIA, "", owners(&who)).await);
    let later = published(change(&service, BLABAERLIA, "", &[]).await);
    let said = refused(run(&service, "rollback", &["--delivery", &set]).await);
    assert!(said.contains("409 KFR-011") && said.contains(&later), "{said}");
    assert!(is_listed(&service, &who[1]).await);

    let discarding = ["--delivery", &set, "--discard-later-changes", "--json"];
    let receipt = json(run(&service, "rollback", &discarding).await);
    assert_eq!(
        (&receipt["kind"], &receipt["discardedDeliveries"]),
        (&"rollback".into(), &serde_json::json!([set, later]))
    );
    assert!(!is_listed(&service, &who[1]).await);
    let table = done(run(&service, "receipts", &["--delivery", &set]).await);
    assert!(table.contains("rolledBack"), "{table}");
}

#[tokio::test]
async fn who_may_not_is_told_so_and_who_is_not_there_is_exit_code_3() {
    let service = Service::start(Caching::Without).await;
    let url = service.url("");
    let of_another = ["receipts", "--url", &url, "--bank", BLABAERLIA];
    let token = service.issuer.bank_token(GRANSKAUEN);
    let said = refused(run_with(token.clone(), &of_another).await);
    assert!(said.contains("403 KFR-003") && !said.contains(&token), "{said}");

    let nobody = format!("http://{}", free_address());
    let id = uuid::Uuid::nil().to_string();
    for more in [&["receipts"][..], &["rollback", "--delivery", &id]] {
        let arguments = [more, &["--url", &nobody, "--bank", BLABAERLIA]].concat();
        let said = unreachable(run_with(token.clone(), &arguments).await);
        assert!(
            said.contains("Connection refused") && said.lines().count() == 1,
            "{said}"
        );
    }
}
