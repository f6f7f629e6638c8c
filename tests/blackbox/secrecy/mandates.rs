//! What the record keeps of mandates, and what a mandate may be.

use crate::audit::load::search;
use crate::harness::ask::Ask;
use crate::harness::identifiers::people;
use crate::harness::issuer::AGENCY;
use crate::harness::{Caching, Service};
use serde_json::Value;

/// The mandates of all calls of the agency, in order.
fn recorded(service: &Service) -> Vec<Value> {
    let calls = search(service, &["--consumer", AGENCY], "");
    calls
        .into_iter()
        .map(|mut call| call["legalMandate"].take())
        .collect()
}

#[tokio::test]
async fn a_number_in_a_mandate_is_not_recorded_however_it_is_written() {
    let service = Service::start(Caching::Without).await;
    let number = people().nth(9_000).unwrap();
    let encoded = |how: &dyn Fn(u8) -> String| number.bytes().map(how).collect::<String>();
    let ways = [
        number.clone(),
        encoded(&|byte| format!("{}%C2%A0", byte as char)),
        encoded(&|byte| format!("{}-", byte as char)),
        encoded(&|byte| format!("{}/", byte as char)),
        encoded(&|byte| format!("{}%3Cbr%3E", byte as char)),
        encoded(&|byte| format!("{}%E2%80%8B", byte as char)),
        encoded(&|byte| format!("%EF%BC%{:X}", 0x90 + byte - b'0')),
        encoded(&|byte| format!("%D9%{:X}", 0xa0 + byte - b'0')),
        encoded(&|byte| format!("%25{byte:x}")),
        {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(&number)
        },
    ];
    for way in &ways {
        let told = Ask::relationships(&service)
            .with("Legal-Mandate", format!("Testloven%20om%20{way}"))
            .send()
            .await;
        assert_eq!(told.status, 200, "{way}: {}", told.text);
    }
    let kept = recorded(&service);
    assert_eq!(kept.len(), ways.len());
    for (way, mandate) in ways.iter().zip(kept) {
        let mandate = mandate.as_str().unwrap();
        let rest = mandate.strip_prefix("Testloven om (masked)");
        assert!(
            rest.is_some_and(|rest| !rest.contains(char::is_alphanumeric) || rest == "<br>"),
            "{way} is {mandate}"
        );
    }
}

#[tokio::test]
async fn of_a_mandate_that_fits_no_service_the_beginning_is_recorded() {
    let service = Service::start_with(Caching::Without, "[access]\nservices_file = \"\"").await;
    let fits = "kkl. §156 (3) og (4), jf. kkfor.§21";
    let long = "Testloven ".repeat(90);
    for (mandate, agency, status) in [(&long, AGENCY, 403), (&"x".repeat(1024), AGENCY, 403)] {
        let told = Ask::relationships(&service)
            .token(&service.issuer.token(agency, "bits:kundeforhold"))
            .with("Legal-Mandate", mandate)
            .send()
            .await;
        assert_eq!(told.status, status, "{}", told.text);
    }
    let invalid = Ask::relationships(&service)
        .with("Legal-Mandate", &long)
        .with("CustomerID", "1")
        .send()
        .await;
    assert_eq!(invalid.status, 400);
    let kept = recorded(&service);
    let beginning: String = long.chars().take(200).collect();
    assert_eq!(
        kept,
        [
            Value::from(beginning.clone()),
            Value::from("x".repeat(200)),
            Value::from(beginning)
        ]
    );

    let bankruptcies = "974760673";
    let fitting = Ask::relationships(&service)
        .token(&service.issuer.token(bankruptcies, "bits:kundeforhold"))
        .query("onlyPrimaryOwner", "true")
        .with("Legal-Mandate", fits)
        .send()
        .await;
    assert_eq!(fitting.status, 200, "{}", fitting.text);
    let kept = search(&service, &["--consumer", bankruptcies], "");
    assert_eq!(kept[0]["legalMandate"], fits);
}

#[tokio::test]
async fn what_a_mandate_may_not_be_is_told_with_its_place() {
    let service = Service::start_with(Caching::Without, "[access]\nmax_mandate_bytes = 40").await;
    for (mandate, words) in [
        ("Testloven%2", ["% at character 10", "two hexadecimal digits"]),
        ("Testloven%20%A7%201", ["UTF-8", "character 13"]),
        ("Testloven+%C2%A7+1", ["+ for blanks", "%20"]),
        ("Testloven%0A1", ["control character", "character 10"]),
        (
            "Testloven%20%C2%A7%20111111111111111111111111111111111111",
            ["longer than 40 bytes", ""],
        ),
        ("%20", ["empty", ""]),
    ] {
        let told = Ask::relationships(&service)
            .with("Legal-Mandate", mandate)
            .send()
            .await;
        assert_eq!(told.status, 400, "{mandate}: {}", told.text);
        let detail = &told.body()["details"][0];
        assert_eq!(detail["parameter"], "Legal-Mandate");
        let reason = detail["reason"].as_str().unwrap();
        assert!(
            words.iter().all(|word| reason.contains(word)),
            "{mandate}: {reason}"
        );
    }
    let fits = "x".repeat(40);
    let told = Ask::relationships(&service)
        .with("Legal-Mandate", fits)
        .send()
        .await;
    assert_eq!(told.status, 200, "{}", told.text);
}
