//! What the claims must say.

use super::*;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use std::time::Duration;

fn organization(number: &str) -> Value {
    json!({"authority": "iso6523-actorid-upis", "ID": format!("0192:{number}")})
}

#[tokio::test]
async fn another_issuer_is_refused() {
    let service = started(Caching::Without, "").await;
    for issuer in [
        json!("https://other.example/"),
        json!(""),
        json!(7),
        json!([service.issuer.name()]),
    ] {
        assert_claim_refused(&service, &with(&service, "iss", issuer), "iss").await;
    }
    assert_claim_refused(&service, &without(&service, "iss"), "iss").await;
}

#[tokio::test]
async fn an_issuer_without_its_trailing_slash_is_refused() {
    let service = started(Caching::Without, "").await;
    let name = service.issuer.name();
    for issuer in [
        name.trim_end_matches('/').to_owned(),
        format!("{name}/"),
        name.to_uppercase(),
        format!(" {name}"),
    ] {
        assert_claim_refused(&service, &with(&service, "iss", json!(issuer)), "iss").await;
    }
}

#[tokio::test]
async fn an_expired_token_is_refused_after_ten_seconds_of_slack() {
    let service = started(Caching::Without, "").await;
    for seconds in [-12, -60, -3600] {
        assert_claim_refused(&service, &with(&service, "exp", in_seconds(seconds)), "exp").await;
    }
    assert_accepted(
        &service,
        &service.issuer.sign(&with(&service, "exp", in_seconds(-6))),
    )
    .await;
    for exp in [json!("soon"), json!(null), json!(1e300), json!(-1)] {
        assert_claim_refused(&service, &with(&service, "exp", exp), "exp").await;
    }
    assert_claim_refused(&service, &without(&service, "exp"), "exp").await;
}

#[tokio::test]
async fn a_remembered_token_expires_like_any_other() {
    let service = started(Caching::Without, "").await;
    let claims = with(&service, "exp", in_seconds(-7));
    let token = service.issuer.sign(&claims);
    assert_accepted(&service, &token).await;
    assert_accepted(&service, &token).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_claim_refused(&service, &claims, "exp").await;
    assert_eq!(told(&service, &token).await.status, 401);
}

#[tokio::test]
async fn a_token_from_the_future_is_refused() {
    let service = started(Caching::Without, "").await;
    for seconds in [14, 60, 3600] {
        assert_claim_refused(&service, &with(&service, "iat", in_seconds(seconds)), "iat").await;
    }
    assert_accepted(
        &service,
        &service.issuer.sign(&with(&service, "iat", in_seconds(6))),
    )
    .await;
    for iat in [json!("now"), json!(null), json!([1])] {
        assert_claim_refused(&service, &with(&service, "iat", iat), "iat").await;
    }
    assert_claim_refused(&service, &without(&service, "iat"), "iat").await;
}

#[tokio::test]
async fn a_token_that_is_not_valid_yet_is_refused() {
    let service = started(Caching::Without, "").await;
    for seconds in [14, 60, 3600] {
        assert_claim_refused(&service, &with(&service, "nbf", in_seconds(seconds)), "nbf").await;
    }
    for nbf in [json!("now"), json!(null)] {
        assert_claim_refused(&service, &with(&service, "nbf", nbf), "nbf").await;
    }
    for seconds in [-60, 0, 6] {
        assert_accepted(
            &service,
            &service.issuer.sign(&with(&service, "nbf", in_seconds(seconds))),
        )
        .await;
    }
}

#[tokio::test]
async fn a_token_without_a_consumer_is_refused() {
    let service = started(Caching::Without, "").await;
    assert_claim_refused(&service, &without(&service, "consumer"), "consumer").await;
}

#[tokio::test]
async fn a_consumer_in_any_other_form_is_refused() {
    let service = started(Caching::Without, "").await;
    let authority = "iso6523-actorid-upis";
    for consumer in [
        json!(null),
        json!(AGENCY),
        json!(format!("0192:{AGENCY}")),
        json!([]),
        json!({}),
        json!([organization(AGENCY)]),
        json!({"ID": format!("0192:{AGENCY}")}),
        json!({"authority": authority}),
        json!({"authority": "iso6523-actorid-other", "ID": format!("0192:{AGENCY}")}),
        json!({"authority": "ISO6523-ACTORID-UPIS", "ID": format!("0192:{AGENCY}")}),
        json!({"authority": authority, "id": format!("0192:{AGENCY}")}),
        json!({"authority": authority, "ID": AGENCY}),
        json!({"authority": authority, "ID": format!("0193:{AGENCY}")}),
        json!({"authority": authority, "ID": format!("0192: {AGENCY}")}),
        json!({"authority": authority, "ID": format!("0192:{AGENCY} ")}),
        json!({"authority": authority, "ID": format!("0192:{AGENCY}:x")}),
        json!({"authority": authority, "ID": 974_761_076}),
        organization("974761077"),
        organization("97476107"),
        organization("9747610760"),
        organization(""),
        organization("13897210066"),
    ] {
        assert_claim_refused(&service, &with(&service, "consumer", consumer), "consumer").await;
    }
}

#[tokio::test]
async fn a_supplier_in_any_other_form_is_refused() {
    let service = started(Caching::Without, "").await;
    for supplier in [json!(null), json!(AGENCY), json!({}), organization("974761077")] {
        assert_claim_refused(&service, &with(&service, "supplier", supplier), "supplier").await;
    }
    assert_accepted(
        &service,
        &service
            .issuer
            .sign(&with(&service, "supplier", organization("991825827"))),
    )
    .await;
}

#[tokio::test]
async fn a_scope_is_one_whole_word_of_the_claim() {
    let service = started(Caching::Without, "").await;
    for scope in [
        "",
        "bits",
        "bits:",
        "bits:kunde",
        "bits:kundeforhol",
        "bits:kundeforhold.konto",
        "bits:kundeforhold.write",
        "bits:kundeforholdx",
        "xbits:kundeforhold",
        "BITS:KUNDEFORHOLD",
        "bits:kundeforhold,other",
        "bits:kundeforhold\tother",
        "bits:kundeforhold.konto bits:kundeforhold.write",
    ] {
        let told = told(&service, &service.issuer.token(AGENCY, scope)).await;
        assert_eq!(
            (told.status, told.error_code().as_str()),
            (403, "ERR-001"),
            "{scope}"
        );
    }
    for scope in [
        "other bits:kundeforhold",
        "bits:kundeforhold other",
        "a bits:kundeforhold.konto  bits:kundeforhold b",
    ] {
        assert_accepted(&service, &service.issuer.token(AGENCY, scope)).await;
    }
    let told = told(&service, &service.issuer.sign(&without(&service, "scope"))).await;
    assert_eq!(told.status, 403);
    for scope in [json!([SCOPE]), json!(null), json!({"scope": SCOPE})] {
        assert_claim_refused(&service, &with(&service, "scope", scope), "scope").await;
    }
}

#[tokio::test]
async fn a_configured_audience_must_be_named() {
    let audience = "https://kundeforhold.example";
    let configuration = format!("[maskinporten]\naudience = \"{audience}\"");
    let service = Service::start_with(Caching::Without, &configuration).await;
    for aud in [
        json!(audience),
        json!([audience]),
        json!(["https://other.example", audience]),
    ] {
        assert_accepted(&service, &service.issuer.sign(&with(&service, "aud", aud))).await;
    }
    for aud in [
        json!("unspecified"),
        json!("https://other.example"),
        json!(format!("{audience}/")),
        json!(""),
        json!([]),
        json!(["unspecified"]),
        json!([7, audience]),
        json!(null),
        json!({"aud": audience}),
        json!("https://KUNDEFORHOLD.example"),
    ] {
        assert_claim_refused(&service, &with(&service, "aud", aud), "aud").await;
    }
    assert_claim_refused(&service, &good(&service), "aud").await;
}

#[tokio::test]
async fn without_a_configured_audience_it_is_not_looked_at() {
    let service = started(Caching::Without, "").await;
    for aud in [
        json!("unspecified"),
        json!("https://other.example"),
        json!([]),
        json!(7),
    ] {
        assert_accepted(&service, &service.issuer.sign(&with(&service, "aud", aud))).await;
    }
}

#[tokio::test]
async fn a_token_of_a_system_user_may_not_ask() {
    let service = started(Caching::Without, "").await;
    let user = json!([{"type": "urn:altinn:systemuser", "systemuser_org": organization(AGENCY), "systemuser_id": ["a"], "system_id": "b"}]);
    let told = told(
        &service,
        &service
            .issuer
            .sign(&with(&service, "authorization_details", user)),
    )
    .await;
    assert_eq!((told.status, told.error_code().as_str()), (401, "ERR-001"));
    let challenge = told.header("WWW-Authenticate").unwrap();
    assert!(
        challenge.contains("error_description=\"authorization_details "),
        "{challenge}"
    );
    for details in [json!([]), json!(null), json!([{"type": "other"}])] {
        let claims = with(&service, "authorization_details", details);
        assert_claim_refused(&service, &claims, "authorization_details").await;
    }
}

#[tokio::test]
async fn a_client_is_never_looked_at() {
    let service = started(Caching::Without, "").await;
    assert_accepted(&service, &service.issuer.sign(&without(&service, "client_id"))).await;
    assert_accepted(
        &service,
        &service.issuer.sign(&with(&service, "client_id", json!(7))),
    )
    .await;
    assert_accepted(&service, &service.issuer.sign(&without(&service, "token_type"))).await;
}

#[tokio::test]
async fn a_claim_that_stands_twice_is_refused() {
    let service = started(Caching::Without, "").await;
    let text = good(&service).to_string();
    let doubled = text.replacen('{', &format!("{{\"iss\":{},", json!(service.issuer.name())), 1);
    let header = json!({"alg": "RS256", "kid": KID}).to_string();
    let sign = |claims: &str| {
        service
            .issuer
            .key()
            .sign_texts(&RSA_PKCS1_SHA256, &header, claims)
    };
    assert_accepted(&service, &sign(&text)).await;
    for claims in [doubled.as_str(), "[]", "no JSON", ""] {
        assert_refused(&service, &sign(claims)).await;
    }
}

#[tokio::test]
async fn a_claim_is_named_only_when_the_signature_is_good() {
    let service = started(Caching::Without, "").await;
    let wrong = with(&service, "iss", json!("https://other.example/"));
    assert_claim_refused(&service, &wrong, "iss").await;
    let header = json!({"alg": "RS256", "kid": KID});
    assert_refused(&service, &SigningKey::generate().sign(&header, &wrong)).await;
    assert_refused(&service, &format!("{}.AAAA", unsigned(&header, &wrong))).await;
}
