//! One test a row.

use super::*;
use crate::harness::ask::{
    ACCOUNT, Ask, NOBODYS_ACCOUNT, OLDER_ACCOUNT, OLDER_RELATIONSHIPS, PARTICIPANTS, RELATIONSHIPS,
};
use crate::harness::{ENGINES, Engine, Service, world};
use chrono::Days;

/// Longer than `server.max_header_bytes`.
const TOO_LONG: usize = 33_000;

#[tokio::test]
async fn a_call_without_a_good_token_is_not_authenticated() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        for ask in [
            Ask::relationships(&service),
            Ask::account(&service),
            Ask::participants(&service),
        ] {
            for ask in [ask.clone().without("Authorization"), ask.token("not.a.token")] {
                let told = ask.send().await;
                assert_error(&told, NOT_AUTHENTICATED);
                assert_eq!(
                    told.header("WWW-Authenticate"),
                    Some("Bearer error=\"invalid_token\"")
                );
            }
        }
    }
}

#[tokio::test]
async fn a_call_without_the_scope_is_not_authorized() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
async fn a_missing_or_invalid_customer_is_err_002() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        for path in [RELATIONSHIPS, OLDER_RELATIONSHIPS] {
            let ask = Ask::relationships(&service).path(path);
            let mut asks = vec![ask.clone().without("CustomerID")];
            for customer in [
                "",
                "x",
                "13097248032",
                "13097248023",
                "02013299987",
                "19575770838",
                "15407300685",
                "988077918",
                "123456789",
                "1309724802",
                "130972480220",
                "130972 48022",
                "+3097248022",
                "１３０９７２４８０２２",
            ] {
                asks.push(ask.clone().with("CustomerID", customer));
            }
            asks.push(ask.with("CustomerID", b"1309724802\xff"));
            for ask in asks {
                let told = ask.send().await;
                assert_error(&told, CUSTOMER);
                assert_eq!(told.faulty(), ["CustomerID"]);
            }
        }
    }
}

#[tokio::test]
async fn missing_malformed_reversed_or_future_dates_are_err_003() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let good = Ask::relationships(&service);
        for (parameter, ask) in [
            ("fromDate", good.clone().without_query("fromDate")),
            ("toDate", good.clone().without_query("toDate")),
        ] {
            let told = ask.send().await;
            assert_error(&told, PERIOD);
            assert_eq!(told.faulty(), [parameter]);
        }
        for path in [RELATIONSHIPS, OLDER_RELATIONSHIPS] {
            for parameter in ["fromDate", "toDate"] {
                for day in [
                    "",
                    "today",
                    "2020-1-01",
                    "20200101",
                    "01.01.2020",
                    "2020-02-30",
                    "2019-02-29",
                    "2020-13-01",
                    "2020-00-10",
                    "2020-01-00",
                    "0000-01-01",
                    "2020-01-01T00:00:00Z",
                    "+2020-01-01",
                    "-001-01-01",
                    "10000-01-01",
                    " 2020-01-01",
                    "２０２０-01-01",
                ] {
                    let told = good.clone().path(path).query(parameter, day).send().await;
                    assert_error(&told, PERIOD);
                    assert_eq!(told.faulty(), [parameter], "{day}");
                }
            }
            let tomorrow = (world::today() + Days::new(1)).to_string();
            let future = good
                .clone()
                .path(path)
                .query("fromDate", &tomorrow)
                .query("toDate", &tomorrow);
            let told = future.send().await;
            assert_error(&told, PERIOD);
            assert_eq!(told.faulty(), ["fromDate"]);
            let reversed = good
                .clone()
                .path(path)
                .query("fromDate", "2020-01-02")
                .query("toDate", "2020-01-01");
            let told = reversed.send().await;
            assert_error(&told, PERIOD);
            assert_eq!(told.faulty(), ["toDate"]);
        }
    }
}

#[tokio::test]
async fn a_missing_or_invalid_account_is_err_004() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        for path in [ACCOUNT, OLDER_ACCOUNT] {
            let ask = Ask::account(&service).path(path);
            let mut asks = vec![ask.clone().without("AccountID")];
            for account in [
                "",
                "x",
                "8601111794",
                "860111179470",
                "8601.11.17947",
                "8601111794x",
                "８６０１１１１７９４７",
            ] {
                asks.push(ask.clone().with("AccountID", account));
            }
            for ask in asks {
                let told = ask.send().await;
                assert_error(&told, ACCOUNT_NUMBER);
                assert_eq!(told.faulty(), ["AccountID"]);
            }
        }
    }
}

#[tokio::test]
async fn any_other_invalid_header_or_parameter_is_err_005() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        for good in [Ask::relationships(&service), Ask::account(&service)] {
            for header in ["CorrelationID", "AccountInfoRequestID", "Legal-Mandate"] {
                assert_faulty(&good.clone().without(header).send().await, header);
                assert_faulty(&good.clone().with(header, "").send().await, header);
            }
            for header in ["CorrelationID", "AccountInfoRequestID"] {
                for value in [
                    "not-a-uuid",
                    "0d1f7a586e1a4f7e9d4b000000000001",
                    "{0d1f7a58-6e1a-4f7e-9d4b-000000000001}",
                ] {
                    assert_faulty(&good.clone().with(header, value).send().await, header);
                }
            }
            assert_faulty(&good.query("surprise", "unheard-of").send().await, "query");
        }
        for value in ["", "ja", "1", "truefalse", "true,false"] {
            let ask = Ask::relationships(&service).query("onlyPrimaryOwner", value);
            assert_faulty(&ask.send().await, "onlyPrimaryOwner");
        }
        assert_faulty(
            &Ask::account(&service)
                .query("fromDate", "2020-01-01")
                .send()
                .await,
            "query",
        );
        assert_faulty(
            &Ask::participants(&service)
                .query("surprise", "unheard-of")
                .send()
                .await,
            "query",
        );
        assert_faulty(
            &Ask::participants(&service)
                .with("CorrelationID", "not-a-uuid")
                .send()
                .await,
            "CorrelationID",
        );
    }
}

#[tokio::test]
async fn what_is_sent_twice_is_err_005() {
    let service = Service::start(Engine::Embedded).await;
    for good in [
        Ask::relationships(&service),
        Ask::relationships(&service).path(OLDER_RELATIONSHIPS),
    ] {
        for header in [
            "CustomerID",
            "CorrelationID",
            "AccountInfoRequestID",
            "Legal-Mandate",
        ] {
            let value = "0d1f7a58-6e1a-4f7e-9d4b-000000000001";
            assert_faulty(&good.clone().and(header, value).send().await, header);
        }
        for (parameter, other) in [
            ("fromDate", "FROMDATE"),
            ("toDate", "toDate"),
            ("onlyPrimaryOwner", "onlyprimaryowner"),
        ] {
            let value = if parameter == "onlyPrimaryOwner" {
                "true".to_owned()
            } else {
                world::today().to_string()
            };
            let told = good
                .clone()
                .query(parameter, &value)
                .and_query(other, &value)
                .send()
                .await;
            assert_faulty(&told, parameter);
        }
    }
    assert_faulty(
        &Ask::account(&service)
            .and("AccountID", NOBODYS_ACCOUNT)
            .send()
            .await,
        "AccountID",
    );
}

#[track_caller]
fn assert_faulty(told: &Told, parameter: &str) {
    assert_error(told, REQUEST);
    assert_eq!(told.faulty(), [parameter]);
}

#[tokio::test]
async fn an_account_of_no_bank_is_err_006_as_far_as_the_coverage_says() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
    for engine in ENGINES {
        let service = Service::start(engine).await;
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
        let large = Ask::relationships(&service).with("Legal-Mandate", "m".repeat(20_000));
        assert_eq!(large.send().await.status, 200);
    }
}

#[tokio::test]
async fn a_defect_is_err_500_and_the_log_has_its_correlation_id() {
    const SPOIL_EVERY_ROW: &str = "for _, key in ipairs(redis.call('KEYS', '{??}[ca]*')) do \
        for _, field in ipairs(redis.call('HKEYS', key)) do redis.call('HSET', key, field, 'what is this') end end";
    let service = Service::start(Engine::Redis).await;
    service.deliver_world().await;
    service
        .redis
        .as_ref()
        .unwrap()
        .command(&["EVAL", SPOIL_EVERY_ROW, "0"]);
    for ask in [Ask::relationships(&service), Ask::account(&service)] {
        let told = ask.send().await;
        assert_error(&told, DEFECT);
        let correlation = told.header("CorrelationID").unwrap().to_owned();
        let log = service.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&correlation)).collect();
        assert!(lines.iter().any(|line| line.contains("500")), "{lines:?}");
    }
}

#[tokio::test]
async fn an_index_that_cannot_serve_is_err_503() {
    let mut service = Service::start(Engine::Redis).await;
    service.redis.as_mut().unwrap().kill();
    for ask in [Ask::relationships(&service), Ask::account(&service)] {
        assert_error(&sent_until(503, &ask).await, UNAVAILABLE);
        assert_error(&ask.send().await, UNAVAILABLE);
    }
}

#[tokio::test]
async fn without_the_issuers_keys_a_call_is_err_503() {
    for engine in ENGINES {
        let nobody = crate::harness::free_address();
        let configuration = format!("[maskinporten]\njwks_uri = \"http://{nobody}/jwk\"");
        let service = Service::launch(engine, &configuration).await;
        service.wait_until_alive().await;
        assert!(!service.is_ready().await);
        for ask in [
            Ask::relationships(&service),
            Ask::account(&service),
            Ask::participants(&service),
        ] {
            assert_error(&ask.clone().send().await, UNAVAILABLE);
            assert_error(&ask.method("POST").send().await, METHOD);
        }
    }
}

#[tokio::test]
async fn an_index_that_does_not_answer_in_time_is_err_504() {
    let service = Service::start_with(Engine::Redis, "[index]\ntimeout_milliseconds = 300").await;
    service
        .redis
        .as_ref()
        .unwrap()
        .command(&["CLIENT", "PAUSE", "4000", "ALL"]);
    for ask in [Ask::relationships(&service), Ask::account(&service)] {
        assert_error(&ask.send().await, TIMED_OUT);
    }
}

/// The first answer with this status. The state of the index is a quarter of a second old at most.
async fn sent_until(status: u16, ask: &Ask<'_>) -> Told {
    for _ in 0..100 {
        let told = ask.clone().send().await;
        if told.status == status {
            return told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no answer with {status}");
}

#[tokio::test]
async fn a_correlation_id_is_echoed_as_sent_and_made_anew_when_unreadable() {
    let service = Service::start(Engine::Embedded).await;
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
