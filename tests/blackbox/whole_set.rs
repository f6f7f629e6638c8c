//! `PUT …/relationships`: a bank's whole set, its receipt, and what happens to a set that is no good.

mod refusals;
mod streaming;
mod switching;

use crate::harness::calls::CORRELATION;
use crate::harness::identifiers::{accounts, people};
use crate::harness::world::today;
use crate::harness::{EITHER_WAY, Service};
use aws_lc_rs::digest;
use chrono::Days;
use serde_json::{Value, json};

/// In KAR only.
pub const BLABAERLIA: &str = "210011013";
/// In both registers.
pub const GRANSKAUEN: &str = "210099093";
/// In KFR only; ownership unknown.
pub const RYPA: &str = "210132120";

/// A record since 2015; `more` begins with a comma.
pub fn line(customer: &str, role: &str, more: &str) -> String {
    format!("{{\"customerID\":\"{customer}\",\"role\":\"{role}\",\"fromDate\":\"2015-01-01\"{more}}}\n")
}

fn hexadecimal_sha256(body: &str) -> String {
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn put(service: &Service, bank: &str, query: &str, body: &str) -> Value {
    let response = service
        .put(bank, query)
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    let status = response.status();
    let receipt: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{receipt}");
    receipt
}

#[tokio::test]
async fn the_receipt_counts_what_was_read_and_stored() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let (who, account): (Vec<_>, Vec<_>) = people().zip(accounts()).take(4).unzip();
        let a_year_ago = today() - Days::new(365);
        let on = |n: usize| format!(",\"accountID\":\"{}\"", account[n]);
        let set = [
            line(&who[0], "other", &on(0)),
            line(&who[0], "owner", &on(1)),
            line(&who[1], "secondaryOwner", &on(1)),
            line(&who[2], "owner", ",\"agreementID\":\"loan\""),
            line(
                &who[3],
                "owner",
                &format!(",\"agreementID\":\"loan\",\"toDate\":\"{a_year_ago}\""),
            ),
            // The same identity once more: this one stands.
            line(&who[0], "owner", &on(0)),
        ]
        .concat();
        let request = service.put(BLABAERLIA, "").header("CorrelationID", CORRELATION);
        let response = request
            .header("Content-Type", "application/x-ndjson")
            .body(set.clone())
            .send()
            .await;
        let response = response.unwrap();
        assert_eq!(response.headers()["CorrelationID"], CORRELATION);
        let receipt: Value = response.json().await.unwrap();
        let counts = json!({
            "kind": "wholeSet", "register": "KAR", "state": "published", "read": 6, "stored": 5, "ended": 0, "removed": 0,
            "rejected": 0, "customers": 4, "accounts": 2, "sha256": hexadecimal_sha256(&set),
        });
        for (field, value) in counts.as_object().unwrap() {
            assert_eq!(&receipt[field], value, "{caching:?}: {field}");
        }
        let names: Vec<&str> = receipt.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names.len(), 14, "{names:?}");
        uuid::Uuid::try_parse(receipt["deliveryID"].as_str().unwrap()).unwrap();
        for moment in ["receivedAt", "publishedAt"] {
            chrono::DateTime::parse_from_rfc3339(receipt[moment].as_str().unwrap()).unwrap();
        }
        let first = &service.listed(&who[0]).await[0];
        assert_eq!(
            (&first["ownershipType"], &first["activeAccount"]),
            (&json!("primaryOwner"), &json!(true))
        );
        let second = &service.listed(&who[1]).await[0];
        assert_eq!(
            (&second["ownershipType"], &second["activeAccount"]),
            (&json!("notPrimaryOwner"), &json!(true))
        );
        assert_eq!(service.account(&account[1]).send().await.unwrap().status(), 200);
        assert_eq!(service.account(&account[2]).send().await.unwrap().status(), 404);
    }
}

#[tokio::test]
async fn the_last_line_of_an_identity_stands_also_when_it_says_less() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let (customer, account) = (people().next().unwrap(), accounts().next().unwrap());
        let on = format!(",\"accountID\":\"{account}\"");
        let ended = format!("{on},\"toDate\":\"2022-01-01\"");
        put(
            &service,
            BLABAERLIA,
            "",
            &[line(&customer, "owner", &on), line(&customer, "other", &ended)].concat(),
        )
        .await;
        assert_eq!(service.listed(&customer).await, json!([]), "{caching:?}");
        let then = service
            .listed_between(&customer, "2021-06-01", "2021-06-01")
            .await;
        assert_eq!(then[0]["ownershipType"], "notPrimaryOwner", "{caching:?}");
    }
}

#[tokio::test]
async fn the_two_registers_of_a_bank_are_replaced_separately() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        let receipt = put(&service, GRANSKAUEN, "", &line(&who[0], "owner", "")).await;
        assert_eq!(receipt["register"], "KAR", "the default of a bank in both");
        let receipt = put(&service, GRANSKAUEN, "?register=KFR", &line(&who[1], "owner", "")).await;
        assert_eq!(receipt["register"], "KFR");
        let receipt = put(&service, RYPA, "", &line(&who[2], "unknown", "")).await;
        assert_eq!(receipt["register"], "KFR", "the only one of the bank");
        for customer in &who {
            assert_eq!(
                service.listed(customer).await.as_array().unwrap().len(),
                1,
                "{caching:?}"
            );
        }
        put(&service, GRANSKAUEN, "?REGISTER=KAR&confirmShrink=true", "").await;
        assert_eq!(service.listed(&who[0]).await, json!([]), "{caching:?}");
        assert_eq!(
            service.listed(&who[1]).await.as_array().unwrap().len(),
            1,
            "KFR is untouched"
        );
        // One customer in both: judged together, listed once.
        let both = line(&who[1], "other", ",\"creditable\":true");
        put(&service, GRANSKAUEN, "?register=KAR", &both).await;
        let listed = service.listed(&who[1]).await;
        assert_eq!(listed.as_array().unwrap().len(), 1, "{caching:?}");
        assert_eq!(listed[0]["ownershipType"], "primaryOwner", "{caching:?}");
    }
}

#[tokio::test]
async fn an_empty_set_is_a_set() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let customer = people().next().unwrap();
        put(&service, BLABAERLIA, "", &line(&customer, "owner", "")).await;
        for empty in ["", "\n", "\r\n\r\n  \n"] {
            let receipt = put(&service, BLABAERLIA, "?confirmShrink=true", empty).await;
            assert_eq!(
                (&receipt["read"], &receipt["stored"]),
                (&json!(0), &json!(0)),
                "{empty:?}"
            );
            assert_eq!(receipt["sha256"], hexadecimal_sha256(empty));
            assert_eq!(service.listed(&customer).await, json!([]), "{caching:?}");
        }
    }
}

#[tokio::test]
async fn line_ends_are_those_of_any_system() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        let [one, two] =
            [line(&who[0], "owner", ""), line(&who[1], "owner", "")].map(|l| l.trim().to_owned());
        for set in [
            format!("{one}\n{two}"),
            format!("{one}\r\n{two}\r\n"),
            format!("\n{one}\n\n\r\n{two}\n\n"),
            format!("  {one}  \n\t{two}"),
        ] {
            put(&service, BLABAERLIA, "?confirmShrink=true", "").await;
            let receipt = put(&service, BLABAERLIA, "", &set).await;
            assert_eq!(
                (&receipt["read"], &receipt["stored"]),
                (&json!(2), &json!(2)),
                "{set:?}"
            );
            assert_eq!(
                service.listed(&who[1]).await.as_array().unwrap().len(),
                1,
                "{caching:?}"
            );
        }
    }
}
