//! What operators do: only from a page of their own session, and never unrecorded.

use super::{BANK, Browser, wait_for};
use crate::audit::load::search;
use crate::harness::{Caching, Service, world};
use reqwest::header::{HeaderName, ORIGIN};
use reqwest::{Method, StatusCode};
use serde_json::Value;

const CASE: &str = "6a0c3f1e-52b8-4a39-8a53-70f35ce0b2f1";

fn record_of(customer: &str) -> String {
    format!("{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}}\n")
}

async fn deliver(service: &Service, records: String) -> String {
    let response = service.put_set(BANK, "KAR", records).await;
    assert_eq!(response.status(), 200);
    let receipt: Value = response.json().await.unwrap();
    receipt["deliveryID"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_form_without_its_sessions_token_or_from_another_site_does_nothing() {
    let service = Service::start(Caching::Without).await;
    deliver(&service, record_of("01856867389")).await;
    let latest = deliver(&service, record_of("17912099997")).await;
    let (mut browser, mut other) = (Browser::new(&service), Browser::new(&service));
    let token = browser.form_token().await;
    let others = other.form_token().await;
    let rollback = format!("/console/banks/{BANK}/deliveries/{latest}/rollback");
    for path in [
        "/console/record/search",
        "/console/record/verify",
        rollback.as_str(),
    ] {
        for wrong in ["", "AAAA", &others] {
            let fields = [("form_token", wrong), ("case", CASE), ("shown", latest.as_str())];
            let page = browser.post(path, &fields).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} with {wrong:?}");
        }
        let fields = [
            ("form_token", token.as_str()),
            ("case", CASE),
            ("shown", latest.as_str()),
        ];
        let from_elsewhere = [
            (ORIGIN, "https://evil.example"),
            (ORIGIN, "null"),
            (HeaderName::from_static("sec-fetch-site"), "cross-site"),
            (HeaderName::from_static("sec-fetch-site"), "same-site"),
        ];
        for (name, value) in from_elsewhere {
            let request = browser.form(path, &fields).header(name, value);
            assert_eq!(
                browser.send(request).await.status,
                StatusCode::FORBIDDEN,
                "{path} from {value}"
            );
        }
    }
    assert!(search(&service, &["--case", CASE], "").is_empty());
    let receipt: Value = service
        .v2(Method::GET, BANK, &format!("deliveries/{latest}"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(receipt["state"], "published");
}

#[tokio::test]
async fn a_search_shows_calls_without_customers_and_is_itself_recorded() {
    let service = Service::start(Caching::Without).await;
    deliver(&service, record_of("01856867389")).await;
    let today = world::today().to_string();
    let asked = service
        .relationships("01856867389", &today, &today)
        .header("X-Ignored", "1")
        .send()
        .await
        .unwrap();
    let correlation = asked.headers()["correlationid"].to_str().unwrap().to_owned();
    let calls = search(&service, &["--correlation", &correlation], "");
    let case = calls[0]["accountInfoRequestID"].as_str().unwrap().to_owned();
    let pseudonym = calls[0]["customerPseudonym"].as_str().unwrap();

    let mut browser = Browser::new(&service);
    let token = browser.form_token().await;
    let by_case = [("form_token", token.as_str()), ("case", case.as_str())];
    let page = browser.post("/console/record/search", &by_case).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("1 found") && page.text.contains(&correlation),
        "{}",
        page.text
    );
    assert!(!page.text.contains(pseudonym) && !page.text.contains("01856867389"));

    let recorded = search(&service, &["--case", &case], "");
    let act = recorded.last().unwrap();
    assert_eq!(recorded.len(), 2);
    assert_eq!(
        (&act["endpoint"], &act["status"]),
        (&"consoleSearch".into(), &200.into())
    );
    assert!(
        act["operator"].as_str().unwrap().starts_with("local operator ("),
        "{act}"
    );
    assert_eq!(act["consumer"], Value::Null);

    let by_correlation = [
        ("form_token", token.as_str()),
        ("correlation", correlation.as_str()),
    ];
    let page = browser.post("/console/record/search", &by_correlation).await;
    assert!(page.text.contains("1 found") && page.text.contains(&case));
    let again = browser.post("/console/record/search", &by_case).await;
    assert!(again.text.contains("2 found") && again.text.contains("consoleSearch"));

    for bad in ["01856867389", "' or 1=1", ""] {
        let page = browser
            .post("/console/record/search", &[("form_token", &token), ("case", bad)])
            .await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn the_record_is_verified_in_the_background() {
    let service = Service::start(Caching::Without).await;
    let mut browser = Browser::new(&service);
    deliver(&service, record_of("01856867389")).await;
    assert!(
        browser
            .get("/console/record")
            .await
            .text
            .contains("Not verified since")
    );
    let token = browser.form_token().await;
    let page = browser
        .post("/console/record/verify", &[("form_token", &token)])
        .await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let page = wait_for(&mut browser, "/console/record", "entries proved up to number").await;
    assert!(page.text.contains("Verified"));

    let damage = "UPDATE entries SET entry = hash WHERE place = (SELECT max(place) FROM entries)";
    assert_eq!(service.change_record(damage).await, 1);
    browser
        .post("/console/record/verify", &[("form_token", &token)])
        .await;
    let page = wait_for(&mut browser, "/console/record", "Not verified<").await;
    let told = "it, or its place in the order, was changed";
    assert!(page.text.contains(told), "{}", page.text);
    assert!(
        service
            .log()
            .contains("the record of use is not what was written")
    );
}

#[tokio::test]
async fn a_rollback_shows_what_goes_and_is_recorded_before_and_after() {
    let service = Service::start(Caching::Without).await;
    let first = deliver(&service, record_of("01856867389")).await;
    let latest = deliver(&service, record_of("17912099997")).await;
    assert_eq!(service.listed("01856867389").await.as_array().unwrap().len(), 0);
    let mut browser = Browser::new(&service);
    let address = format!("/console/banks/{BANK}/deliveries/{latest}/rollback");
    let page = browser.get(&address).await;
    assert!(
        page.status == StatusCode::OK && page.text.contains("This will be undone"),
        "{}",
        page.text
    );
    let (token, shown) = (page.hidden("form_token"), page.hidden("shown"));
    assert_eq!(shown, latest);

    // Another delivery comes in between: what was shown is not what would go.
    let changes = format!("{{\"put\":{}}}\n", record_of("01856867389").trim_end());
    let changed = service
        .v2(Method::POST, BANK, "relationships/changes?register=KAR")
        .header("Content-Type", "application/x-ndjson")
        .body(changes)
        .send()
        .await
        .unwrap();
    assert_eq!(changed.status(), 200, "{}", changed.text().await.unwrap());
    let page = browser
        .post(&address, &[("form_token", &token), ("shown", &shown)])
        .await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.text.contains("delivered meanwhile"), "{}", page.text);
    let shown = page.hidden("shown");
    assert!(shown.starts_with(&latest) && shown.len() > latest.len());

    let done = browser
        .post(&address, &[("form_token", &token), ("shown", &shown)])
        .await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let receipt = browser.get(&done.location.unwrap()).await;
    assert!(receipt.text.contains("What it undid") && receipt.text.contains(&latest));
    assert_eq!(service.listed("01856867389").await.as_array().unwrap().len(), 1);

    let day = world::today().to_string();
    let recorded = search(&service, &["--day", &day], "");
    let acts: Vec<&Value> = recorded
        .iter()
        .filter(|entry| entry["endpoint"] == "consoleRollback")
        .collect();
    assert_eq!(
        acts.iter()
            .map(|act| act["status"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [202, 409, 202, 200]
    );
    assert!(
        acts.iter()
            .all(|act| act["deliveryID"] == latest.as_str() && act["banks"][0] == BANK)
    );

    let gone = browser.get(&address).await;
    assert_eq!(gone.status, StatusCode::CONFLICT);
    let former = browser
        .get(&format!("/console/banks/{BANK}/deliveries/{first}"))
        .await;
    assert!(former.text.contains("Published"));
}
