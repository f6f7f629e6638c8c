//! The rows of a 400: what is wrong with the question.

use super::*;
use crate::harness::ask::{ACCOUNT, Ask, NOBODYS_ACCOUNT, OLDER_ACCOUNT, OLDER_RELATIONSHIPS, RELATIONSHIPS};
use crate::harness::{Caching, EITHER_WAY, Service, world};
use chrono::Days;

#[tokio::test]
async fn a_missing_or_invalid_customer_is_err_002() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
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

/// Not a day, whatever else they look like.
const NO_DAYS: [&str; 17] = [
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
];

#[track_caller]
fn assert_date_faulty(told: &Told, parameter: &str) {
    assert_error(told, PERIOD);
    assert_eq!(told.faulty(), [parameter]);
}

#[tokio::test]
async fn a_missing_or_malformed_date_is_err_003() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let good = Ask::relationships(&service);
        for parameter in ["fromDate", "toDate"] {
            assert_date_faulty(&good.clone().without_query(parameter).send().await, parameter);
            for path in [RELATIONSHIPS, OLDER_RELATIONSHIPS] {
                for day in NO_DAYS {
                    let ask = good.clone().path(path).query(parameter, day);
                    assert_date_faulty(&ask.send().await, parameter);
                }
            }
        }
    }
}

#[tokio::test]
async fn reversed_or_future_dates_are_err_003() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for path in [RELATIONSHIPS, OLDER_RELATIONSHIPS] {
            let good = Ask::relationships(&service).path(path);
            let tomorrow = (world::today() + Days::new(1)).to_string();
            let future = good
                .clone()
                .query("fromDate", &tomorrow)
                .query("toDate", &tomorrow);
            assert_date_faulty(&future.send().await, "fromDate");
            let reversed = good.query("fromDate", "2020-01-02").query("toDate", "2020-01-01");
            assert_date_faulty(&reversed.send().await, "toDate");
        }
    }
}

#[tokio::test]
async fn a_missing_or_invalid_account_is_err_004() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
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
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
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
    let service = Service::start(Caching::Without).await;
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
