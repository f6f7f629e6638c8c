//! The list of receipts, page by page.

use super::{BLABAERLIA, GRANSKAUEN, change, id_of, put, send};
use crate::harness::{Caching, Service};
use reqwest::Method;
use serde_json::{Value, json};

async fn page(service: &Service, query: &str) -> (Vec<String>, Option<String>) {
    let (status, page) = send(service.v2(Method::GET, BLABAERLIA, &format!("deliveries{query}"))).await;
    assert_eq!(status, 200, "{page}");
    let ids = page["deliveries"].as_array().unwrap().iter().map(id_of).collect();
    (
        ids,
        page.get("nextBefore").map(|id| id.as_str().unwrap().to_owned()),
    )
}

/// All ids, by pages of a size.
async fn by_pages(service: &Service, size: usize) -> Vec<String> {
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let (ids, next) = page(service, &format!("?limit={size}{before}")).await;
        assert!(ids.len() == size || next.is_none(), "only the last page is short");
        all.extend(ids);
        match next {
            Some(next) => before = format!("&before={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn the_list_is_paged_newest_first_and_survives_a_restart() {
    let mut service = Service::start(Caching::Without).await;
    assert_eq!(page(&service, "").await, (Vec::new(), None), "of nothing");
    let mut expected = Vec::new();
    for n in 0..7 {
        let (_, receipt) = match n % 3 {
            0 => put(&service, BLABAERLIA, "", "").await,
            1 => put(&service, BLABAERLIA, "", "bad\n").await,
            _ => change(&service, BLABAERLIA, "", &[]).await,
        };
        expected.insert(0, id_of(&receipt));
        put(&service, GRANSKAUEN, "", "").await;
    }
    for _ in 0..2 {
        for size in [1, 2, 3, 6, 7, 8, 500] {
            assert_eq!(by_pages(&service, size).await, expected, "{size}");
        }
        service.restart().await;
    }
}

#[tokio::test]
async fn a_page_that_is_none_is_refused() {
    let service = Service::start(Caching::Without).await;
    for (query, parameter) in [
        ("?limit=0", "limit"),
        ("?limit=501", "limit"),
        ("?limit=x", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?before=x", "before"),
        ("?page=1", "query"),
    ] {
        let (status, body) = send(service.v2(Method::GET, BLABAERLIA, &format!("deliveries{query}"))).await;
        assert_eq!(
            (status, &body["errorCode"]),
            (400, &json!("KFR-004")),
            "{query}: {body}"
        );
        let details = body["details"].as_array().unwrap();
        let named: Vec<&Value> = details.iter().map(|detail| &detail["parameter"]).collect();
        assert_eq!(named, [parameter], "{query}");
    }
}
