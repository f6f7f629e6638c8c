//! Vergekontroll and the police, with the terms that are built in.

use super::{
    ACCOUNT, Ask, GENERAL, MARIT, ORGANIZATION, POLITI, POLITI_MANDATE, SKATT, VERGE_MANDATE, is_on_record,
    metric, start, wait_for_log,
};
use crate::harness::{EITHER_WAY, Service, world};
use chrono::Datelike;
use serde_json::Value;

#[tokio::test]
async fn vergekontroll_is_answered_as_published_and_refused_in_every_other_way() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        let right = Ask::vergekontroll();
        let response = right.send(&service).await;
        assert_eq!(response.status(), 200, "{caching:?}");
        let body: Value = response.json().await.unwrap();
        assert!(!body["banks"].as_array().unwrap().is_empty());
        assert!(is_on_record(&service, "Vergekontroll").await);
        assert!(!is_on_record(&service, "onlyPrimaryOwner").await);

        let (this_year, last_year) = (world::today().year(), world::today().year() - 1);
        let (first, before) = (format!("{last_year}-01-01"), format!("{}-12-31", last_year - 1));
        let wrong = [
            (
                Ask {
                    consumer: SKATT,
                    ..right.clone()
                },
                "mandate",
            ),
            (
                Ask {
                    consumer: "889640782",
                    ..right.clone()
                },
                "consumer",
            ),
            (
                Ask {
                    consumer: "889640782",
                    supplier: Some(super::SRF),
                    ..right.clone()
                },
                "consumer",
            ),
            (
                Ask {
                    path: ACCOUNT,
                    ..right.clone()
                },
                "endpoint",
            ),
            (
                Ask {
                    mandate: Some(POLITI_MANDATE),
                    ..right.clone()
                },
                "mandate",
            ),
            (
                Ask {
                    customer: ORGANIZATION,
                    ..right.clone()
                },
                "customer",
            ),
            (
                Ask {
                    from: before,
                    ..right.clone()
                },
                "period",
            ),
            (
                Ask {
                    to: format!("{this_year}-01-01"),
                    ..right.clone()
                },
                "period",
            ),
            (
                Ask {
                    only_primary_owner: None,
                    ..right.clone()
                },
                "onlyPrimaryOwner",
            ),
            (
                Ask {
                    only_primary_owner: Some("false"),
                    ..right.clone()
                },
                "onlyPrimaryOwner",
            ),
        ];
        for (ask, term) in &wrong {
            ask.assert_outside(&service, term).await;
        }
        assert!(is_on_record(&service, "onlyPrimaryOwner").await);
        let refused = metric(&service, "kundeforhold_refusals_total{reason=\"terms\"}").await;
        assert_eq!(refused, wrong.len() as u64);
        let shorter = Ask {
            to: first,
            supplier: Some(SKATT),
            ..right
        };
        assert_eq!(shorter.status(&service).await, 200);
        assert!(!service.log().contains(MARIT));
    }
}

#[tokio::test]
async fn a_mandate_that_is_no_utf_8_is_a_fault_and_not_a_judgement() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        for mandate in [Some("Vergem%E5lsloven"), Some("%20"), None] {
            let ask = Ask {
                mandate,
                ..Ask::vergekontroll()
            };
            let response = ask.send(&service).await;
            assert_eq!(response.status(), 400, "{mandate:?}");
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["errorCode"], "ERR-005");
        }
        for raw in [
            "Vergemålsloven § 54 (2), jf. vergemålsforskriften §20a (2), jf. vergemålsforskriften §20a (1) a",
            "Vergema\u{30a}lsloven\u{a0}§54 (2),jf. vergemålsforskriften § 20a  (2), jf. vergemålsforskriften §20a (1) a",
        ] {
            let value = reqwest::header::HeaderValue::from_bytes(raw.as_bytes()).unwrap();
            let ask = Ask {
                mandate: None,
                ..Ask::vergekontroll()
            };
            let response = ask
                .request(&service)
                .header("Legal-Mandate", value)
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), 200, "{raw}");
        }
    }
}

#[tokio::test]
async fn under_the_older_path_an_absent_mandate_is_judged_by_the_terms() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        let older = |ask: Ask, path| Ask { path, ..ask };
        let path = "/kar-ws/api/v1/customers/customerRelationships";
        assert_eq!(older(Ask::vergekontroll(), path).status(&service).await, 200);
        let without = Ask {
            mandate: None,
            ..older(Ask::vergekontroll(), path)
        };
        without.assert_outside(&service, "mandate").await;
        let path = "/kar-ws/api/v1/customers/accountServicingProvider";
        assert_eq!(older(Ask::politi(), path).status(&service).await, 200);
        let without = Ask {
            mandate: None,
            ..older(Ask::politi(), path)
        };
        without.assert_outside(&service, "mandate").await;
    }
}

#[tokio::test]
async fn the_police_ask_at_both_endpoints() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        for ask in [
            Ask::politi(),
            Ask {
                customer: ORGANIZATION,
                ..Ask::politi()
            },
            Ask {
                path: ACCOUNT,
                ..Ask::politi()
            },
            Ask {
                path: ACCOUNT,
                scope: "bits:kundeforhold.konto",
                ..Ask::politi()
            },
        ] {
            assert_eq!(ask.status(&service).await, 200, "{}", ask.path);
        }
        Ask {
            path: ACCOUNT,
            mandate: Some(VERGE_MANDATE),
            ..Ask::politi()
        }
        .assert_outside(&service, "mandate")
        .await;
        // The beta service is switched off, so its scope opens nothing.
        let beta = Ask {
            supplier: Some(SKATT),
            scope: "bits:kundeforhold.fi.utlegg.an",
            ..Ask::politi()
        };
        let body: Value = beta.send(&service).await.json().await.unwrap();
        assert_eq!(body["errorCode"], "ERR-001");
        assert_eq!(POLITI, beta.consumer);
        assert_ne!(GENERAL, beta.scope);
    }
}

#[tokio::test]
async fn a_fault_and_the_format_come_before_the_terms() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        let outside = Ask {
            only_primary_owner: None,
            ..Ask::vergekontroll()
        };
        let fault = Ask {
            customer: "1",
            ..outside.clone()
        };
        assert_eq!(fault.status(&service).await, 400);
        let xml = outside
            .request(&service)
            .header("Accept", "application/xml")
            .send()
            .await
            .unwrap();
        assert_eq!(xml.status(), 406);
        let scopeless = Ask {
            scope: "bits:other",
            ..outside
        };
        let body: Value = scopeless.send(&service).await.json().await.unwrap();
        assert_eq!(body["errorCode"], "ERR-001");
    }
}

#[tokio::test]
async fn a_service_may_list_banks_that_cannot_tell_the_ownership() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        service.deliver_world().await;
        let is_left_out = |case: &Value| {
            let coverage = case["coverage"].as_str().unwrap_or_default();
            case["onlyPrimaryOwner"] == "true" && coverage.contains("unknownOwnership")
        };
        let case = world::expected().into_iter().find(is_left_out).unwrap();
        let text = |name: &str| case[name].as_str().unwrap();
        let unknown = async || {
            let request = service.relationships(text("customerID"), text("fromDate"), text("toDate"));
            let response = request
                .query(&[("onlyPrimaryOwner", "true")])
                .send()
                .await
                .unwrap();
            let body: Value = response.json().await.unwrap();
            let banks = body["banks"].as_array().unwrap().clone();
            banks
                .iter()
                .filter(|bank| bank["ownershipType"] == "unknown")
                .count()
        };
        assert_eq!(unknown().await, 0);

        let path = service.directory.path().join("dsop-services.toml");
        let listing = std::fs::read_to_string(&path).unwrap() + "unknown_ownership = \"list\"\n";
        std::fs::write(&path, listing).unwrap();
        service.signal("-HUP");
        wait_for_log(&service, "dsop-services.toml").await;
        assert!(unknown().await > 0, "{caching:?}: {case}");
    }
}
