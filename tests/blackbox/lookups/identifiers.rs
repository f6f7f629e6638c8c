//! Which identifiers are taken, under which settings.

use super::*;
use crate::harness::ask::RELATIONSHIPS;

const PRODUCTION: &str = "[identifiers]\nsynthetic = []";
/// Of no synthetic series. One of them has a check digit that numbers have from 2032 on.
const PLAIN: [&str; 9] = [
    "13097248022",
    "29029648784",
    "15021951940",
    "20036914700",
    "02013299997",
    "53097248016",
    "02013299903",
    "123456785",
    "988077917",
];
const TENOR: [&str; 2] = ["17912099997", "57912075186"];
const HELSENETT: &str = "49710697182";
const DOLLY: &str = "15507600333";

async fn status_for(service: &Service, customer: &str) -> u16 {
    Ask::relationships(service)
        .with("CustomerID", customer)
        .send()
        .await
        .status
}

#[tokio::test]
async fn synthetic_numbers_are_refused_unless_their_series_is_switched_on() {
    for (configuration, tenor, helsenett, dolly) in [
        (PRODUCTION, 400, 400, 400),
        ("[identifiers]\nsynthetic = [\"tenor\"]", 200, 400, 400),
        ("[identifiers]\nsynthetic = [\"helsenett\"]", 400, 200, 400),
        ("[identifiers]\nsynthetic = [\"dolly\"]", 400, 400, 200),
        ("", 200, 200, 200),
    ] {
        let service = Service::start_with(Caching::Without, configuration).await;
        for number in PLAIN {
            assert_eq!(
                status_for(&service, number).await,
                200,
                "{number}: {configuration}"
            );
        }
        for number in TENOR {
            assert_eq!(
                status_for(&service, number).await,
                tenor,
                "{number}: {configuration}"
            );
        }
        assert_eq!(
            status_for(&service, HELSENETT).await,
            helsenett,
            "{configuration}"
        );
        assert_eq!(status_for(&service, DOLLY).await, dolly, "{configuration}");
    }
}

#[tokio::test]
async fn the_rule_of_2032_is_a_setting_that_is_on_by_default() {
    let service = Service::start_with(Caching::Without, "[identifiers]\naccept_2032 = false").await;
    assert_eq!(status_for(&service, "02013299903").await, 400);
    assert_eq!(status_for(&service, "02013299997").await, 200);
}

#[tokio::test]
async fn the_check_format_asks_for_length_and_digits_only() {
    let service = Service::start_with(
        Caching::Without,
        "[identifiers]\ncheck = \"format\"\nsynthetic = []",
    )
    .await;
    for number in [
        "13097248032",
        "19575770838",
        "99999999999",
        "00000000000",
        "123456789",
        "17912099997",
    ] {
        assert_eq!(status_for(&service, number).await, 200, "{number}");
    }
    for number in ["", "1309724803", "130972480320", "1309724803x", "12345678"] {
        assert_eq!(status_for(&service, number).await, 400, "{number}");
    }
}

#[tokio::test]
async fn an_account_is_looked_up_without_its_check_digit() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for account in ["86011117947", "86011117949", "00001234567", "99999999999"] {
            let told = Ask::account(&service).with("AccountID", account).send().await;
            assert_eq!(
                (told.status, told.error_code().as_str()),
                (404, "ERR-006"),
                "{account}"
            );
        }
    }
}

#[tokio::test]
async fn blanks_around_an_identifier_are_trimmed() {
    let service = with_world(Caching::Without).await;
    for customer in [" 13897210066", "13897210066  ", "\t13897210066 \t"] {
        assert_eq!(
            banks(Ask::relationships(&service).with("CustomerID", customer)).await[0]["organizationID"],
            "210011013"
        );
    }
    answered(Ask::account(&service).with("AccountID", format!("  {AN_ACCOUNT} "))).await;
    let spread = Ask::relationships(&service)
        .path(&format!("{RELATIONSHIPS}?"))
        .with("CustomerID", "138972 10066");
    assert_eq!(spread.send().await.status, 400);
}
