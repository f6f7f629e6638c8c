//! The KFR calls, to the letter of what banks use today.

mod admission;
mod batch;
mod refusals;

use crate::harness::ask::Ask;
use crate::harness::calls::{CORRELATION, code_of};
use crate::harness::identifiers::people;
use crate::harness::{EITHER_WAY, Service, world};
use chrono::{Days, NaiveDate};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// In KFR only; ownership unknown.
pub const RYPA: &str = "210132120";
/// In KFR only; `kfrRole = "owner"`.
pub const ORRHANEN: &str = "210143130";
/// In both registers.
pub const GRANSKAUEN: &str = "210099093";
/// In KAR only.
pub const BLABAERLIA: &str = "210011013";

fn days_ago(days: u64) -> NaiveDate {
    world::today() - Days::new(days)
}

fn days_ahead(days: u64) -> NaiveDate {
    world::today() + Days::new(days)
}

async fn call(service: &Service, method: Method, bank: &str, customer: &str) -> u16 {
    let response = service.kfr(method, bank, customer).send().await.unwrap();
    assert_eq!(response.headers()["CorrelationID"], CORRELATION);
    response.status().as_u16()
}

async fn end(service: &Service, customer: &str, to: NaiveDate) -> u16 {
    let request = service.kfr(Method::DELETE, RYPA, customer);
    request
        .query(&[("toDate", to.to_string())])
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// Registers a customer at Rypa from a day on.
async fn register(service: &Service, customer: &str, from: NaiveDate) {
    let response = service
        .kfr_batch(RYPA, &format!("{customer}#{from}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 201);
}

#[tokio::test]
async fn a_registration_is_in_the_agencys_next_answer() {
    let banks = [
        (RYPA, "Rypa Kort og Kreditt", "unknown"),
        (ORRHANEN, "Orrhanen Forvaltning", "primaryOwner"),
        (GRANSKAUEN, "Granskauen Bank", "unknown"),
    ];
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for ((bank, name, ownership), customer) in banks.into_iter().zip(people()) {
            let listed = json!([{
                "organizationID": bank, "bankName": name, "activeAccount": false, "ownershipType": ownership
            }]);
            assert_eq!(service.listed(&customer).await, json!([]), "{caching:?}");
            assert_eq!(
                call(&service, Method::POST, bank, &customer).await,
                201,
                "{caching:?}"
            );
            assert_eq!(service.listed(&customer).await, listed, "{caching:?}");
            assert!(
                !service.is_listed_on(&customer, days_ago(1)).await,
                "starts today"
            );
            assert_eq!(
                call(&service, Method::POST, bank, &customer).await,
                200,
                "{caching:?}"
            );
            assert_eq!(service.listed(&customer).await, listed, "{caching:?}");
            assert_eq!(
                call(&service, Method::DELETE, bank, &customer).await,
                204,
                "{caching:?}"
            );
            assert_eq!(service.listed(&customer).await, json!([]), "{caching:?}");
            let again = service.kfr(Method::DELETE, bank, &customer).send().await.unwrap();
            assert_eq!(again.headers()["CorrelationID"], CORRELATION);
            assert_eq!(code_of(again, 404).await, "KFR-008", "{caching:?}");
        }
    }
}

#[tokio::test]
async fn an_organisation_is_registered_like_a_person() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        assert_eq!(call(&service, Method::POST, ORRHANEN, " 123456785 ").await, 201);
        assert_eq!(service.listed("123456785").await[0]["organizationID"], ORRHANEN);
    }
}

#[tokio::test]
async fn a_registration_ends_yesterday_unless_a_day_is_given() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let mut customers = people();
        let mut next = || customers.next().unwrap();

        let customer = next();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(
            call(&service, Method::DELETE, RYPA, &customer).await,
            204,
            "{caching:?}"
        );
        assert!(service.is_listed_on(&customer, days_ago(1)).await, "{caching:?}");
        assert!(!service.is_listed_on(&customer, days_ago(0)).await, "{caching:?}");

        let customer = next();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(end(&service, &customer, days_ago(5)).await, 204, "{caching:?}");
        assert!(service.is_listed_on(&customer, days_ago(5)).await, "{caching:?}");
        assert!(!service.is_listed_on(&customer, days_ago(4)).await, "{caching:?}");
        assert_eq!(
            end(&service, &customer, days_ago(5)).await,
            404,
            "nothing runs any more"
        );

        let customer = next();
        register(&service, &customer, days_ago(10)).await;
        let too_early = service.kfr(Method::DELETE, RYPA, &customer);
        let too_early = too_early.query(&[("toDate", days_ago(11).to_string())]);
        let refused = too_early.send().await.unwrap();
        assert_eq!(refused.headers()["CorrelationID"], CORRELATION);
        assert_eq!(code_of(refused, 400).await, "KFR-010", "before it began");
        assert!(service.is_listed_on(&customer, days_ago(10)).await, "{caching:?}");
        assert!(service.is_listed_on(&customer, days_ago(0)).await, "it runs on");

        // Only without a day, one that began today is removed.
        let customer = next();
        assert_eq!(call(&service, Method::POST, RYPA, &customer).await, 201);
        assert_eq!(end(&service, &customer, days_ago(1)).await, 400, "{caching:?}");
        assert!(service.is_listed_on(&customer, days_ago(0)).await, "{caching:?}");
        assert_eq!(call(&service, Method::DELETE, RYPA, &customer).await, 204);
        let ever = service
            .listed_between(&customer, "2000-01-01", &days_ahead(30).to_string())
            .await;
        assert_eq!(ever, json!([]), "{caching:?}");

        let customer = next();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(end(&service, &customer, days_ago(0)).await, 204, "{caching:?}");
        assert!(
            service.is_listed_on(&customer, days_ago(0)).await,
            "its last day is today"
        );
        assert_eq!(
            end(&service, &customer, days_ahead(3)).await,
            204,
            "it still runs today"
        );
        assert!(service.is_listed_on(&customer, days_ago(0)).await, "{caching:?}");
        assert_eq!(end(&service, &customer, days_ago(10)).await, 204, "{caching:?}");
        assert!(service.is_listed_on(&customer, days_ago(10)).await, "of one day");
        assert!(!service.is_listed_on(&customer, days_ago(9)).await, "{caching:?}");
    }
}

#[tokio::test]
async fn a_deletion_ends_all_running_registrations_and_nothing_else() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let customer = people().next().unwrap();
        let line = |from: NaiveDate, more: &str| {
            format!("{{\"customerID\":\"{customer}\",\"role\":\"unknown\",\"fromDate\":\"{from}\"{more}}}\n")
        };
        let closed = format!(",\"toDate\":\"{}\"", days_ago(90));
        let set = [
            line(days_ago(100), &closed),
            line(days_ago(50), ""),
            line(days_ago(20), ""),
        ]
        .concat();
        assert_eq!(service.put_set(RYPA, "KFR", set).await.status(), 200);
        let fund = line(days_ago(60), ",\"agreementID\":\"fund\"");
        assert_eq!(service.put_set(ORRHANEN, "KFR", fund).await.status(), 200);

        // One of the two began later, and nothing is changed.
        assert_eq!(end(&service, &customer, days_ago(30)).await, 400, "{caching:?}");
        assert_eq!(end(&service, &customer, days_ago(15)).await, 204, "{caching:?}");
        for (day, listed) in [(100, true), (90, true), (89, false), (61, false)] {
            assert_eq!(
                service.is_listed_on(&customer, days_ago(day)).await,
                listed,
                "{day}"
            );
        }
        let own = async |day: u64| {
            let day = days_ago(day).to_string();
            let request = service
                .kfr_own(RYPA, &customer)
                .query(&[("fromDate", &day), ("toDate", &day)]);
            request.send().await.unwrap().json::<Value>().await.unwrap()["banks"] != json!([])
        };
        assert!(own(50).await && own(20).await && own(15).await, "{caching:?}");
        assert!(!own(14).await && !own(0).await, "{caching:?}");
        let others = service.listed(&customer).await;
        assert_eq!(
            others[0]["organizationID"], ORRHANEN,
            "another bank's record stands"
        );
        assert_eq!(
            call(&service, Method::DELETE, ORRHANEN, &customer).await,
            404,
            "not at customer level"
        );
    }
}

#[tokio::test]
async fn a_bank_reads_its_own_registration_and_no_other() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let customer = people().next().unwrap();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(call(&service, Method::POST, ORRHANEN, &customer).await, 201);
        let itself = json!({"banks": [
            {"organizationID": RYPA, "bankName": "Rypa Kort og Kreditt", "activeAccount": false}
        ]});
        let response = service.kfr_own(RYPA, &customer).send().await.unwrap();
        assert_eq!(response.headers()["CorrelationID"], CORRELATION);
        assert_eq!(response.headers()["Cache-Control"], "no-store");
        assert_eq!(response.json::<Value>().await.unwrap(), itself, "{caching:?}");

        let path = format!("/kar-ws/api/v1/customers/financialInstitutions/{RYPA}");
        let bare = service
            .http
            .get(service.url(&path))
            .bearer_auth(service.issuer.bank_token(RYPA));
        let response = bare.header("CustomerID", &customer).send().await.unwrap();
        assert!(
            response.headers().contains_key("CorrelationID"),
            "made when absent"
        );
        assert_eq!(response.json::<Value>().await.unwrap(), itself, "{caching:?}");

        let period =
            |from: NaiveDate, to: NaiveDate| [("fromDate", from.to_string()), ("toDate", to.to_string())];
        for (from, to, banks) in [(days_ago(20), days_ago(11), 0), (days_ago(20), days_ago(10), 1)] {
            let request = service.kfr_own(RYPA, &customer).query(&period(from, to));
            let body: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(body["banks"].as_array().unwrap().len(), banks, "{from} {to}");
        }
        let since = [("fromDate", days_ago(20).to_string())];
        let request = service.kfr_own(RYPA, &customer).query(&since);
        assert_eq!(
            request.send().await.unwrap().json::<Value>().await.unwrap(),
            itself,
            "to today"
        );
        let stranger = people().nth(5).unwrap();
        let response = service.kfr_own(RYPA, &stranger).send().await.unwrap();
        assert_eq!(response.json::<Value>().await.unwrap(), json!({"banks": []}));
    }
}

#[tokio::test]
async fn calls_keep_a_set_fresh_and_only_a_batch_or_a_whole_set_loads_it() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        let told = async |service: &Service, bank: &str| {
            let told = Ask::participants(service).send().await.body();
            let banks = told["participants"].as_array().unwrap();
            let bank = banks.iter().find(|told| told["organizationID"] == bank).unwrap();
            let last = bank["lastDelivery"].as_str().map(str::to_owned);
            (bank["state"].as_str().unwrap().to_owned(), last)
        };
        assert_eq!(call(&service, Method::POST, RYPA, &who[0]).await, 201);
        assert_eq!(call(&service, Method::POST, RYPA, &who[0]).await, 200);
        for _ in 0..2 {
            assert_eq!(told(&service, RYPA).await.0, "notLoaded", "{caching:?}");
            assert!(service.is_listed_on(&who[0], days_ago(0)).await, "{caching:?}");
            service.kill_and_restart().await;
        }
        let batch = service.kfr_batch(RYPA, &who[1]).send().await.unwrap();
        assert_eq!(batch.status(), 201);
        let (state, loaded) = told(&service, RYPA).await;
        assert_eq!(state, "current", "{caching:?}");
        // Told in whole seconds. Also a call that finds what it asks for keeps the set fresh.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(call(&service, Method::POST, RYPA, &who[1]).await, 200);
        for _ in 0..2 {
            let (state, last) = told(&service, RYPA).await;
            assert_eq!(state, "current", "{caching:?}");
            assert!(last > loaded, "{caching:?}: {last:?} after {loaded:?}");
            service.kill_and_restart().await;
        }
    }
}
