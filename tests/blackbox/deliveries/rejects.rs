//! Rejected lines: told one by one, counted, and admitted up to `maxRejects`.

use super::{BLABAERLIA, id_of, lines, owners, published, put, record};
use crate::harness::identifiers::people;
use crate::harness::{EITHER_WAY, Service};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn rejects_are_told_as_ndjson_and_repeat_nothing_of_the_line() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(2).collect();
        let secret = "supersecretvalue";
        let set = lines(&[
            record(&who[0], "owner", &json!({})),
            record("13097248032", "owner", &json!({})),
            record(&who[1], secret, &json!({})),
            record(&who[1], "owner", &json!({"toDate": secret})),
            record(&who[1], "owner", &json!({"accountID": "12345678901"})),
            record(&who[1], "owner", &json!({secret: 1})),
            record(
                "13097248032",
                "owner",
                &json!({"accountID": "12345678901", "toDate": "2014-12-31"}),
            ),
        ]);
        let (status, refused) = put(&service, BLABAERLIA, "", set).await;
        assert_eq!(
            (status, &refused["errorCode"]),
            (422, &json!("KFR-012")),
            "{refused}"
        );
        assert_eq!(
            (&refused["state"], &refused["rejected"]),
            (&json!("rejected"), &json!(6))
        );
        let path = format!("deliveries/{}/rejects", id_of(&refused));
        let mut told = Vec::new();
        for _ in 0..2 {
            let response = service.v2(Method::GET, BLABAERLIA, &path).send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["Content-Type"], "application/x-ndjson");
            let text = response.text().await.unwrap();
            for held in [&who[1], "13097248032", "12345678901", secret] {
                assert!(
                    !text.contains(held) && !refused.to_string().contains(held),
                    "{text}"
                );
            }
            told = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .collect();
            service.kill_and_restart().await;
        }
        assert_eq!(json!(told), refused["rejects"]);
        let what = |reject: &Value| {
            assert_eq!(reject.as_object().unwrap().len(), 2, "{reject}");
            let fault = |fault: &Value| {
                assert_eq!(fault.as_object().unwrap().len(), 3, "{fault}");
                assert!(fault["reason"].as_str().unwrap().len() > 5, "{fault}");
                (
                    reject["line"].as_u64(),
                    fault["code"].clone(),
                    fault["parameter"].clone(),
                )
            };
            let faults = reject["faults"].as_array().unwrap();
            faults.iter().map(fault).collect::<Vec<_>>()
        };
        let found: Vec<_> = told.iter().flat_map(what).collect();
        let expected = [
            (2, "KFR-005", "customerID"),
            (3, "KFR-004", "role"),
            (4, "KFR-010", "toDate"),
            (5, "KFR-004", "accountID"),
            (6, "KFR-004", "line"),
            (7, "KFR-005", "customerID"),
            (7, "KFR-004", "accountID"),
            (7, "KFR-010", "toDate"),
        ];
        let expected = expected.map(|(line, code, parameter)| (Some(line), json!(code), json!(parameter)));
        assert_eq!(found, expected, "{caching:?}");
    }
}

#[tokio::test]
async fn bad_lines_up_to_max_rejects_are_left_out_and_one_more_rejects_all() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        let set = format!("{}{{}}\nx\n{}", owners(&who[..1]), owners(&who[1..2]));
        let (status, refused) = put(&service, BLABAERLIA, "?maxRejects=1", set.clone()).await;
        assert_eq!((status, &refused["rejected"]), (422, &json!(2)), "{refused}");
        let (_, taken) = put(&service, BLABAERLIA, "?maxRejects=2", set).await;
        assert_eq!(
            (&taken["read"], &taken["stored"], &taken["rejected"]),
            (&json!(4), &json!(2), &json!(2))
        );
        let id = published((200, taken));
        for customer in &who[..2] {
            assert!(super::is_listed(&service, customer).await, "{caching:?}");
        }
        let response = service.v2(Method::GET, BLABAERLIA, &format!("deliveries/{id}/rejects"));
        let text = response.send().await.unwrap().text().await.unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        for bad in ["-1", "x", "1.5", ""] {
            let (status, body) = put(&service, BLABAERLIA, &format!("?maxRejects={bad}"), "").await;
            assert_eq!(
                (status, &body["details"][0]["parameter"]),
                (400, &json!("maxRejects")),
                "{body}"
            );
        }
    }
}
