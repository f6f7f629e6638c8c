//! `Register-Coverage`: what an answer does not know.

use super::*;
use crate::harness::ask::NOBODYS_ACCOUNT;
use chrono::{Months, NaiveDate};

async fn coverage(ask: Ask<'_>) -> String {
    ask.send().await.header("Register-Coverage").unwrap().to_owned()
}

#[tokio::test]
async fn banks_that_never_delivered_are_counted_until_they_have_and_merged_ones_never() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        assert_eq!(
            coverage(Ask::relationships(&service)).await,
            "incomplete; notLoaded=9"
        );
        assert_eq!(coverage(Ask::account(&service)).await, "incomplete; notLoaded=9");
        let mut sets = world::sets();
        // Nobody waits for a bank that has merged, and a bank in both registers counts until both are there.
        sets.sort_by_key(|(bank, register, _)| (bank != "210022023", bank != "210099093", register == "KFR"));
        let mut counts = Vec::new();
        for (bank, register, records) in sets {
            assert_eq!(service.put_set(&bank, &register, records).await.status(), 200);
            counts.push(coverage(Ask::account(&service)).await);
        }
        let left = |count: u32| format!("incomplete; notLoaded={count}");
        assert_eq!(counts[..3], [left(9), left(9), left(8)]);
        assert_eq!(counts.last().unwrap(), "complete");
    }
}

#[tokio::test]
async fn banks_that_do_not_reach_back_to_the_first_day_are_counted_and_days_before_those_kept_told() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let today = world::today();
        // One bank covers six years, one nine; a merged one with two counts no more.
        let since = |years: u32| today - Months::new(12 * years);
        for (from, expected) in [
            (today, "complete"),
            (since(3), "complete"),
            (since(6), "complete"),
            (since(6) - chrono::Days::new(1), "incomplete; beforeCoverage=1"),
            (since(9), "incomplete; beforeCoverage=1"),
            (since(9) - chrono::Days::new(1), "incomplete; beforeCoverage=2"),
            (since(10), "incomplete; beforeCoverage=2"),
            (
                since(10) - chrono::Days::new(1),
                "incomplete; beforeCoverage=2; beforeRetention=1",
            ),
        ] {
            let ask = Ask::relationships(&service).query("fromDate", from.to_string());
            assert_eq!(coverage(ask).await, expected, "{from}");
        }
        assert_eq!(coverage(Ask::account(&service)).await, "complete");
    }
}

#[tokio::test]
async fn banks_left_out_because_ownership_is_unknown_are_counted() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let ask = Ask::relationships(&service).with("CustomerID", OF_UNKNOWN_OWNERSHIP);
        let only = ask.clone().query("onlyPrimaryOwner", "true");
        assert_eq!(banks(only.clone()).await, json!([]));
        assert_eq!(coverage(only).await, "incomplete; unknownOwnership=1");
        assert_eq!(
            coverage(ask.clone().query("onlyPrimaryOwner", "false")).await,
            "complete"
        );
        assert_eq!(coverage(ask).await, "complete");
    }
}

#[tokio::test]
async fn a_bank_that_may_have_been_owned_at_before_the_first_day_it_covers_is_left_out_and_counted() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        // Only a disponent at the bank that covers six years.
        let ask = |from: NaiveDate| {
            Ask::relationships(&service)
                .with("CustomerID", "06894169867")
                .query("fromDate", from.to_string())
        };
        let covered = world::today() - Months::new(72);
        for (from, ownership, counted) in [
            (covered, json!("notPrimaryOwner"), 1),
            (covered - chrono::Days::new(1), json!("unknown"), 2),
        ] {
            let all = banks(ask(from).query("onlyPrimaryOwner", "false")).await;
            let bank = all
                .as_array()
                .unwrap()
                .iter()
                .find(|bank| bank["organizationID"] == "210110100");
            assert_eq!(bank.unwrap()["ownershipType"], ownership, "{caching:?}: {all}");
            let only = ask(from).query("onlyPrimaryOwner", "true");
            let listed = banks(only.clone()).await;
            assert!(!listed.to_string().contains("210110100"), "{caching:?}: {listed}");
            let told = coverage(only).await;
            assert!(told.contains(&format!("unknownOwnership={counted}")), "{told}");
        }
    }
}

#[tokio::test]
async fn late_banks_are_counted_and_all_parts_stand_in_their_order() {
    let mut service = with_world(Caching::With).await;
    service.deliver_long_ago("210011013").await;
    super::participants::register_newcomer(&service).await;
    assert_eq!(
        coverage(Ask::account(&service)).await,
        "incomplete; stale=1; notLoaded=1"
    );
    let unknown = Ask::account(&service).with("AccountID", NOBODYS_ACCOUNT);
    assert_eq!(coverage(unknown).await, "incomplete; stale=1; notLoaded=1");
    let ask = Ask::relationships(&service)
        .with("CustomerID", OF_UNKNOWN_OWNERSHIP)
        .query("fromDate", (world::today() - Months::new(120)).to_string())
        .query("onlyPrimaryOwner", "true");
    assert_eq!(
        coverage(ask).await,
        "incomplete; stale=1; notLoaded=1; beforeCoverage=2; unknownOwnership=1"
    );
}
