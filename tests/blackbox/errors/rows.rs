//! One test a row.

use super::*;
use crate::harness::ask::{
    ACCOUNT, Ask, NOBODYS_ACCOUNT, OLDER_ACCOUNT, OLDER_RELATIONSHIPS, PARTICIPANTS, RELATIONSHIPS,
};
use crate::harness::{Caching, EITHER_WAY, Service};

/// Longer than `server.max_header_bytes`.
const TOO_LONG: usize = 33_000;

#[tokio::test]
async fn a_call_without_a_good_token_is_not_authenticated() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for ask in [
            Ask::relationships(&service),
            Ask::account(&service),
            Ask::participants(&service),
        ] {
            for (ask, challenge) in [
                (
                    ask.clone().without("Authorization"),
                    "Bearer realm=\"kundeforhold\"",
                ),
                (ask.token("not.a.token"), "Bearer error=\"invalid_token\""),
            ] {
                let told = ask.send().await;
                assert_error(&told, NOT_AUTHENTICATED);
                assert_eq!(told.header("WWW-Authenticate"), Some(challenge));
            }
        }
    }
}

#[tokio::test]
async fn a_call_without_the_scope_is_not_authorized() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let (read, konto, write) = (
            "bits:kundeforhold",
            "bits:kundeforhold.konto",
            "bits:kundeforhold.write",
        );
        for (ask, refused) in [
            (Ask::relationships(&service), vec!["", "bits:other", konto, write]),
            (Ask::participants(&service), vec!["", "bits:other", konto, write]),
            (Ask::account(&service), vec!["", "bits:other", write]),
        ] {
            for scope in refused {
                let token = service.issuer.token("974761076", scope);
                assert_error(&ask.clone().token(&token).send().await, NOT_AUTHORIZED);
            }
            let token = service.issuer.token("974761076", read);
            assert_ne!(ask.token(&token).send().await.status, 403);
        }
        let token = service.issuer.token("974761076", konto);
        assert_error(
            &Ask::account(&service).token(&token).send().await,
            UNKNOWN_ACCOUNT,
        );
    }
}

#[tokio::test]
async fn an_account_of_no_bank_is_err_006_as_far_as_the_coverage_says() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let told = Ask::account(&service)
            .with("AccountID", NOBODYS_ACCOUNT)
            .send()
            .await;
        assert_error(&told, UNKNOWN_ACCOUNT);
        assert_eq!(told.header("Register-Coverage"), Some("incomplete; notLoaded=9"));
    }
}

#[tokio::test]
async fn an_unknown_path_is_err_008() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for path in [
            "/",
            "/v2",
            "/v2/",
            "/v3/participants",
            "/v2/customers",
            "/v2/customers/customerRelationships/",
            "/v2/customers/customerrelationships",
            "/customers/customerRelationships",
            "/kar-ws/api/v1",
            "/kar-ws/api/v1/participants",
            "/kar-ws/api/v1/nothing",
            "/v2/participants/210011013",
            "/isready",
            "/metrics",
        ] {
            for ask in [
                Ask::relationships(&service),
                Ask::relationships(&service).without("Authorization"),
            ] {
                assert_error(&ask.path(path).send().await, UNKNOWN_RESOURCE);
            }
        }
    }
}

#[tokio::test]
async fn another_method_is_err_009_and_the_answer_names_the_right_one() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for path in [
            RELATIONSHIPS,
            ACCOUNT,
            PARTICIPANTS,
            OLDER_RELATIONSHIPS,
            OLDER_ACCOUNT,
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
                let told = Ask::relationships(&service)
                    .path(path)
                    .method(method)
                    .send()
                    .await;
                assert_error(&told, METHOD);
                assert_eq!(told.header("Allow"), Some("GET"));
            }
            let told = Ask::relationships(&service)
                .path(path)
                .method("HEAD")
                .send()
                .await;
            assert_eq!(
                (told.status, told.header("Allow"), told.text.as_str()),
                (405, Some("GET"), "")
            );
            assert_common_headers(&told);
        }
    }
}

#[tokio::test]
async fn an_accept_header_without_json_is_err_009() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for good in [Ask::relationships(&service), Ask::participants(&service)] {
            for accept in [
                "text/html",
                "application/xml",
                "application/json;q=0",
                "text/*, image/png",
            ] {
                let told = good.clone().with("Accept", accept).send().await;
                assert_error(&told, NOT_ACCEPTABLE);
            }
            for accept in [
                "",
                "*/*",
                "application/*",
                "application/json; charset=utf-8",
                "text/html, APPLICATION/JSON;q=0.1",
            ] {
                assert_eq!(
                    good.clone().with("Accept", accept).send().await.status,
                    200,
                    "{accept}"
                );
            }
        }
    }
}

#[tokio::test]
async fn headers_that_are_too_large_are_err_009() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for good in [
            Ask::relationships(&service),
            Ask::relationships(&service).without("Authorization"),
        ] {
            let told = good
                .clone()
                .with("Legal-Mandate", "m".repeat(TOO_LONG))
                .send()
                .await;
            assert_error(&told, TOO_LARGE);
            let mut many = good;
            for at in 0..40 {
                many = many.and(&format!("X-Surplus-{at}"), "s".repeat(TOO_LONG / 40));
            }
            assert_error(&many.send().await, TOO_LARGE);
        }
        let large = Ask::relationships(&service).with("X-Surplus", "m".repeat(20_000));
        assert_eq!(large.send().await.status, 200);
    }
}

#[tokio::test]
async fn a_correlation_id_is_echoed_as_sent_and_made_anew_when_unreadable() {
    let service = Service::start(Caching::Without).await;
    let sent = "0D1F7A58-6E1A-4F7E-9D4B-00000000000a";
    for ask in [
        Ask::relationships(&service),
        Ask::relationships(&service).without("Authorization"),
        Ask::account(&service),
    ] {
        let told = ask.with("CorrelationID", sent).send().await;
        assert_eq!(told.header("CorrelationID"), Some(sent));
    }
    let told = Ask::relationships(&service)
        .path("/nothing")
        .with("CorrelationID", sent)
        .send()
        .await;
    assert_eq!(told.header("CorrelationID"), Some(sent));
    assert!(
        told.body()["correlationID"]
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case(sent)
    );
    let mut fresh = Vec::new();
    for unreadable in ["unreadable", "", "0D1F7A58-6E1A-4F7E-9D4B-00000000000g"] {
        let told = Ask::relationships(&service)
            .with("CorrelationID", unreadable)
            .send()
            .await;
        assert_error(&told, REQUEST);
        fresh.push(told.header("CorrelationID").unwrap().to_owned());
    }
    fresh.sort();
    fresh.dedup();
    assert_eq!(fresh.len(), 3);
}
