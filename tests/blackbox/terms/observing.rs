//! `access.enforcement = "observe"`.

use super::{Ask, is_on_record, metric, start_with};
use crate::harness::EITHER_WAY;

#[tokio::test]
async fn what_would_be_refused_is_answered_counted_logged_and_recorded() {
    for caching in EITHER_WAY {
        let service = start_with(caching, "services_file = \"\"\nenforcement = \"observe\"").await;
        assert!(service.log().contains("access.enforcement is observe"));
        let right = Ask::vergekontroll();
        assert_eq!(right.status(&service).await, 200);
        assert_eq!(
            metric(&service, "kundeforhold_refusals_total{reason=\"terms\"}").await,
            0
        );
        assert!(!is_on_record(&service, "onlyPrimaryOwner").await);

        let wrong = Ask {
            only_primary_owner: Some("false"),
            ..right
        };
        assert_eq!(wrong.status(&service).await, 200);
        assert_eq!(
            metric(&service, "kundeforhold_refusals_total{reason=\"terms\"}").await,
            1
        );
        assert!(is_on_record(&service, "onlyPrimaryOwner").await);
        let log = service.log();
        let line = log
            .lines()
            .find(|line| line.contains("a lookup lies outside the service terms"))
            .unwrap();
        assert!(
            line.contains("Vergekontroll") && line.contains("onlyPrimaryOwner"),
            "{line}"
        );

        // Only the terms are observed: a scope is still needed.
        let scopeless = Ask {
            scope: "bits:other",
            ..wrong
        };
        assert_eq!(scopeless.status(&service).await, 403);
    }
}
