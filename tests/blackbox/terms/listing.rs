//! `GET /v2/services`, and services with a scope of their own.

use super::{ACCOUNT, Ask, GENERAL, POLITI, SKATT, SRF, start, token};
use crate::harness::{EITHER_WAY, Service, world};
use chrono::{Datelike, Months};
use kundeforhold::access::terms::DEFAULT;
use serde_json::{Value, json};

const OWN_SCOPE: &str = "bits:kundeforhold.fi.utlegg.an";

async fn list(service: &Service, consumer: &str, scope: &str) -> (u16, Value) {
    let request = service.http.get(service.url("/v2/services"));
    let response = request
        .bearer_auth(token(service, consumer, None, scope))
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn an_agency_reads_what_it_may_ask_today() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        let last_year = world::today().year() - 1;
        let (first, last) = (format!("{last_year}-01-01"), format!("{last_year}-12-31"));
        let (status, body) = list(&service, SRF, GENERAL).await;
        assert_eq!(status, 200);
        let expected = json!({"services": [{
            "name": "Vergekontroll",
            "endpoints": ["customerRelationships"],
            "mandates": [{
                "text": "Vergemålsloven § 54 (2), jf. vergemålsforskriften §20a (2), jf. vergemålsforskriften §20a (1) a",
                "encoded": super::VERGE_MANDATE.replace("<br>", ""),
            }],
            "customers": ["person"],
            "dates": {"earliestFromDate": first, "latestFromDate": last, "earliestToDate": first, "latestToDate": last},
            "onlyPrimaryOwner": "true",
        }]});
        assert_eq!(body, expected, "{caching:?}");

        let (today, ten_years_ago) = (world::today(), world::today() - Months::new(120));
        let (_, body) = list(&service, "974760673", GENERAL).await;
        let dates = json!({"earliestFromDate": ten_years_ago, "latestFromDate": today, "earliestToDate": today, "latestToDate": today});
        assert_eq!(body["services"][0]["dates"], dates);
        let (_, body) = list(&service, POLITI, GENERAL).await;
        let politi = &body["services"][0];
        assert_eq!(
            politi["dates"],
            json!({"earliestFromDate": ten_years_ago, "latestFromDate": today})
        );
        assert_eq!(
            politi["endpoints"],
            json!(["customerRelationships", "accountServicingProvider"])
        );
        assert_eq!(politi["customers"], json!(["person", "organization"]));
        assert_eq!(politi["onlyPrimaryOwner"], "either");
        assert_eq!(politi["mandates"].as_array().unwrap().len(), 2);
        assert_eq!(body["services"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_is_listed_is_admitted_when_it_is_sent_back() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        for consumer in [SKATT, POLITI, SRF, "974760673", "974720760", "991825827"] {
            let (_, body) = list(&service, consumer, GENERAL).await;
            let told = &body["services"][0];
            let dates = |name: &str| told["dates"][name].as_str().map(str::to_owned);
            for mandate in told["mandates"].as_array().unwrap() {
                let ask = Ask {
                    consumer,
                    mandate: None,
                    from: dates("earliestFromDate").unwrap(),
                    to: dates("latestToDate").unwrap_or_else(|| world::today().to_string()),
                    ..Ask::vergekontroll()
                };
                let encoded = mandate["encoded"].as_str().unwrap();
                let response = ask
                    .request(&service)
                    .header("Legal-Mandate", encoded)
                    .send()
                    .await
                    .unwrap();
                assert_eq!(response.status(), 200, "{consumer}: {encoded}");
            }
        }
    }
}

#[tokio::test]
async fn the_list_needs_a_scope_and_knows_no_parameter() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        assert_eq!(
            list(&service, "889640782", GENERAL).await,
            (200, json!({"services": []}))
        );
        for scope in ["", "bits:other", "bits:kundeforhold.konto", OWN_SCOPE] {
            assert_eq!(list(&service, POLITI, scope).await.0, 403, "{scope}");
        }
        let request = service.http.get(service.url("/v2/services?consumer=974761076"));
        let response = request
            .bearer_auth(token(&service, SRF, None, GENERAL))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 400);
        assert_eq!(
            service
                .http
                .get(service.url("/v2/services"))
                .send()
                .await
                .unwrap()
                .status(),
            401
        );
        let older = service.http.get(service.url("/kar-ws/api/v1/services"));
        let response = older
            .bearer_auth(token(&service, SRF, None, GENERAL))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 404);
    }
}

#[tokio::test]
async fn an_own_scope_opens_its_service_and_nothing_else() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let path = service.directory.path().join("dsop-services.toml");
        std::fs::write(&path, DEFAULT.replace("enabled = false", "enabled = true")).unwrap();
        service.signal("-HUP");
        let beta = Ask {
            supplier: Some(SKATT),
            scope: OWN_SCOPE,
            mandate: Some("FI-Utlegg-Test"),
            only_primary_owner: Some("true"),
            ..Ask::politi()
        };
        let started = std::time::Instant::now();
        while beta.status(&service).await != 200 {
            assert!(started.elapsed().as_secs() < 15, "{}", service.log());
        }
        // The general scope does not fit it, nor does the own one fit the other service.
        let general = Ask {
            scope: GENERAL,
            ..beta.clone()
        };
        general.assert_outside(&service, "mandate").await;
        Ask {
            mandate: Some(super::POLITI_MANDATE),
            ..beta.clone()
        }
        .assert_outside(&service, "mandate")
        .await;
        // Without its supplier the beta service is no closer than the other one, whose scope is missing.
        Ask {
            supplier: None,
            ..beta.clone()
        }
        .assert_outside(&service, "scope")
        .await;
        let yesterday = world::today().pred_opt().unwrap();
        let ask = Ask {
            from: yesterday.pred_opt().unwrap().to_string(),
            to: yesterday.to_string(),
            ..beta.clone()
        };
        ask.assert_outside(&service, "period").await;

        for ask in [
            Ask {
                path: ACCOUNT,
                ..beta.clone()
            },
            Ask {
                path: "/v2/participants",
                ..beta.clone()
            },
            Ask {
                consumer: SRF,
                ..beta.clone()
            },
        ] {
            let response = ask.send(&service).await;
            assert_eq!(response.status(), 403, "{}", ask.path);
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["errorCode"], "ERR-001", "{}", ask.path);
        }
        let (status, body) = list(&service, POLITI, OWN_SCOPE).await;
        assert_eq!((status, body["services"].as_array().unwrap().len()), (200, 2));
        let told = &body["services"][1];
        assert_eq!(
            (&told["supplier"], &told["scope"]),
            (&json!(SKATT), &json!(OWN_SCOPE))
        );
        assert_eq!(told["dates"]["earliestFromDate"], json!(world::today()));
    }
}
