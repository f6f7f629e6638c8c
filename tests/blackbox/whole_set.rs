//! `PUT …/relationships`: a bank's whole set, its receipt, and what happens to a set that is no good.

mod streaming;
mod switching;

use crate::harness::calls::{CORRELATION, code_of};
use crate::harness::identifiers::{accounts, people};
use crate::harness::{ENGINES, Service};
use aws_lc_rs::digest;
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
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let (who, account): (Vec<_>, Vec<_>) = people().zip(accounts()).take(4).unzip();
        let on = |n: usize| format!(",\"accountID\":\"{}\"", account[n]);
        let set = [
            line(&who[0], "other", &on(0)),
            line(&who[0], "owner", &on(1)),
            line(&who[1], "secondaryOwner", &on(1)),
            line(&who[2], "owner", ",\"agreementID\":\"loan\""),
            line(
                &who[3],
                "owner",
                ",\"agreementID\":\"loan\",\"toDate\":\"2016-01-01\"",
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
            assert_eq!(&receipt[field], value, "{engine:?}: {field}");
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
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
        assert_eq!(service.listed(&customer).await, json!([]), "{engine:?}");
        let then = service
            .listed_between(&customer, "2021-06-01", "2021-06-01")
            .await;
        assert_eq!(then[0]["ownershipType"], "notPrimaryOwner", "{engine:?}");
    }
}

#[tokio::test]
async fn the_two_registers_of_a_bank_are_replaced_separately() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
                "{engine:?}"
            );
        }
        put(&service, GRANSKAUEN, "?REGISTER=KAR", "").await;
        assert_eq!(service.listed(&who[0]).await, json!([]), "{engine:?}");
        assert_eq!(
            service.listed(&who[1]).await.as_array().unwrap().len(),
            1,
            "KFR is untouched"
        );
        // One customer in both: judged together, listed once.
        let both = line(&who[1], "other", ",\"creditable\":true");
        put(&service, GRANSKAUEN, "?register=KAR", &both).await;
        let listed = service.listed(&who[1]).await;
        assert_eq!(listed.as_array().unwrap().len(), 1, "{engine:?}");
        assert_eq!(listed[0]["ownershipType"], "primaryOwner", "{engine:?}");
    }
}

#[tokio::test]
async fn an_empty_set_is_a_set() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let customer = people().next().unwrap();
        put(&service, BLABAERLIA, "", &line(&customer, "owner", "")).await;
        for empty in ["", "\n", "\r\n\r\n  \n"] {
            let receipt = put(&service, BLABAERLIA, "", empty).await;
            assert_eq!(
                (&receipt["read"], &receipt["stored"]),
                (&json!(0), &json!(0)),
                "{empty:?}"
            );
            assert_eq!(receipt["sha256"], hexadecimal_sha256(empty));
            assert_eq!(service.listed(&customer).await, json!([]), "{engine:?}");
        }
    }
}

#[tokio::test]
async fn line_ends_are_those_of_any_system() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let who: Vec<String> = people().take(2).collect();
        let [one, two] =
            [line(&who[0], "owner", ""), line(&who[1], "owner", "")].map(|l| l.trim().to_owned());
        for set in [
            format!("{one}\n{two}"),
            format!("{one}\r\n{two}\r\n"),
            format!("\n{one}\n\n\r\n{two}\n\n"),
            format!("  {one}  \n\t{two}"),
        ] {
            put(&service, BLABAERLIA, "", "").await;
            let receipt = put(&service, BLABAERLIA, "", &set).await;
            assert_eq!(
                (&receipt["read"], &receipt["stored"]),
                (&json!(2), &json!(2)),
                "{set:?}"
            );
            assert_eq!(
                service.listed(&who[1]).await.as_array().unwrap().len(),
                1,
                "{engine:?}"
            );
        }
    }
}

#[tokio::test]
async fn bad_lines_are_told_one_by_one_and_the_former_set_stands() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let (who, account): (Vec<_>, Vec<_>) = people().zip(accounts()).take(3).unzip();
        put(&service, GRANSKAUEN, "?register=KFR", &line(&who[0], "owner", "")).await;
        let bad_account = format!(
            "{}{}",
            &account[0][..10],
            (account[0].as_bytes()[10] - b'0' + 1) % 10
        );
        let set = [
            line(&who[1], "owner", ""),
            line("13097248032", "owner", ""),
            "\r\n".to_owned(),
            line(&who[1], "owner", &format!(",\"accountID\":\"{bad_account}\"")),
            line(
                &who[1],
                "owner",
                &format!(",\"accountID\":\"{}\",\"agreementID\":\"x\"", account[0]),
            ),
            line(&who[1], "owner", ",\"agreementID\":\"\""),
            line(&who[1], "boss", ""),
            line(&who[1], "owner", ",\"creditable\":true"),
            line(&who[1], "owner", ",\"toDate\":\"2014-12-31\""),
            line(&who[1], "owner", ",\"toDate\":\"2015-02-29\""),
            line(&who[1], "owner", &format!(",\"{}\":1", who[1])),
            format!("{{\"customerID\":\"{}\"\n", who[1]),
            format!(
                "{{\"customerID\":{},\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}}\n",
                who[1]
            ),
            line(&who[2], "owner", "").replace(&who[2], "0000\u{2603}"),
        ]
        .concat();
        let response = service
            .put(GRANSKAUEN, "?register=KFR")
            .body(set.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 422, "{engine:?}");
        let text = response.text().await.unwrap();
        for secret in who
            .iter()
            .chain(&account)
            .chain([&bad_account])
            .map(String::as_str)
            .chain(["13097248032"])
        {
            assert!(!text.contains(secret), "{text}");
        }
        let receipt: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(receipt["errorCode"], "KFR-012");
        assert_eq!(receipt["state"], "rejected");
        assert!(receipt.get("publishedAt").is_none());
        assert_eq!((&receipt["read"], &receipt["rejected"]), (&json!(13), &json!(12)));
        assert_eq!(receipt["sha256"], hexadecimal_sha256(&set));
        let told: Vec<(u64, &str)> = receipt["rejects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|reject| {
                (
                    reject["line"].as_u64().unwrap(),
                    reject["parameter"].as_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            (2, "customerID"),
            (4, "accountID"),
            (5, "agreementID"),
            (6, "agreementID"),
            (7, "line"),
            (8, "creditable"),
            (9, "toDate"),
            (10, "toDate"),
            (11, "line"),
            (12, "line"),
            (13, "line"),
            (14, "customerID"),
        ];
        assert_eq!(told, expected, "{engine:?}");
        assert!(
            receipt["rejects"]
                .as_array()
                .unwrap()
                .iter()
                .all(|reject| reject["reason"].is_string())
        );
        assert_eq!(
            service.listed(&who[0]).await.as_array().unwrap().len(),
            1,
            "{engine:?}"
        );
        assert_eq!(
            service.listed(&who[1]).await,
            json!([]),
            "the good line of a rejected set is not stored"
        );
    }
}

#[tokio::test]
async fn a_thousand_rejects_are_detailed_and_all_are_counted() {
    let service = Service::start(ENGINES[0]).await;
    let set = "{}\n".repeat(1_203);
    let response = service.put(BLABAERLIA, "").body(set).send().await.unwrap();
    assert_eq!(response.status(), 422);
    let receipt: Value = response.json().await.unwrap();
    assert_eq!(receipt["rejected"], 1_203);
    assert_eq!(receipt["rejects"].as_array().unwrap().len(), 1_000);
}

#[tokio::test]
async fn what_is_no_delivery_is_refused_before_it_is_read() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let customer = people().next().unwrap();
        let set = line(&customer, "owner", "");
        for (query, header, value, parameter) in [
            ("", "Content-Type", "application/json", "Content-Type"),
            ("", "Content-Type", "text/plain; charset=utf-8", "Content-Type"),
            ("", "Content-Encoding", "br", "Content-Encoding"),
            ("", "CorrelationID", "x", "CorrelationID"),
            ("?register=ABC", "X-None", "1", "register"),
            ("?register=KFR", "X-None", "1", "register"),
            ("?register=KAR&register=KAR", "X-None", "1", "register"),
            ("?other=1", "X-None", "1", "query"),
        ] {
            let response = service
                .put(BLABAERLIA, query)
                .header(header, value)
                .body(set.clone())
                .send()
                .await
                .unwrap();
            let status = response.status();
            let body: Value = response.json().await.unwrap();
            assert_eq!(
                (status.as_u16(), &body["errorCode"]),
                (400, &json!("KFR-004")),
                "{query} {header}: {body}"
            );
            assert_eq!(body["details"][0]["parameter"], parameter, "{query} {header}");
        }
        for content_type in ["application/x-ndjson; charset=utf-8", "APPLICATION/X-NDJSON"] {
            let request = service.put(BLABAERLIA, "").header("Content-Type", content_type);
            assert_eq!(
                request.body(set.clone()).send().await.unwrap().status(),
                200,
                "{content_type}"
            );
        }
        let path = format!("/v2/financialInstitutions/{BLABAERLIA}/relationships");
        for (token, status, code) in [
            (None, 401, "KFR-001"),
            (
                Some(service.issuer.token(BLABAERLIA, "bits:kundeforhold")),
                403,
                "KFR-002",
            ),
            (Some(service.issuer.bank_token(GRANSKAUEN)), 403, "KFR-003"),
        ] {
            let request = service.http.put(service.url(&path)).body(String::new());
            let request = token
                .iter()
                .fold(request, |request, token| request.bearer_auth(token));
            assert_eq!(
                code_of(request.send().await.unwrap(), status).await,
                code,
                "{engine:?}"
            );
        }
        assert_eq!(
            service.listed(&customer).await.as_array().unwrap().len(),
            1,
            "{engine:?}"
        );
    }
}
