//! What ended longer ago than it is kept is not taken in, and is erased once its time is over.

use super::{BANK, line};
use crate::harness::identifiers::people;
use crate::harness::{Caching, Service, world};
use chrono::{Days, Months, NaiveDate};
use rusqlite::params;
use serde_json::{Value, json};

/// The first day that is still kept.
fn kept_from() -> NaiveDate {
    world::today() - Months::new(120)
}

fn ended(customer: &str, to: NaiveDate) -> String {
    line(customer, "2001-01-01", &format!(",\"toDate\":\"{to}\""))
}

async fn put(service: &Service, set: String) -> Value {
    let put = service.put(BANK, "?register=KAR&confirmShrink=true").body(set);
    let response = put.send().await.unwrap();
    assert_eq!(response.status(), 200, "{}", service.log());
    response.json().await.unwrap()
}

fn rows(service: &Service) -> i64 {
    let count = "SELECT count(*) FROM relationships";
    service
        .open_store()
        .query_row(count, [], |row| row.get(0))
        .unwrap()
}

/// The last line of an identity stands, be it one that is not kept.
#[tokio::test]
async fn what_ended_too_long_ago_is_read_and_not_stored() {
    let service = Service::start_on_file(Caching::Without, "").await;
    let who: Vec<String> = people().take(5).collect();
    let (last, gone) = (kept_from(), kept_from() - Days::new(1));
    let set = [
        ended(&who[0], last),
        ended(&who[1], gone),
        line(&who[2], "2001-01-01", ""),
        ended(&who[2], gone),
        line(&who[3], "2001-01-01", ""),
    ];
    let receipt = put(&service, set.concat()).await;
    assert_eq!(
        (&receipt["read"], &receipt["stored"]),
        (&json!(5), &json!(2)),
        "{receipt}"
    );
    assert_eq!(receipt["customers"], json!(2), "{receipt}");
    assert_eq!(rows(&service), 2);
    // The same comes every day.
    let again = put(&service, set.concat()).await;
    assert_eq!(again["stored"], json!(2), "{again}");
    assert_eq!(rows(&service), 2);

    let put_line =
        |customer: &str, to: NaiveDate| format!("{{\"put\":{}}}\n", ended(customer, to).trim_end());
    let changes = [
        put_line(&who[4], gone),
        put_line(&who[3], gone),
        put_line(&who[4], last),
    ];
    let send = async |body: String| {
        let post = service.v2(reqwest::Method::POST, BANK, "relationships/changes?register=KAR");
        let response = post.body(body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", service.log());
        response.json::<Value>().await.unwrap()
    };
    let receipt = send(changes[..2].concat()).await;
    assert_eq!(
        (&receipt["read"], &receipt["stored"]),
        (&json!(2), &json!(0)),
        "{receipt}"
    );
    assert!(
        !service.is_listed_on(&who[3], world::today()).await,
        "it gave way"
    );
    let receipt = send(changes[2].clone()).await;
    assert_eq!(receipt["stored"], json!(1), "{receipt}");
}

#[tokio::test]
async fn what_has_ended_too_long_ago_by_now_is_erased_within_the_upkeep() {
    let mut service = Service::start_on_file(Caching::Without, "[store]\nupkeep_seconds = 1\n").await;
    let who: Vec<String> = people().take(20).collect();
    let set = |others: &[String]| {
        let others = others.iter().map(|customer| line(customer, "2015-01-01", ""));
        let ending = who[..3].iter().map(|customer| ended(customer, kept_from()));
        ending.chain(others).collect::<String>()
    };
    put(&service, set(&who[3..10])).await;
    let receipt = put(&service, set(&who[5..20])).await;
    assert_eq!(rows(&service), 20, "of both versions");
    // A day passes, as no test can wait for it: the records ended a day earlier.
    assert!(service.terminate().success());
    let day = (kept_from() - NaiveDate::default()).num_days();
    let moved = service.open_store().execute(
        "UPDATE relationships SET to_day = ?1 WHERE to_day = ?2",
        params![day - 1, day],
    );
    assert_eq!(moved.unwrap(), 3);
    service.start_again();
    service.wait_until_ready().await;
    service.wait_until_erased(kept_from()).await;
    assert_eq!(rows(&service), 17);
    // What a rollback counts is what is left.
    let whole = receipt["deliveryID"].as_str().unwrap();
    let tail = format!("deliveries/{whole}/rollback");
    let back = service
        .v2(reqwest::Method::POST, BANK, &tail)
        .send()
        .await
        .unwrap();
    assert_eq!(back.status(), 200, "{}", service.log());
    let counted = "SELECT records FROM sets WHERE register = 0";
    let counted: i64 = service
        .open_store()
        .query_row(counted, [], |row| row.get(0))
        .unwrap();
    assert_eq!(counted, 7);
}
