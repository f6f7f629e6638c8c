//! A set of thousands is replaced back and forth while agencies ask: every answer is of one set, whole.

use super::{BLABAERLIA, line, put};
use crate::harness::identifiers::people;
use crate::harness::{EITHER_WAY, Service, world};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const RECORDS: usize = 3_000;
const REPLACEMENTS: u64 = 6;

/// Two records a customer, so that a mixture of two sets shows: owner of one that cannot be credited in the even
/// sets, secondary owner of one that can in the odd ones. A mixture would say primaryOwner and active.
fn set(odd: bool) -> String {
    let records = |customer: String| {
        if odd {
            line(
                &customer,
                "secondaryOwner",
                ",\"agreementID\":\"c\",\"creditable\":true",
            ) + &line(&customer, "other", ",\"agreementID\":\"d\"")
        } else {
            line(&customer, "owner", ",\"agreementID\":\"a\"")
                + &line(&customer, "other", ",\"agreementID\":\"b\"")
        }
    };
    people().take(RECORDS / 2).map(records).collect()
}

fn answer(odd: bool) -> Value {
    let ownership = if odd { "notPrimaryOwner" } else { "primaryOwner" };
    json!([{
        "organizationID": BLABAERLIA, "bankName": "Blåbærlia Sparebank", "activeAccount": odd, "ownershipType": ownership
    }])
}

/// Asks on until the last replacement. `step` is odd while a replacement is under way, and else twice its number.
async fn ask_on(service: &Service, step: &AtomicU64, from: usize) -> usize {
    let customers: Vec<String> = people().take(RECORDS / 2).skip(from).step_by(101).collect();
    let today = world::today().to_string();
    let mut asked = 0;
    for customer in customers.iter().cycle() {
        let before = step.load(Ordering::SeqCst);
        if before == 2 * REPLACEMENTS {
            break;
        }
        let request = service
            .relationships(customer, &today, &today)
            .query(&[("onlyPrimaryOwner", "false")]);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let banks = response.json::<Value>().await.unwrap()["banks"].take();
        assert!(
            banks == answer(true) || banks == answer(false),
            "empty or mixed: {banks}"
        );
        if before.is_multiple_of(2) && step.load(Ordering::SeqCst) == before {
            assert_eq!(
                banks,
                answer(before / 2 % 2 == 1),
                "an acknowledged set is the one that answers"
            );
        }
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_shows_at_one_instant_and_never_in_part() {
    for caching in EITHER_WAY {
        let service = Arc::new(Service::start(caching).await);
        put(&service, BLABAERLIA, "", &set(false)).await;
        let step = Arc::new(AtomicU64::new(0));
        let asking: Vec<_> = (0..3)
            .map(|from| {
                let (service, step) = (Arc::clone(&service), Arc::clone(&step));
                tokio::spawn(async move { ask_on(&service, &step, from).await })
            })
            .collect();
        for replacement in 1..=REPLACEMENTS {
            step.fetch_add(1, Ordering::SeqCst);
            put(&service, BLABAERLIA, "", &set(replacement % 2 == 1)).await;
            step.fetch_add(1, Ordering::SeqCst);
            if replacement < REPLACEMENTS {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
        let mut asked = 0;
        for task in asking {
            asked += task.await.unwrap();
        }
        assert!(asked > 50, "{caching:?}: only {asked} lookups came through");
    }
}
