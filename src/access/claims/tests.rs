use serde_json::json;

use super::*;
use crate::access::caller::Scope;
use crate::access::fixture::*;
use crate::access::keys::Keys;
use crate::access::token::{TokenFault, verify};

fn judge_by(rules: &TokenRules, claims: &Value) -> Result<Verified, TokenFault> {
    let keys = Keys::parse(document(&[KEY.jwk("a")]).as_bytes()).unwrap().keys;
    verify(&KEY.sign("a", claims), &keys, rules, noon())
}

fn judge_claim(name: &str, value: Option<Value>) -> Result<Verified, TokenFault> {
    judge_by(&rules(), &claims_with(name, value))
}

/// Every one of these values makes exactly this claim the fault.
fn assert_refused(claim: Claim, values: &[Value]) {
    for value in values {
        let outcome = judge_claim(claim.name(), Some(value.clone()));
        assert_eq!(outcome, Err(TokenFault::Claim(claim)), "{value}");
    }
}

fn assert_taken(name: &str, values: &[Value]) {
    for value in values {
        assert!(judge_claim(name, Some(value.clone())).is_ok(), "{name} {value}");
    }
}

fn number(text: &str) -> OrganizationNumber {
    OrganizationNumber::parse(text).unwrap()
}

#[test]
fn the_issuer_is_compared_exactly() {
    assert_refused(
        Claim::Issuer,
        &[
            json!("https://issuer.test"),
            json!("https://issuer.test//"),
            json!("https://ISSUER.test/"),
            json!("https://other.test/"),
            json!(""),
            json!(null),
            json!([ISSUER]),
        ],
    );
    assert_eq!(judge_claim("iss", None), Err(TokenFault::Claim(Claim::Issuer)));
}

#[test]
fn times_are_demanded_and_are_numbers() {
    let iat = noon().timestamp();
    for claim in [Claim::Expiry, Claim::IssuedAt] {
        assert_eq!(judge_claim(claim.name(), None), Err(TokenFault::Claim(claim)));
        let odd = [
            json!((iat + 60).to_string()),
            json!(null),
            json!(true),
            json!([iat]),
            json!(1e300),
            json!(-1e300),
        ];
        assert_refused(claim, &odd);
    }
    assert_refused(
        Claim::NotBefore,
        &[json!(iat.to_string()), json!(null), json!(1e300)],
    );
}

#[test]
fn times_have_ten_seconds_of_slack() {
    let iat = noon().timestamp();
    assert_taken("exp", &[json!(iat), json!(iat - 9), json!(iat as f64 - 9.5)]);
    assert_refused(
        Claim::Expiry,
        &[
            json!(iat - 10),
            json!(iat - 11),
            json!(iat as f64 - 10.5),
            json!(0),
            json!(-1),
        ],
    );
    assert_taken(
        "iat",
        &[json!(iat - 100_000), json!(iat + 10), json!(iat as f64 + 9.5)],
    );
    assert_refused(Claim::IssuedAt, &[json!(iat + 11), json!(iat as f64 + 10.5)]);
    assert_taken(
        "nbf",
        &[json!(iat - 100_000), json!(iat + 10), json!(iat as f64 + 9.5)],
    );
    assert_refused(Claim::NotBefore, &[json!(iat + 11), json!(iat as f64 + 10.5)]);
}

#[test]
fn an_audience_is_ignored_unless_configured() {
    assert_taken(
        "aud",
        &[
            json!("anything"),
            json!("unspecified"),
            json!(["a", "b"]),
            json!(7),
        ],
    );
}

#[test]
fn a_configured_audience_is_demanded() {
    let rules = TokenRules {
        audience: Some("https://register.test".to_owned()),
        ..rules()
    };
    let judge = |value: Option<Value>| judge_by(&rules, &claims_with("aud", value)).map(|_| ());
    for value in [
        json!("https://register.test"),
        json!(["x", "https://register.test"]),
    ] {
        assert_eq!(judge(Some(value.clone())), Ok(()), "{value}");
    }
    let others = [
        "unspecified",
        "https://register.test/",
        "https://register.tes",
        "",
    ]
    .map(|text| json!(text));
    let odd = [
        json!(["unspecified"]),
        json!([]),
        json!(null),
        json!(["https://register.test", 7]),
    ];
    for value in others.into_iter().chain(odd).map(Some).chain([None]) {
        assert_eq!(
            judge(value.clone()),
            Err(TokenFault::Claim(Claim::Audience)),
            "{value:?}"
        );
    }
}

#[test]
fn an_unspecified_audience_never_matches() {
    let rules = TokenRules {
        audience: Some("unspecified".to_owned()),
        ..rules()
    };
    let outcome = judge_by(&rules, &claims_with("aud", Some(json!("unspecified"))));
    assert_eq!(outcome, Err(TokenFault::Claim(Claim::Audience)));
}

/// Everything that is not `{"authority":"iso6523-actorid-upis","ID":"0192:<organisation number>"}`.
fn malformed_organizations() -> Vec<Value> {
    let ids = [
        "974761076",
        "0192:",
        "0192:974761077",
        "0192: 974761076",
        "0192:974761076 ",
        "0193:974761076",
        "0192:97476107",
    ];
    let mut values: Vec<_> = ids
        .map(|id| json!({"authority": "iso6523-actorid-upis", "ID": id}))
        .into_iter()
        .collect();
    values.extend([
        json!(null),
        json!("0192:974761076"),
        json!({}),
        json!([organization_claim(CONSUMER)]),
        json!({"ID": "0192:974761076"}),
        json!({"authority": "iso6523-actorid-upis"}),
        json!({"authority": "iso6523-actorid-upis", "ID": 974_761_076}),
        json!({"authority": "iso6523-actorid-upis", "id": "0192:974761076"}),
        json!({"authority": "ISO6523-ACTORID-UPIS", "ID": "0192:974761076"}),
        json!({"authority": "other", "ID": "0192:974761076"}),
    ]);
    values
}

#[test]
fn the_consumer_is_demanded_in_its_one_form() {
    assert_eq!(
        judge_claim("consumer", None),
        Err(TokenFault::Claim(Claim::Consumer))
    );
    assert_refused(Claim::Consumer, &malformed_organizations());
}

#[test]
fn a_supplier_has_the_same_form() {
    let verified = judge_claim("supplier", Some(organization_claim("915429785"))).unwrap();
    assert_eq!(verified.caller.supplier, Some(number("915429785")));
    assert_refused(Claim::Supplier, &malformed_organizations());
}

#[test]
fn the_client_id_does_not_matter() {
    assert!(judge_claim("client_id", None).is_ok());
    assert_taken("client_id", &[json!("another"), json!(7)]);
}

#[test]
fn a_scope_that_only_begins_alike_is_another_scope() {
    let wanted = [Scope::parse("bits:kundeforhold").unwrap()];
    for (text, has) in [
        ("a bits:kundeforhold", true),
        ("bits:kundeforhold.konto", false),
        ("", false),
    ] {
        let verified = judge_claim("scope", Some(json!(text))).unwrap();
        assert_eq!(verified.caller.scopes.has_any(&wanted), has, "{text}");
    }
    assert!(!judge_claim("scope", None).unwrap().caller.scopes.has_any(&wanted));
    assert_refused(
        Claim::Scope,
        &[json!(["bits:kundeforhold"]), json!(null), json!(7)],
    );
}

#[test]
fn what_is_kept_for_the_record_is_bounded() {
    for claim in [Claim::TokenId, Claim::ClientAmr] {
        assert!(judge_claim(claim.name(), None).is_ok());
        assert_taken(claim.name(), &[json!("x".repeat(MAX_NOTED_BYTES))]);
        let odd = [
            json!("x".repeat(MAX_NOTED_BYTES + 1)),
            json!("a\nb"),
            json!(7),
            json!(null),
        ];
        assert_refused(claim, &odd);
    }
}

fn system_user(owner: Value) -> Value {
    json!({"type": "urn:altinn:systemuser", "systemuser_org": owner, "systemuser_id": ["x"], "system_id": "y"})
}

#[test]
fn a_system_user_token_names_the_organisation_behind_it() {
    let details = json!([system_user(organization_claim("915429785"))]);
    let caller = judge_claim("authorization_details", Some(details))
        .unwrap()
        .caller;
    assert_eq!(caller.system_user, Some(number("915429785")));
    assert_eq!(caller.consumer, number(CONSUMER));
}

#[test]
fn other_authorization_details_are_refused() {
    let good = system_user(organization_claim("915429785"));
    let mut values = vec![
        json!(null),
        json!([]),
        json!({}),
        good.clone(),
        json!([good, good]),
        json!([{"type": "urn:altinn:systemuser"}]),
        json!([{"type": "urn:altinn:other", "systemuser_org": organization_claim("915429785")}]),
        json!([{"systemuser_org": organization_claim("915429785")}]),
    ];
    values.extend(
        malformed_organizations()
            .into_iter()
            // Of a system user's organisation, this spelling is taken.
            .filter(|owner| owner.get("id").is_none())
            .map(|owner| json!([system_user(owner)])),
    );
    assert_refused(Claim::AuthorizationDetails, &values);
}
