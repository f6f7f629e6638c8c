//! The shrink guard: a whole set below half of the present one has to be meant.

use super::{BLABAERLIA, GRANSKAUEN, change, conflict, is_listed, newest, owners, published, put, record};
use crate::harness::identifiers::people;
use crate::harness::world::today;
use crate::harness::{Caching, EITHER_WAY, Service};
use chrono::Days;
use serde_json::json;

#[tokio::test]
async fn a_set_below_half_of_the_present_one_is_refused_unless_confirmed() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(7).collect();
        published(put(&service, BLABAERLIA, "", owners(&who)).await);
        service.restart().await;
        let (parameter, reason) = conflict(put(&service, BLABAERLIA, "", owners(&who[..3])).await);
        assert_eq!(parameter, "confirmShrink");
        assert!(reason.contains('7') && reason.contains('3'), "{reason}");
        newest(&service, BLABAERLIA, "abandoned").await;
        assert!(is_listed(&service, &who[6]).await, "{caching:?}");
        conflict(put(&service, BLABAERLIA, "?confirmShrink=false", owners(&who[..3])).await);
        // Just above half is no slip; and neither is half.
        published(put(&service, BLABAERLIA, "", owners(&who[..4])).await);
        published(put(&service, BLABAERLIA, "", owners(&who[..2])).await);
        conflict(put(&service, BLABAERLIA, "", "").await);
        published(put(&service, BLABAERLIA, "?confirmShrink=true", owners(&who[..1])).await);
        conflict(put(&service, BLABAERLIA, "", "").await);
        published(put(&service, BLABAERLIA, "?confirmShrink=true", "").await);
        published(put(&service, BLABAERLIA, "", "").await);
        let (status, body) = put(&service, BLABAERLIA, "?confirmShrink=yes", "").await;
        assert_eq!(
            (status, &body["details"][0]["parameter"]),
            (400, &json!("confirmShrink")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn running_records_count_and_all_records_and_each_once() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(8).collect();
        let a_year_ago = today() - Days::new(365);
        let ended = |customer: &String| record(customer, "owner", &json!({"toDate": a_year_ago}));
        let closed = super::lines(&who.iter().map(ended).collect::<Vec<_>>());
        published(put(&service, BLABAERLIA, "", format!("{closed}{}", owners(&who[..2]))).await);
        let (_, reason) = conflict(put(&service, BLABAERLIA, "", closed).await);
        assert!(reason.contains("running"), "{reason}");
        // Eight records, since the last line of an identity stands; two of them running.
        let (_, reason) = conflict(put(&service, BLABAERLIA, "", owners(&who[..3])).await);
        assert!(reason.contains('8') && reason.contains('3'), "{reason}");
        published(put(&service, BLABAERLIA, "", owners(&who[..5])).await);
        // The same records put again and again are no more than they were.
        let again: Vec<_> = who[..5]
            .iter()
            .map(|c| json!({"put": record(c, "other", &json!({}))}))
            .collect();
        for _ in 0..3 {
            published(change(&service, BLABAERLIA, "", &again).await);
        }
        published(put(&service, BLABAERLIA, "", owners(&who[..5])).await);
        // And what was put since counts.
        let more: Vec<_> = who[5..]
            .iter()
            .map(|c| json!({"put": record(c, "owner", &json!({}))}))
            .collect();
        published(change(&service, BLABAERLIA, "", &more).await);
        conflict(put(&service, BLABAERLIA, "", owners(&who[..3])).await);
    }
}

#[tokio::test]
async fn each_register_is_held_against_itself() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(4).collect();
    published(put(&service, GRANSKAUEN, "?register=KAR", owners(&who)).await);
    published(put(&service, GRANSKAUEN, "?register=KFR", owners(&who[..1])).await);
    conflict(put(&service, GRANSKAUEN, "?register=KAR", owners(&who[..1])).await);
}
