//! Lines and requests that are no good: told one by one, and the former set stands.

use super::{BLABAERLIA, GRANSKAUEN, hexadecimal_sha256, line, put};
use crate::harness::calls::code_of;
use crate::harness::identifiers::{accounts, people};
use crate::harness::{Caching, EITHER_WAY, Service};
use serde_json::{Value, json};

#[tokio::test]
async fn bad_lines_are_told_one_by_one_and_the_former_set_stands() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
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
        assert_eq!(response.status(), 422, "{caching:?}");
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
                    reject["faults"][0]["parameter"].as_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            (2, "customerID"),
            (4, "accountID"),
            (5, "agreementID"),
            (6, "agreementID"),
            (7, "role"),
            (8, "creditable"),
            (9, "toDate"),
            (10, "toDate"),
            (11, "line"),
            (12, "line"),
            (13, "customerID"),
            (14, "customerID"),
        ];
        assert_eq!(told, expected, "{caching:?}");
        assert!(
            receipt["rejects"]
                .as_array()
                .unwrap()
                .iter()
                .all(|reject| reject["faults"][0]["reason"].is_string())
        );
        assert_eq!(
            service.listed(&who[0]).await.as_array().unwrap().len(),
            1,
            "{caching:?}"
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
    let service = Service::start(Caching::Without).await;
    let set = "{}\n".repeat(1_203);
    let response = service.put(BLABAERLIA, "").body(set).send().await.unwrap();
    assert_eq!(response.status(), 422);
    let receipt: Value = response.json().await.unwrap();
    assert_eq!(receipt["rejected"], 1_203);
    assert_eq!(receipt["rejects"].as_array().unwrap().len(), 1_000);
}

#[tokio::test]
async fn what_is_no_delivery_is_refused_before_it_is_read() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
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
                "{caching:?}"
            );
        }
        assert_eq!(
            service.listed(&customer).await.as_array().unwrap().len(),
            1,
            "{caching:?}"
        );
    }
}
