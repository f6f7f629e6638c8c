//! Who asks and why: the token's place, and the legal context.

use super::*;

#[tokio::test]
async fn a_token_comes_after_bearer_in_any_letter_case_or_bare() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let token = service.issuer.agency_token();
        for authorization in [
            format!("Bearer {token}"),
            format!("bearer {token}"),
            format!("BEARER {token}"),
            format!("bEaReR {token}"),
            format!("Bearer   {token}"),
            token.clone(),
        ] {
            for ask in [Ask::relationships(&service), Ask::participants(&service)] {
                answered(ask.with("Authorization", &authorization)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_mandate_is_percent_encoded_or_raw_utf_8_and_not_empty() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for mandate in [
            "Skatteforvaltningsloven%20%C2%A7%2010-2%20f%C3%B8rste%20ledd",
            "Skatteforvaltningsloven § 10-2 første ledd, jf. § 10-14",
            "Vergem%C3%A5lsloven § 54 (2)",
            "Testloven%20paragraf%201",
            "%c2%a7%201",
        ] {
            answered(Ask::relationships(&service).with("Legal-Mandate", mandate)).await;
        }
        let latin_1 = b"Skatteforvaltningsloven \xa7 10-2".as_slice();
        for mandate in [
            latin_1,
            b"%A7%2010-2",
            b"%C2",
            b"\xc2",
            b"",
            b"%20",
            b"%20%09%C2%A0",
            b"\xed\xa0\x80",
        ] {
            let told = Ask::relationships(&service)
                .with("Legal-Mandate", mandate)
                .send()
                .await;
            assert_eq!(
                (told.status, told.error_code().as_str()),
                (400, "ERR-005"),
                "{mandate:?}"
            );
            assert_eq!(told.faulty(), ["Legal-Mandate"]);
        }
    }
}

#[tokio::test]
async fn the_list_of_participants_needs_no_mandate_and_no_case() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let told = answered(Ask::participants(&service)).await;
        assert_eq!(members(&told.body()), ["participants"]);
        assert_eq!(told.header("Register-Coverage"), None);
    }
}
