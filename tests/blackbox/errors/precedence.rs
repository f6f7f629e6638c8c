//! Which of several faults is answered, and that a 400 names all of them.

use super::*;
use crate::harness::ask::{ACCOUNT, Ask, OLDER_RELATIONSHIPS};
use crate::harness::{Caching, EITHER_WAY, Service, world};
use chrono::Days;

type Row = (u16, &'static str, &'static str);

/// A fault, the row it leads to, and what `details` call it if that is a 400.
struct Fault {
    spoil: fn(Ask) -> Ask,
    row: Row,
    detail: &'static str,
}

const fn fault(spoil: fn(Ask) -> Ask, row: Row, detail: &'static str) -> Fault {
    Fault { spoil, row, detail }
}

const PATH_FAULT: Fault = fault(|ask| ask.path("/v2/customers/nothing"), UNKNOWN_RESOURCE, "");
const METHOD_FAULT: Fault = fault(|ask| ask.method("POST"), METHOD, "");
const TOKEN_FAULT: Fault = fault(|ask| ask.token("bad"), NOT_AUTHENTICATED, "");
const CUSTOMER_FAULT: Fault = fault(
    |ask| ask.with("CustomerID", "13097248032"),
    CUSTOMER,
    "CustomerID",
);
const DATE_FAULT: Fault = fault(|ask| ask.query("fromDate", "2020-02-30"), PERIOD, "fromDate");
const ACCOUNT_FAULT: Fault = fault(
    |ask| ask.with("AccountID", "8601111794"),
    ACCOUNT_NUMBER,
    "AccountID",
);
const CASE_FAULT: Fault = fault(
    |ask| ask.with("AccountInfoRequestID", "unreadable"),
    REQUEST,
    "AccountInfoRequestID",
);
const QUERY_FAULT: Fault = fault(|ask| ask.query("surprise", "unheard-of"), REQUEST, "query");
const FORMAT_FAULT: Fault = fault(|ask| ask.with("Accept", "text/html"), NOT_ACCEPTABLE, "");

/// In order of precedence; the scope stands between token and customer and needs the issuer.
const RELATIONSHIPS_FAULTS: [Fault; 8] = [
    PATH_FAULT,
    METHOD_FAULT,
    TOKEN_FAULT,
    CUSTOMER_FAULT,
    DATE_FAULT,
    CASE_FAULT,
    QUERY_FAULT,
    FORMAT_FAULT,
];
const ACCOUNT_FAULTS: [Fault; 7] = [
    PATH_FAULT,
    METHOD_FAULT,
    TOKEN_FAULT,
    ACCOUNT_FAULT,
    CASE_FAULT,
    QUERY_FAULT,
    FORMAT_FAULT,
];

#[tokio::test]
async fn of_two_faults_the_earlier_in_the_list_is_answered() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        assert_pairs(&Ask::relationships(&service), &RELATIONSHIPS_FAULTS).await;
        assert_pairs(&Ask::account(&service), &ACCOUNT_FAULTS).await;
    }
}

async fn assert_pairs(good: &Ask<'_>, faults: &[Fault]) {
    for (at, first) in faults.iter().enumerate() {
        assert_error(&(first.spoil)(good.clone()).send().await, first.row);
        for second in &faults[at + 1..] {
            let told = (first.spoil)((second.spoil)(good.clone())).send().await;
            assert_error(&told, first.row);
            if first.row.0 == 400 {
                let mut expected = vec![first.detail, second.detail];
                expected.retain(|detail| !detail.is_empty());
                expected.sort_unstable();
                assert_eq!(told.faulty(), expected);
            }
        }
    }
}

#[tokio::test]
async fn a_missing_scope_comes_after_the_token_and_before_all_that_is_wrong_with_the_question() {
    let service = Service::start(Caching::Without).await;
    let token = service.issuer.token("974761076", "bits:other");
    for fault in [
        &CUSTOMER_FAULT,
        &DATE_FAULT,
        &CASE_FAULT,
        &QUERY_FAULT,
        &FORMAT_FAULT,
    ] {
        let told = (fault.spoil)(Ask::relationships(&service).token(&token))
            .send()
            .await;
        assert_error(&told, NOT_AUTHORIZED);
    }
    for fault in [&PATH_FAULT, &METHOD_FAULT, &TOKEN_FAULT] {
        let told = (fault.spoil)(Ask::relationships(&service).token(&token))
            .send()
            .await;
        assert_error(&told, fault.row);
    }
    let mut claims = service.issuer.claims("974761076", "bits:other");
    claims["exp"] = 1.into();
    let expired = service.issuer.sign(&claims);
    assert_error(
        &Ask::relationships(&service).token(&expired).send().await,
        NOT_AUTHENTICATED,
    );
}

#[tokio::test]
async fn every_fault_comes_before_an_index_that_is_gone() {
    let mut service = Service::start(Caching::With).await;
    service.redis.as_mut().unwrap().kill();
    for fault in &RELATIONSHIPS_FAULTS {
        assert_error(
            &(fault.spoil)(Ask::relationships(&service)).send().await,
            fault.row,
        );
    }
    for fault in &ACCOUNT_FAULTS {
        assert_error(&(fault.spoil)(Ask::account(&service)).send().await, fault.row);
    }
    assert_error(
        &Ask::relationships(&service)
            .token(&service.issuer.token("974761076", ""))
            .send()
            .await,
        NOT_AUTHORIZED,
    );
}

#[tokio::test]
async fn details_name_all_that_is_wrong_at_once() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let ask = Ask::relationships(&service)
            .with("CustomerID", "123456789")
            .with("CorrelationID", "unreadable")
            .with("AccountInfoRequestID", "unreadable")
            .with("Legal-Mandate", b"\xa7 12 forste ledd")
            .query("fromDate", "yesterday")
            .query("toDate", "tomorrow")
            .query("onlyPrimaryOwner", "perhaps")
            .query("surprise", "unheard-of");
        let all = [
            "AccountInfoRequestID",
            "CorrelationID",
            "CustomerID",
            "Legal-Mandate",
            "fromDate",
            "onlyPrimaryOwner",
            "query",
            "toDate",
        ];
        let told = ask.clone().send().await;
        assert_error(&told, CUSTOMER);
        assert_eq!(told.faulty(), all);
        let told = ask.path(OLDER_RELATIONSHIPS).send().await;
        assert_error(&told, CUSTOMER);
        assert_eq!(told.faulty(), all);
        let bare = Ask::relationships(&service).path(ACCOUNT).without("CustomerID");
        let bare = bare
            .without("CorrelationID")
            .without("AccountInfoRequestID")
            .without("Legal-Mandate");
        let told = bare.send().await;
        assert_error(&told, ACCOUNT_NUMBER);
        assert_eq!(
            told.faulty(),
            [
                "AccountID",
                "AccountInfoRequestID",
                "CorrelationID",
                "Legal-Mandate",
                "query"
            ]
        );
    }
}

#[tokio::test]
async fn a_duplicate_leaves_the_code_to_what_comes_first() {
    let service = Service::start(Caching::Without).await;
    let tomorrow = (world::today() + Days::new(1)).to_string();
    let told = Ask::relationships(&service)
        .and("CustomerID", "123456785")
        .query("fromDate", &tomorrow)
        .query("toDate", &tomorrow);
    let told = told.send().await;
    assert_error(&told, PERIOD);
    assert_eq!(told.faulty(), ["CustomerID", "fromDate"]);
}
