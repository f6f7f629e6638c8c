//! The same lookups at the path of the service in use before: what may be absent there, and what differs.

use super::*;
use crate::harness::ask::{ACCOUNT, NOBODYS_ACCOUNT, OLDER_ACCOUNT, OLDER_RELATIONSHIPS, RELATIONSHIPS};
use chrono::Days;
use uuid::Uuid;

const OPTIONAL: [&str; 3] = ["CorrelationID", "AccountInfoRequestID", "Legal-Mandate"];

fn bare(ask: Ask<'_>) -> Ask<'_> {
    let ask = OPTIONAL.iter().fold(ask, |ask, header| ask.without(header));
    ask.without_query("fromDate").without_query("toDate")
}

#[tokio::test]
async fn a_token_and_a_customer_are_enough() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let today = world::today().to_string();
        for customer in ["13897210066", OF_EVERY_BANK, "02846111355"] {
            let told = answered(
                bare(Ask::relationships(&service).with("CustomerID", customer)).path(OLDER_RELATIONSHIPS),
            )
            .await;
            assert!(Uuid::try_parse(told.header("CorrelationID").unwrap()).is_ok());
            let explicit = Ask::relationships(&service).with("CustomerID", customer);
            let explicit = answered(explicit.query("fromDate", &today).query("toDate", &today)).await;
            assert_eq!(told.body(), explicit.body());
        }
        answered(bare(Ask::account(&service)).path(OLDER_ACCOUNT)).await;
    }
}

#[tokio::test]
async fn each_date_is_today_by_default() {
    let service = with_world(Caching::Without).await;
    let yesterday = (world::today() - Days::new(1)).to_string();
    let ask = bare(Ask::relationships(&service)).path(OLDER_RELATIONSHIPS);
    // Closed yesterday, so that today alone does not find it.
    let closed = ask.clone().with("CustomerID", "02846111355");
    assert_eq!(banks(closed.clone()).await, json!([]));
    assert_eq!(
        banks(closed.query("fromDate", &yesterday))
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        banks(ask.clone().query("fromDate", &yesterday)).await[0]["activeAccount"],
        true
    );
    let reversed = ask.query("toDate", &yesterday).send().await;
    assert_eq!(
        (reversed.status, reversed.error_code().as_str()),
        (400, "ERR-003")
    );
}

#[tokio::test]
async fn what_may_be_absent_must_be_right_when_sent() {
    let service = Service::start(Caching::Without).await;
    for (ask, path) in [
        (Ask::relationships(&service), OLDER_RELATIONSHIPS),
        (Ask::account(&service), OLDER_ACCOUNT),
    ] {
        for header in OPTIONAL {
            let told = ask.clone().path(path).with(header, "").send().await;
            assert_eq!((told.status, told.error_code().as_str()), (400, "ERR-005"));
            assert_eq!(told.faulty(), [header]);
        }
    }
}

#[tokio::test]
async fn the_newer_path_demands_them_all() {
    let service = Service::start(Caching::Without).await;
    let told = bare(Ask::relationships(&service)).send().await;
    assert_eq!((told.status, told.error_code().as_str()), (400, "ERR-003"));
    assert_eq!(
        told.faulty(),
        [
            "AccountInfoRequestID",
            "CorrelationID",
            "Legal-Mandate",
            "fromDate",
            "toDate"
        ]
    );
}

#[tokio::test]
async fn an_account_is_answered_with_both_spellings_of_the_number() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let told = answered(Ask::account(&service).path(OLDER_ACCOUNT)).await;
        let number = "210011013";
        assert_eq!(
            told.body(),
            json!({"organizationID": number, "organizationId": number, "bankName": "Blåbærlia Sparebank"})
        );
    }
}

#[tokio::test]
async fn an_unknown_account_is_err_004() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let ask = Ask::account(&service).with("AccountID", NOBODYS_ACCOUNT);
        let told = ask.clone().path(OLDER_ACCOUNT).send().await;
        assert_eq!((told.status, told.error_code().as_str()), (400, "ERR-004"));
        assert_eq!(told.body()["errorMessage"], "Ugyldig kontonummer");
        assert_eq!(told.faulty(), ["AccountID"]);
        assert_eq!(told.header("Register-Coverage"), None);
        let told = ask.path(ACCOUNT).send().await;
        assert_eq!((told.status, told.error_code().as_str()), (404, "ERR-006"));
    }
}

#[tokio::test]
async fn a_401_says_itself_twice() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let mut system_user = service.issuer.claims("974761076", "bits:kundeforhold");
        let owner = json!({"authority": "iso6523-actorid-upis", "ID": "0192:974761076"});
        system_user["authorization_details"] =
            json!([{"type": "urn:altinn:systemuser", "systemuser_org": owner}]);
        for token in ["bad".to_owned(), service.issuer.sign(&system_user)] {
            for path in [OLDER_RELATIONSHIPS, OLDER_ACCOUNT] {
                let told = Ask::relationships(&service).path(path).token(&token).send().await;
                assert_eq!((told.status, told.error_code().as_str()), (401, "ERR-001"));
                let body = told.body();
                assert_eq!(body["statusCode"], 401);
                assert_eq!(body["message"], "Klient er ikke autentisert");
                assert_eq!(body.as_object().unwrap().len(), 6);
                assert!(told.header("WWW-Authenticate").is_some());
            }
            for path in [RELATIONSHIPS, ACCOUNT] {
                let told = Ask::relationships(&service).path(path).token(&token).send().await;
                assert_eq!((told.status, told.body().as_object().unwrap().len()), (401, 4));
            }
        }
        let token = service.issuer.token("974761076", "bits:other");
        let told = Ask::relationships(&service)
            .path(OLDER_RELATIONSHIPS)
            .token(&token)
            .send()
            .await;
        assert_eq!((told.status, told.body().as_object().unwrap().len()), (403, 4));
    }
}

/// The same banks and providers, and no word of coverage.
#[tokio::test]
async fn every_expected_answer_of_the_fixtures_is_given_there_too() {
    let service = with_world(Caching::Without).await;
    for case in world::expected() {
        let text = |name: &str| case.get(name).and_then(Value::as_str);
        let ask = match text("customerID") {
            Some(customer) => {
                let ask = Ask::relationships(&service)
                    .path(OLDER_RELATIONSHIPS)
                    .with("CustomerID", customer);
                let ask = ask
                    .query("fromDate", text("fromDate").unwrap())
                    .query("toDate", text("toDate").unwrap());
                text("onlyPrimaryOwner")
                    .into_iter()
                    .fold(ask, |ask, only| ask.query("onlyPrimaryOwner", only))
            }
            None => Ask::account(&service)
                .path(OLDER_ACCOUNT)
                .with("AccountID", text("accountID").unwrap()),
        };
        let told = ask.send().await;
        let name = text("name").unwrap();
        assert_eq!(told.header("Register-Coverage"), None, "{name}");
        match (case.get("banks"), case.get("provider")) {
            (Some(banks), _) => assert_eq!(&told.body()["banks"], banks, "{name}"),
            (_, Some(provider)) => assert_eq!(
                told.body()["organizationID"],
                provider["organizationID"],
                "{name}"
            ),
            _ => assert_eq!(
                (told.status, told.error_code().as_str()),
                (400, "ERR-004"),
                "{name}"
            ),
        }
    }
}
