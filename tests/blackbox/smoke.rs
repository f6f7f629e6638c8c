//! The shortest way through everything: the fixtures delivered, each expected answer asked for.

use crate::harness::world;
use crate::harness::{EITHER_WAY, Service};
use serde_json::Value;

#[tokio::test]
async fn every_expected_answer_of_the_fixtures_is_given() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        service.deliver_world().await;
        let cases = world::expected();
        assert!(cases.len() >= 80);
        for case in cases {
            let text = |name: &str| case.get(name).and_then(Value::as_str);
            let name = text("name").unwrap();
            let request = match text("endpoint").unwrap() {
                "customerRelationships" => {
                    let (from, to) = (text("fromDate").unwrap(), text("toDate").unwrap());
                    let request = service.relationships(text("customerID").unwrap(), from, to);
                    match text("onlyPrimaryOwner") {
                        Some(only) => request.query(&[("onlyPrimaryOwner", only)]),
                        None => request,
                    }
                }
                _ => service.account(text("accountID").unwrap()),
            };
            let response = request.send().await.unwrap();
            assert_eq!(
                u64::from(response.status().as_u16()),
                case["status"].as_u64().unwrap(),
                "{caching:?}: {name}"
            );
            let coverage = response.headers()["Register-Coverage"]
                .to_str()
                .unwrap()
                .to_owned();
            assert_eq!(Some(coverage.as_str()), text("coverage"), "{caching:?}: {name}");
            let body: Value = response.json().await.unwrap();
            match (case.get("banks"), case.get("provider")) {
                (Some(banks), _) => assert_eq!(&body["banks"], banks, "{caching:?}: {name}"),
                (None, Some(provider)) => assert_eq!(&body, provider, "{caching:?}: {name}"),
                (None, None) => assert_eq!(body["errorCode"], "ERR-006", "{caching:?}: {name}"),
            }
        }
    }
}
