//! The KFR calls, to the letter of what banks use today.

mod admission;
mod batch;
mod refusals;

use crate::harness::calls::{CORRELATION, code_of};
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Service, world};
use chrono::{Days, NaiveDate};
use reqwest::Method;
use serde_json::{Value, json};

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
    for engine in ENGINES {
        let service = Service::start(engine).await;
        for ((bank, name, ownership), customer) in banks.into_iter().zip(people()) {
            let listed = json!([{
                "organizationID": bank, "bankName": name, "activeAccount": false, "ownershipType": ownership
            }]);
            assert_eq!(service.listed(&customer).await, json!([]), "{engine:?}");
            assert_eq!(
                call(&service, Method::POST, bank, &customer).await,
                201,
                "{engine:?}"
            );
            assert_eq!(service.listed(&customer).await, listed, "{engine:?}");
            assert!(
                !service.is_listed_on(&customer, days_ago(1)).await,
                "starts today"
            );
            assert_eq!(
                call(&service, Method::POST, bank, &customer).await,
                200,
                "{engine:?}"
            );
            assert_eq!(service.listed(&customer).await, listed, "{engine:?}");
            assert_eq!(
                call(&service, Method::DELETE, bank, &customer).await,
                204,
                "{engine:?}"
            );
            assert_eq!(service.listed(&customer).await, json!([]), "{engine:?}");
            let again = service.kfr(Method::DELETE, bank, &customer).send().await.unwrap();
            assert_eq!(again.headers()["CorrelationID"], CORRELATION);
            assert_eq!(code_of(again, 404).await, "KFR-008", "{engine:?}");
        }
    }
}

#[tokio::test]
async fn an_organisation_is_registered_like_a_person() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        assert_eq!(call(&service, Method::POST, ORRHANEN, " 123456785 ").await, 201);
        assert_eq!(service.listed("123456785").await[0]["organizationID"], ORRHANEN);
    }
}

#[tokio::test]
async fn a_registration_ends_yesterday_unless_a_day_is_given() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let mut customers = people();
        let mut next = || customers.next().unwrap();

        let customer = next();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(
            call(&service, Method::DELETE, RYPA, &customer).await,
            204,
            "{engine:?}"
        );
        assert!(service.is_listed_on(&customer, days_ago(1)).await, "{engine:?}");
        assert!(!service.is_listed_on(&customer, days_ago(0)).await, "{engine:?}");

        let customer = next();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(end(&service, &customer, days_ago(5)).await, 204, "{engine:?}");
        assert!(service.is_listed_on(&customer, days_ago(5)).await, "{engine:?}");
        assert!(!service.is_listed_on(&customer, days_ago(4)).await, "{engine:?}");
        assert_eq!(
            end(&service, &customer, days_ago(5)).await,
            404,
            "nothing runs any more"
        );

        let customer = next();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(end(&service, &customer, days_ago(11)).await, 204, "{engine:?}");
        let ever = service
            .listed_between(&customer, "2000-01-01", &days_ahead(30).to_string())
            .await;
        assert_eq!(ever, json!([]), "one that would end before it began is removed");

        let customer = next();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(end(&service, &customer, days_ago(0)).await, 204, "{engine:?}");
        assert!(
            service.is_listed_on(&customer, days_ago(0)).await,
            "its last day is today"
        );
        assert_eq!(
            end(&service, &customer, days_ahead(3)).await,
            204,
            "it still runs today"
        );
        assert!(service.is_listed_on(&customer, days_ago(0)).await, "{engine:?}");
        assert_eq!(end(&service, &customer, days_ago(10)).await, 204, "{engine:?}");
        assert!(service.is_listed_on(&customer, days_ago(10)).await, "of one day");
        assert!(!service.is_listed_on(&customer, days_ago(9)).await, "{engine:?}");
    }
}

#[tokio::test]
async fn a_deletion_ends_all_running_registrations_and_nothing_else() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
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

        assert_eq!(end(&service, &customer, days_ago(30)).await, 204, "{engine:?}");
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
        assert!(own(50).await && own(30).await, "{engine:?}");
        assert!(!own(29).await && !own(20).await && !own(0).await, "{engine:?}");
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
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let customer = people().next().unwrap();
        register(&service, &customer, days_ago(10)).await;
        assert_eq!(call(&service, Method::POST, ORRHANEN, &customer).await, 201);
        let itself = json!({"banks": [
            {"organizationID": RYPA, "bankName": "Rypa Kort og Kreditt", "activeAccount": false}
        ]});
        let response = service.kfr_own(RYPA, &customer).send().await.unwrap();
        assert_eq!(response.headers()["CorrelationID"], CORRELATION);
        assert_eq!(response.headers()["Cache-Control"], "no-store");
        assert_eq!(response.json::<Value>().await.unwrap(), itself, "{engine:?}");

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
        assert_eq!(response.json::<Value>().await.unwrap(), itself, "{engine:?}");

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
