//! `participants` and `services` against a service with the terms that are built in.

use super::{done, refused, run_with, unreachable};
use crate::harness::{Caching, Service, free_address};
use serde_json::Value;

const SRF: &str = "986186999";
/// A bank, which asks nobody anything.
const NO_AGENCY: &str = "210011013";
const SCOPE: &str = "bits:kundeforhold";

#[tokio::test]
async fn an_agency_lists_the_banks_and_its_own_services() {
    let service = Service::start_with(Caching::Without, "[access]\nservices_file = \"\"\n").await;
    let (url, token) = (service.url(""), || service.issuer.token(SRF, SCOPE));
    let run = async |command: &str, more: &[&str]| {
        done(run_with(token(), &[&[command, "--url", &url], more].concat()).await)
    };
    let table = run("participants", &[]).await;
    for shown in [
        "organizationID",
        "210011013",
        "Blåbærlia Sparebank",
        "notLoaded",
        "KAR, KFR",
    ] {
        assert!(table.contains(shown), "{shown}: {table}");
    }
    let told: Value = serde_json::from_str(&run("participants", &["--json"]).await).unwrap();
    assert_eq!(told["participants"].as_array().unwrap().len(), 13);

    let table = run("services", &[]).await;
    for shown in [
        "Vergekontroll",
        "customerRelationships",
        "Vergemålsloven § 54 (2)",
        "-01-01 to ",
        "true",
    ] {
        assert!(table.contains(shown), "{shown}: {table}");
    }
    let told: Value = serde_json::from_str(&run("services", &["--json"]).await).unwrap();
    let encoded = told["services"][0]["mandates"][0]["encoded"].as_str().unwrap();
    assert!(encoded.starts_with("Vergem%C3%A5lsloven"), "{encoded}");
}

#[tokio::test]
async fn one_without_services_is_told_and_one_without_leave_is_refused() {
    let service = Service::start_with(Caching::Without, "[access]\nservices_file = \"\"\n").await;
    let url = service.url("");
    let arguments = ["services", "--url", &url];
    let output = run_with(service.issuer.token(NO_AGENCY, SCOPE), &arguments).await;
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(done(output), "");
    assert!(told.contains("no DSOP service"), "{told}");
    for command in ["services", "participants"] {
        let said =
            refused(run_with(service.issuer.token(SRF, "bits:other"), &[command, "--url", &url]).await);
        assert!(said.contains("403 ERR-001"), "{said}");
        let nobody = format!("http://{}", free_address());
        unreachable(run_with("a.b.c".to_owned(), &[command, "--url", &nobody]).await);
        // The management port is another program's page as far as this call goes.
        let elsewhere = format!("http://{}", service.management);
        refused(run_with("a.b.c".to_owned(), &[command, "--url", &elsewhere]).await);
    }
}
