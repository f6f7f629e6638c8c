//! Our names in the wrong place, what a caller takes, and what a refusal tells.

use crate::harness::ask::{A_CUSTOMER, ACCOUNT, Ask, OLDER_RELATIONSHIPS};
use crate::harness::{Caching, Service, world};
use serde_json::Value;

/// The parameters that are told, and that every reason is a sentence of its own.
fn told(body: &Value) -> Vec<String> {
    let details = body["details"].as_array().cloned().unwrap_or_default();
    details
        .iter()
        .map(|detail| {
            let reason = detail["reason"].as_str().unwrap();
            assert!(reason.ends_with('.') && reason.contains(' '), "{reason}");
            detail["parameter"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn one_of_our_names_in_the_wrong_place_is_named() {
    let service = Service::start(Caching::Without).await;
    for (ask, named) in [
        (
            Ask::relationships(&service).with("onlyPrimaryOwner", "true"),
            "onlyPrimaryOwner",
        ),
        (
            Ask::relationships(&service).with("ONLYPRIMARYOWNER", "false"),
            "onlyPrimaryOwner",
        ),
        (
            Ask::relationships(&service).with("fromDate", "2020-01-01"),
            "fromDate",
        ),
        (
            Ask::relationships(&service).with("todate", "2020-01-01"),
            "toDate",
        ),
        (
            Ask::relationships(&service).query("CustomerID", A_CUSTOMER),
            "CustomerID",
        ),
        (
            Ask::relationships(&service).query("customerid", A_CUSTOMER),
            "CustomerID",
        ),
        (
            Ask::relationships(&service).query("Legal-Mandate", "Testloven"),
            "Legal-Mandate",
        ),
        (
            Ask::relationships(&service)
                .path(OLDER_RELATIONSHIPS)
                .with("onlyPrimaryOwner", "true"),
            "onlyPrimaryOwner",
        ),
        (
            Ask::account(&service).query("AccountID", "17101002969"),
            "AccountID",
        ),
        (
            Ask::account(&service).with("onlyPrimaryOwner", "true"),
            "onlyPrimaryOwner",
        ),
        (
            Ask::participants(&service).with("onlyPrimaryOwner", "true"),
            "onlyPrimaryOwner",
        ),
        (Ask::relationships(&service).query("owner", "true"), "query"),
    ] {
        let answer = ask.send().await;
        assert_eq!(answer.status, 400, "{named}: {}", answer.text);
        assert_eq!(told(&answer.body()), [named], "{}", answer.text);
        assert_eq!(answer.body()["errorCode"], "ERR-005");
    }
    let register = service
        .put("210099093", "")
        .header("register", "KFR")
        .body("")
        .send()
        .await
        .unwrap();
    assert_eq!(register.status(), 400);
    let body: Value = register.json().await.unwrap();
    assert_eq!(
        told(&body),
        ["register"],
        "else the whole set of KAR would be replaced"
    );
}

#[tokio::test]
async fn a_query_of_ten_thousand_parameters_is_one_fault() {
    let service = Service::start(Caching::Without).await;
    let mut ask = Ask::relationships(&service);
    for number in 0..2_000 {
        ask = ask.and_query(&format!("p{number}"), "x");
    }
    let answer = ask.send().await;
    assert_eq!(
        (answer.status, told(&answer.body())),
        (400, vec!["query".to_owned()])
    );
}

#[tokio::test]
async fn what_a_caller_takes_is_judged_by_the_range_that_fits_best() {
    let service = Service::start(Caching::Without).await;
    for (accept, status) in [
        ("application/json", 200),
        ("*/*;q=0, application/json", 200),
        ("text/html, image/gif, *; q=.2, */*; q=.2", 200),
        ("application/json;q=0.1, text/html", 200),
        ("application/json;profile=\"a,b\"", 200),
        ("application/json;q=0, */*", 406),
        ("application/*;q=0, */*", 406),
        ("text/html, application/xml;q=0.9", 406),
    ] {
        let answer = Ask::relationships(&service).with("Accept", accept).send().await;
        assert_eq!(answer.status, status, "{accept}: {}", answer.text);
    }
    let two = Ask::relationships(&service)
        .with("Accept", "*/*")
        .and("Accept", "application/json;q=0");
    assert_eq!(two.send().await.status, 406);
}

#[tokio::test]
async fn a_403_tells_what_would_be_allowed() {
    let service = Service::start_with(Caching::Without, "[access]\nservices_file = \"\"").await;
    let today = world::today();
    let bankruptcies = service.issuer.token("974760673", "bits:kundeforhold");
    let ask = || {
        Ask::relationships(&service)
            .token(&bankruptcies)
            .with(
                "Legal-Mandate",
                "kkl.%20%C2%A7156%20(3)%20og%20(4),%20jf.%20kkfor.%C2%A721",
            )
            .query("onlyPrimaryOwner", "true")
    };
    assert_eq!(ask().send().await.status, 200);
    let earlier = ask().query("toDate", (today - chrono::Months::new(1)).to_string());
    for (ask, term, words) in [
        (
            earlier,
            "period",
            vec![
                "Konkursbehandling".to_owned(),
                format!("{today} as toDate"),
                (today - chrono::Months::new(120)).to_string(),
            ],
        ),
        (
            ask().with("Legal-Mandate", "Testloven"),
            "mandate",
            vec!["/v2/services".to_owned()],
        ),
        (
            ask().query("onlyPrimaryOwner", "false"),
            "onlyPrimaryOwner",
            vec!["true".to_owned()],
        ),
        (
            ask()
                .path(ACCOUNT)
                .with("AccountID", "17101002969")
                .without("CustomerID")
                .without_query("fromDate")
                .without_query("toDate")
                .without_query("onlyPrimaryOwner"),
            "endpoint",
            vec!["/v2/services".to_owned()],
        ),
        (
            ask().token(&service.issuer.token("974761076", "bits:kundeforhold")),
            "mandate",
            vec!["/v2/services".to_owned()],
        ),
        (
            ask().token(&service.issuer.token("889640782", "bits:kundeforhold")),
            "consumer",
            vec!["no DSOP service".to_owned()],
        ),
    ] {
        let answer = ask.send().await;
        assert_eq!(
            (answer.status, answer.body()["errorCode"].as_str()),
            (403, Some("ERR-007")),
            "{}",
            answer.text
        );
        assert_eq!(told(&answer.body()), [term]);
        let reason = answer.body()["details"][0]["reason"].as_str().unwrap().to_owned();
        for word in words {
            assert!(reason.contains(&word), "{term}: {word} is not in {reason}");
        }
        assert!(!reason.contains("Legal-Mandate must be"), "{reason}");
    }
}

#[tokio::test]
async fn a_missing_scope_is_told_and_a_missing_token_is_no_error() {
    let service = Service::start(Caching::Without).await;
    let challenge = |answer: &crate::harness::ask::Told| {
        let value = answer.headers.get("WWW-Authenticate").expect("a challenge");
        value.to_str().unwrap().to_owned()
    };
    let other = service.issuer.token("974761076", "bits:other");
    let without = Ask::relationships(&service).token(&other).send().await;
    assert_eq!(without.status, 403);
    assert_eq!(
        challenge(&without),
        "Bearer error=\"insufficient_scope\", scope=\"bits:kundeforhold\""
    );
    let account = Ask::account(&service).token(&other).send().await;
    assert_eq!(
        challenge(&account),
        "Bearer error=\"insufficient_scope\", scope=\"bits:kundeforhold bits:kundeforhold.konto\""
    );
    let nobody = Ask::relationships(&service).without("Authorization").send().await;
    assert_eq!(nobody.status, 401);
    let told = challenge(&nobody);
    assert!(told.starts_with("Bearer ") && !told.contains("error"), "{told}");
    let bad = Ask::relationships(&service).token("a.b.c").send().await;
    assert!(challenge(&bad).starts_with("Bearer error=\"invalid_token\""));
    let bank = "210099093";
    let put = service
        .put(bank, "")
        .bearer_auth(service.issuer.token(bank, "bits:kundeforhold"));
    let request = put.body("").build().unwrap();
    let mut request = request;
    let token = format!("Bearer {}", service.issuer.token(bank, "bits:kundeforhold"));
    request
        .headers_mut()
        .insert("Authorization", token.parse().unwrap());
    let refused = service.http.execute(request).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(
        refused.headers()["WWW-Authenticate"],
        "Bearer error=\"insufficient_scope\", scope=\"bits:kundeforhold.write\""
    );
    let other_bank = service
        .v2(reqwest::Method::GET, "210011013", "deliveries")
        .build()
        .unwrap();
    let mut other_bank = other_bank;
    let token = format!("Bearer {}", service.issuer.bank_token(bank));
    other_bank
        .headers_mut()
        .insert("Authorization", token.parse().unwrap());
    let refused = service.http.execute(other_bank).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(
        !refused.headers().contains_key("WWW-Authenticate"),
        "another scope would not help"
    );
}
