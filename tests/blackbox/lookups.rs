//! Both lookups and the list of participants, to the letter.

mod caller;
mod coverage;
mod identifiers;
mod older_path;
mod participants;
mod period;
mod places;

use crate::errors::assert_common_headers;
use crate::harness::ask::{AN_ACCOUNT, Ask, Told};
use crate::harness::{Caching, EITHER_WAY, Service, world};
use serde_json::{Value, json};

/// Is with every bank of the fixtures.
const OF_EVERY_BANK: &str = "01856867389";
/// Has a card at a bank that tells no roles.
const OF_UNKNOWN_OWNERSHIP: &str = "05858823066";

async fn with_world(caching: Caching) -> Service {
    let service = Service::start(caching).await;
    service.deliver_world().await;
    service
}

/// The answer, which must be a good one.
async fn answered(ask: Ask<'_>) -> Told {
    let told = ask.send().await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_common_headers(&told);
    assert!(!told.text.contains("null"), "{}", told.text);
    told
}

async fn banks(ask: Ask<'_>) -> Value {
    answered(ask).await.body()["banks"].take()
}

fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_answer_has_the_published_members_and_no_other() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let told = answered(Ask::relationships(&service)).await;
        assert_eq!(members(&told.body()), ["banks"]);
        assert_eq!(
            members(&told.body()["banks"][0]),
            ["activeAccount", "bankName", "organizationID"]
        );
        let told = answered(Ask::relationships(&service).query("onlyPrimaryOwner", "false")).await;
        assert_eq!(
            members(&told.body()["banks"][0]),
            ["activeAccount", "bankName", "organizationID", "ownershipType"]
        );
        let told = answered(Ask::account(&service)).await;
        assert_eq!(
            told.body(),
            json!({"organizationID": "210011013", "bankName": "Blåbærlia Sparebank"})
        );
        assert_eq!(told.header("Register-Coverage"), Some("complete"));
    }
}

#[tokio::test]
async fn banks_are_in_order_of_their_number() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let banks = banks(Ask::relationships(&service).with("CustomerID", OF_EVERY_BANK)).await;
        let numbers: Vec<_> = banks
            .as_array()
            .unwrap()
            .iter()
            .map(|bank| bank["organizationID"].as_str())
            .collect();
        assert_eq!(numbers.len(), 9);
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[tokio::test]
async fn no_relation_is_an_empty_list() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let told = answered(Ask::relationships(&service).with("CustomerID", "30848568593")).await;
        assert_eq!(told.text, r#"{"banks":[]}"#);
    }
}

#[tokio::test]
async fn only_primary_owner_absent_shows_no_ownership_false_shows_all_and_true_filters() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let ask = Ask::relationships(&service).with("CustomerID", OF_EVERY_BANK);
        let absent = banks(ask.clone()).await;
        let all = banks(ask.clone().query("onlyPrimaryOwner", "false")).await;
        let only = banks(ask.query("onlyPrimaryOwner", "true")).await;
        let types = |banks: &Value| -> Vec<Option<String>> {
            let banks = banks.as_array().unwrap().iter();
            banks
                .map(|bank| Some(bank.get("ownershipType")?.as_str()?.to_owned()))
                .collect()
        };
        assert_eq!(types(&absent), vec![None; 9]);
        let mut expected = vec![Some("primaryOwner".to_owned()); 9];
        expected[7] = Some("unknown".to_owned());
        assert_eq!(types(&all), expected);
        assert_eq!(types(&only), vec![Some("primaryOwner".to_owned()); 8]);
    }
}

#[tokio::test]
async fn parameter_names_and_booleans_are_read_in_any_letter_case() {
    let service = with_world(Caching::Without).await;
    let ask = Ask::relationships(&service).with("CustomerID", OF_UNKNOWN_OWNERSHIP);
    for name in [
        "onlyPrimaryOwner",
        "OnlyPrimaryOwner",
        "onlyprimaryowner",
        "ONLYPRIMARYOWNER",
    ] {
        for (value, listed) in [
            ("true", 0),
            ("TRUE", 0),
            ("True", 0),
            ("tRuE", 0),
            ("false", 1),
            ("FALSE", 1),
            ("False", 1),
        ] {
            let banks = banks(ask.clone().query(name, value)).await;
            assert_eq!(banks.as_array().unwrap().len(), listed, "{name}={value}");
        }
    }
    let today = world::today().to_string();
    for (from, to) in [
        ("FromDate", "ToDate"),
        ("FROMDATE", "TODATE"),
        ("fromdate", "todate"),
    ] {
        let ask = Ask::relationships(&service)
            .without_query("fromDate")
            .without_query("toDate");
        let banks = banks(ask.query(from, &today).query(to, &today)).await;
        assert_eq!(banks.as_array().unwrap().len(), 1);
    }
    for name in ["CUSTOMERID", "customerid", "customerId"] {
        let ask = Ask::relationships(&service)
            .without("CustomerID")
            .with(name, OF_UNKNOWN_OWNERSHIP);
        assert_eq!(banks(ask).await.as_array().unwrap().len(), 1);
    }
    let ask = Ask::account(&service)
        .without("AccountID")
        .with("accountid", AN_ACCOUNT);
    assert_eq!(answered(ask).await.body()["organizationID"], "210011013");
}
