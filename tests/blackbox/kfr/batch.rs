//! The batch: every form that banks send, all or nothing.

use super::{RYPA, days_ago, days_ahead, register};
use crate::harness::calls::{BOUNDARY, code_of, form};
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use reqwest::Response;
use serde_json::{Value, json};

const TYPE: (&str, &str) = ("name=\"customer_type\"", "DSOPBANK");

async fn send(service: &Service, parts: &[(&str, &str)]) -> Response {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    service
        .kfr_form(RYPA, &content_type, form(parts))
        .send()
        .await
        .unwrap()
}

async fn details(response: Response, status: u16, code: &str) -> Vec<(String, String)> {
    let found = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (found.as_u16(), body["errorCode"].as_str().unwrap()),
        (status, code),
        "{body}"
    );
    let text = |detail: &Value, name: &str| detail[name].as_str().unwrap().to_owned();
    let details = body["details"].as_array().unwrap();
    details
        .iter()
        .map(|d| (text(d, "parameter"), text(d, "reason")))
        .collect()
}

#[tokio::test]
async fn every_form_that_banks_send_is_read() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let mut customers = people();
        let start = days_ago(7).to_string();
        let forms: [fn(&str, &str, &str) -> String; 10] = [
            |a, b, day| format!("{a},{b}#{day}"),
            |a, b, day| format!("{a}\n{b}#{day}"),
            |a, b, day| format!("{a}\r\n{b}#{day}\r\n"),
            |a, b, day| format!("\u{feff}{a},{b}#{day}"),
            |a, b, day| format!("  {a} ,\t{b}#{day}  "),
            |a, b, day| format!("{a},{b}#{day},"),
            |a, b, day| format!("{a},\r\n{b}#{day},\r\n"),
            |a, b, day| format!("\n\n{a}\n\n,{b}#{day}\n"),
            |a, b, day| format!("{a}, {b} # {day}"),
            |a, b, day| format!("{a},{a},{b}#{day},{b}"),
        ];
        for written in forms {
            let (today, earlier) = (customers.next().unwrap(), customers.next().unwrap());
            let list = written(&today, &earlier, &start);
            let response = send(&service, &[TYPE, ("name=\"customers\"", &list)]).await;
            assert_eq!(response.status(), 201, "{list:?}");
            assert!(service.is_listed_on(&today, days_ago(0)).await, "{list:?}");
            assert!(!service.is_listed_on(&today, days_ago(1)).await, "{list:?}");
            assert!(service.is_listed_on(&earlier, days_ago(7)).await, "{list:?}");
            assert!(!service.is_listed_on(&earlier, days_ago(8)).await, "{list:?}");
        }
    }
}

#[tokio::test]
async fn part_headers_are_read_as_banks_write_them() {
    let service = Service::start(Caching::Without).await;
    let headers = [
        ("name=\"customer_type\";", "name=\"customers\";"),
        ("name=\"customer_type\"; ", "name=\"customers\"; "),
        ("name=customer_type", "name=customers"),
        (
            "name=\"customer_type\"",
            "name=\"customers\"; filename=\"customers.csv\"\r\nContent-Type: text/csv",
        ),
        (
            "name=\"customer_type\"",
            "name=\"customers\"; filename=\"customers.csv\";",
        ),
    ];
    for ((of_type, of_customers), customer) in headers.into_iter().zip(people()) {
        let response = send(&service, &[(of_customers, &customer), (of_type, "DSOPBANK")]).await;
        assert_eq!(response.status(), 201, "{of_type} {of_customers}");
        assert!(
            service.is_listed_on(&customer, days_ago(0)).await,
            "{of_customers}"
        );
    }
    let body = form(&[TYPE, ("name=\"customers\"", &people().nth(20).unwrap())]);
    for content_type in [
        "multipart/form-data; boundary=\"{}\"",
        "multipart/form-data; boundary={};",
        "Multipart/Form-Data;boundary={}",
    ] {
        let content_type = content_type.replace("{}", BOUNDARY);
        let response = service
            .kfr_form(RYPA, &content_type, body.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 201, "{content_type}");
    }
}

#[tokio::test]
async fn for_a_running_customer_the_earlier_start_wins() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let customer = people().next().unwrap();
        register(&service, &customer, days_ago(10)).await;
        register(&service, &customer, days_ago(5)).await;
        assert!(
            service.is_listed_on(&customer, days_ago(10)).await,
            "a later start changes nothing"
        );
        assert!(
            !service.is_listed_on(&customer, days_ago(11)).await,
            "{caching:?}"
        );
        register(&service, &customer, days_ago(20)).await;
        assert!(service.is_listed_on(&customer, days_ago(20)).await, "{caching:?}");
        assert!(
            !service.is_listed_on(&customer, days_ago(21)).await,
            "{caching:?}"
        );
        let list = format!(
            "{customer}#{},{customer}#{},{customer}",
            days_ago(30),
            days_ago(25)
        );
        assert_eq!(service.kfr_batch(RYPA, &list).send().await.unwrap().status(), 201);
        assert!(
            service.is_listed_on(&customer, days_ago(30)).await,
            "within one batch too"
        );
        // One registration was moved, not several made: ending it ends all.
        let end = service.kfr(reqwest::Method::DELETE, RYPA, &customer);
        let end = end.query(&[("toDate", days_ago(28).to_string())]);
        assert_eq!(end.send().await.unwrap().status(), 204);
        assert!(
            !service.is_listed_on(&customer, days_ago(27)).await,
            "{caching:?}"
        );
        assert!(!service.is_listed_on(&customer, days_ago(5)).await, "{caching:?}");
    }
}

#[tokio::test]
async fn one_bad_item_rejects_all_and_is_named_by_its_position() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let good: Vec<String> = people().take(3).collect();
        let none_listed = async || {
            for customer in &good {
                assert_eq!(service.listed(customer).await, json!([]), "{caching:?}");
            }
        };
        let list = format!("{},13097248032, x{} ,{}", good[0], good[1], good[2]);
        let response = service.kfr_batch(RYPA, &list).send().await.unwrap();
        let named = details(response, 400, "KFR-005").await;
        let positions: Vec<&str> = named.iter().map(|(parameter, _)| parameter.as_str()).collect();
        assert_eq!(positions, ["customers[2]", "customers[3]"], "{caching:?}");
        assert!(
            named
                .iter()
                .all(|(_, reason)| !reason.contains("1309") && !reason.contains(&good[1]))
        );
        none_listed().await;

        let list = format!(
            "{}\n{}#{}\n{}#2026-02-30",
            good[0],
            good[1],
            days_ahead(1),
            good[2]
        );
        let named = details(
            service.kfr_batch(RYPA, &list).send().await.unwrap(),
            400,
            "KFR-010",
        )
        .await;
        let positions: Vec<&str> = named.iter().map(|(parameter, _)| parameter.as_str()).collect();
        assert_eq!(
            positions,
            ["customers[2]", "customers[3]"],
            "a future start and no day"
        );
        none_listed().await;

        let list = format!("{}#{},13097248032", good[0], days_ahead(1));
        let named = details(
            service.kfr_batch(RYPA, &list).send().await.unwrap(),
            400,
            "KFR-005",
        )
        .await;
        assert_eq!(named.len(), 2, "all that is wrong at once");
        none_listed().await;
    }
}

#[tokio::test]
async fn a_form_that_cannot_be_read_is_400_and_says_why() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let customer = people().next().unwrap();
        let customers = ("name=\"customers\"", customer.as_str());
        let good = form(&[TYPE, customers]);
        let send_as = async |content_type: &str, body: &str| {
            let response = service
                .kfr_form(RYPA, content_type, body.to_owned())
                .send()
                .await
                .unwrap();
            let (parameter, reason) = details(response, 400, "KFR-004").await.remove(0);
            format!("{parameter} {reason}")
        };
        let right = format!("multipart/form-data; boundary={BOUNDARY}");
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "text/csv",
            "application/json",
        ] {
            let said = send_as(content_type, &good).await;
            assert!(said.contains("boundary"), "{content_type}: {said}");
        }
        for (content_type, body) in [
            ("multipart/form-data; boundary=other", good.as_str()),
            (right.as_str(), "no form at all"),
            (right.as_str(), ""),
            (right.as_str(), &good[..good.len() - 20]),
        ] {
            let said = send_as(content_type, body).await;
            assert!(said.contains("boundary"), "{content_type}: {said}");
        }
        for (parts, parameter, what) in [
            (vec![TYPE], "customers", "missing"),
            (vec![customers], "customer_type", "missing"),
            (vec![TYPE, customers, ("name=\"other\"", "1")], "body", "field"),
            (vec![TYPE, customers, customers], "customers", "more than once"),
            (
                vec![TYPE, ("name=\"customers\"", " ,\r\n,")],
                "customers",
                "no customer",
            ),
        ] {
            let said = send_as(&right, &form(&parts)).await;
            assert!(said.starts_with(parameter) && said.contains(what), "{said}");
        }
        let wrong_type = send(&service, &[("name=\"customer_type\"", "OTHER"), customers]).await;
        assert_eq!(details(wrong_type, 400, "KFR-009").await[0].0, "customer_type");
        let mut uncorrelated = service.kfr_batch(RYPA, &customer).build().unwrap();
        uncorrelated.headers_mut().remove("CorrelationID");
        let refused = service.http.execute(uncorrelated).await.unwrap();
        assert_eq!(code_of(refused, 400).await, "KFR-004");
        assert_eq!(service.listed(&customer).await, json!([]), "{caching:?}");
    }
}

#[tokio::test]
async fn a_thousand_customers_are_taken_at_once() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let list: Vec<String> = people().take(1_000).collect();
        assert_eq!(
            service
                .kfr_batch(RYPA, &list.join("\n"))
                .send()
                .await
                .unwrap()
                .status(),
            201
        );
        for customer in list.iter().step_by(111) {
            assert!(service.is_listed_on(customer, days_ago(0)).await, "{caching:?}");
        }
    }
}

#[tokio::test]
async fn a_batch_above_its_bounds_is_refused() {
    let service = Service::start_with(
        Caching::Without,
        "[delivery]\nmax_batch_bytes = 2000\npause_seconds = 1\n",
    )
    .await;
    let list: Vec<String> = people().take(300).collect();
    let refused = service.kfr_batch(RYPA, &list.join(",")).send().await.unwrap();
    assert_eq!(code_of(refused, 413).await, "KFR-013");
    let (pieces, body) = crate::harness::calls::streamed();
    pieces.send(Ok(form(&[TYPE])[..40].to_owned())).await.unwrap();
    let slow = service.kfr_form(RYPA, &format!("multipart/form-data; boundary={BOUNDARY}"), body);
    assert_eq!(code_of(slow.send().await.unwrap(), 408).await, "KFR-014");
    assert_eq!(service.listed(&list[0]).await, json!([]));
}
