//! What the pages show, and what they never show.

use super::{BANK, Browser, wait_for};
use crate::harness::{Caching, EITHER_WAY, Service, world};
use crate::secrecy::canaries::Canaries;
use futures_util::StreamExt;
use reqwest::{Body, Method, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;

/// A body that comes piece by piece.
fn stream_of(receiver: mpsc::Receiver<String>) -> Body {
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>))
}

#[tokio::test]
async fn no_page_shows_an_identifier() {
    let service = Service::start(Caching::Without).await;
    let canaries = Canaries::new(&service.issuer, BANK);
    assert_eq!(
        service.put_set(BANK, "KAR", canaries.records()).await.status(),
        200
    );
    let latest: Value = service
        .put_set(BANK, "KAR", canaries.records())
        .await
        .json()
        .await
        .unwrap();
    let bad = canaries
        .records()
        .replace("\"role\":\"owner\"", "\"role\":\"17915000077\"");
    let rejected: Value = service.put_set(BANK, "KAR", bad).await.json().await.unwrap();
    let today = world::today().to_string();
    for customer in canaries.customers() {
        service
            .relationships(customer, &today, &today)
            .send()
            .await
            .unwrap();
    }
    for account in canaries.accounts() {
        service.account(account).send().await.unwrap();
    }
    let mut browser = Browser::new(&service);
    let token = browser.form_token().await;
    let delivery = |receipt: &Value| {
        let id = receipt["deliveryID"].as_str().unwrap();
        format!("/console/banks/{BANK}/deliveries/{id}")
    };
    let paths = [
        "/console".to_owned(),
        "/console/banks".to_owned(),
        format!("/console/banks/{BANK}"),
        delivery(&latest),
        delivery(&rejected),
        delivery(&latest) + "/rollback",
        "/console/agencies".to_owned(),
        "/console/record".to_owned(),
    ];
    for path in paths {
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        canaries.assert_absent(page.text.as_bytes(), &path);
        assert!(!page.text.contains("17915000077"), "{path}");
    }
    let calls = crate::audit::load::search(&service, &["--day", &today], "");
    let cases = calls
        .iter()
        .filter_map(|call| call["accountInfoRequestID"].as_str());
    for case in cases.take(3) {
        let fields = [("form_token", token.as_str()), ("case", case)];
        let page = browser.post("/console/record/search", &fields).await;
        assert!(page.text.contains("1 found"), "{}", page.text);
        canaries.assert_absent(page.text.as_bytes(), "the results of a search");
    }
}

#[tokio::test]
async fn the_numbers_are_those_of_the_api() {
    let service = Service::start(Caching::Without).await;
    let mut browser = Browser::new(&service);
    let empty = browser.get("/console").await;
    assert!(empty.text.contains("answers are incomplete") && empty.text.contains("Missing"));
    service.deliver_world().await;
    let today = world::today().to_string();
    for _ in 0..7 {
        let asked = service
            .relationships("01856867389", &today, &today)
            .send()
            .await
            .unwrap();
        assert_eq!(asked.status(), 200);
    }
    let page = browser.get("/console/agencies").await;
    let row = page.text.split("data-agency=").nth(1).expect(&page.text);
    assert!(row.contains("class=\"number asked\">7<"), "{row}");
    let overview = browser.get("/console").await.text;
    assert!(!overview.contains("id=\"p50\">–<"), "{overview}");

    let banks = browser.get("/console/banks").await.text;
    for line in service
        .metrics()
        .await
        .lines()
        .filter(|line| line.starts_with("kundeforhold_records{"))
    {
        let part = |label: &str| {
            line.split(&format!("{label}=\""))
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
        };
        let records = line.rsplit(' ').next().unwrap();
        let row = format!("data-set=\"{}/{}\"", part("bank"), part("register"));
        let row = banks
            .split(&row)
            .nth(1)
            .expect(&banks)
            .split("</tr>")
            .next()
            .unwrap();
        assert!(
            row.contains(&format!("class=\"number records\">{records}<")),
            "{line}: {row}"
        );
    }
}

#[tokio::test]
async fn a_delivery_under_way_shows_how_far_it_is() {
    let service = Service::start(Caching::Without).await;
    let line = "{\"customerID\":\"01856867389\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}\n";
    let body = line.repeat(40_000);
    let (sender, receiver) = mpsc::channel(4);
    let delivery = service
        .v2(Method::PUT, BANK, "relationships?register=KAR")
        .header("Content-Type", "application/x-ndjson")
        .header("Content-Length", body.len().to_string())
        .body(stream_of(receiver));
    let delivery = tokio::spawn(delivery.send());
    let (half, rest) = body.split_at(body.len() / 2);
    sender.send(half.to_owned()).await.unwrap();
    let mut browser = Browser::new(&service);
    let path = format!("/console/banks/{BANK}");
    let page = wait_for(&mut browser, &path, "value=\"50\"").await;
    assert!(
        page.text.contains("Whole set") && page.text.contains("Receiving"),
        "{}",
        page.text
    );
    assert!(
        browser
            .get("/console")
            .await
            .text
            .contains("1 delivery under way")
    );
    sender.send(rest.to_owned()).await.unwrap();
    drop(sender);
    assert_eq!(delivery.await.unwrap().unwrap().status(), 200);
    let page = wait_for(&mut browser, &path, "Published").await;
    assert!(!page.text.contains("<progress"));
}

#[tokio::test]
async fn the_overview_tells_of_the_store_and_of_the_cache() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let mut browser = Browser::new(&service);
        let cache = match caching {
            Caching::With => "</svg>Reachable<",
            Caching::Without => "id=\"cache\">none<",
        };
        let page = wait_for(&mut browser, "/console", cache).await;
        let (_, store) = page.text.split_once("id=\"store\">").unwrap();
        assert!(
            store.split_once("</dd>").unwrap().0.contains("Writable"),
            "{store}"
        );
        if let Some(redis) = &mut service.redis {
            redis.kill();
            wait_for(&mut browser, "/console", "Left alone: the store answers").await;
        }
    }
}
