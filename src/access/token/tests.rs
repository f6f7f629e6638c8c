use aws_lc_rs::signature;
use chrono::TimeDelta;
use jsonwebtoken::EncodingKey;
use serde_json::json;

use super::*;
use crate::access::caller::{Caller, Scopes};
use crate::access::fixture::*;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::noted::NotedText;

const HEADER: &str = r#"{"alg":"RS256","kid":"a"}"#;

fn keys(entries: &[Value]) -> Keys {
    Keys::parse(document(entries).as_bytes()).unwrap().keys
}

fn judge(token: &str) -> Result<Verified, TokenFault> {
    verify(token, &keys(&[KEY.jwk("a")]), &rules(), noon())
}

fn judge_header(header: &str) -> Result<Verified, TokenFault> {
    judge(&KEY.sign_text(header, &claims().to_string()))
}

fn number(text: &str) -> OrganizationNumber {
    OrganizationNumber::parse(text).unwrap()
}

#[test]
fn a_good_token_gives_its_caller() {
    let verified = judge(&KEY.sign("a", &claims())).unwrap();
    let caller = Caller {
        consumer: number(CONSUMER),
        supplier: None,
        scopes: Scopes::new("bits:kundeforhold"),
        token_id: Some(NotedText::of("a-token")),
        client_amr: Some(NotedText::of("private_key_jwt")),
        system_user: None,
    };
    assert_eq!(verified.caller, caller);
    assert_eq!(verified.validity.expires_at(), noon() + TimeDelta::seconds(120));
}

#[test]
fn rs384_and_rs512_are_taken_with_a_key_published_for_rs256() {
    for (alg, encoding) in [
        ("RS384", &signature::RSA_PKCS1_SHA384),
        ("RS512", &signature::RSA_PKCS1_SHA512),
    ] {
        let header = json!({"alg": alg, "kid": "a"}).to_string();
        assert!(
            judge(&KEY.sign_with(encoding, &header, &claims().to_string())).is_ok(),
            "{alg}"
        );
    }
}

#[test]
fn only_the_three_algorithms_are_taken() {
    let text = claims().to_string();
    let none = format!("{}.", unsigned(r#"{"alg":"none","kid":"a"}"#, &text));
    let ps256 = KEY.sign_with(&signature::RSA_PSS_SHA256, r#"{"alg":"PS256","kid":"a"}"#, &text);
    let hs256 = signed_by_library(
        jsonwebtoken::Algorithm::HS256,
        &EncodingKey::from_secret(KEY.modulus()),
    );
    let ec =
        aws_lc_rs::signature::EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ec = EncodingKey::from_ec_der(ec.to_pkcs8v1().unwrap().as_ref());
    let es256 = signed_by_library(jsonwebtoken::Algorithm::ES256, &ec);
    for token in [none, ps256, hs256, es256] {
        assert_eq!(judge(&token), Err(TokenFault::Algorithm), "{token}");
    }
    for header in [
        r#"{"kid":"a"}"#,
        r#"{"alg":null,"kid":"a"}"#,
        r#"{"alg":"rs256","kid":"a"}"#,
    ] {
        assert_eq!(judge_header(header), Err(TokenFault::Algorithm), "{header}");
    }
}

fn signed_by_library(algorithm: jsonwebtoken::Algorithm, key: &EncodingKey) -> String {
    let header = jsonwebtoken::Header {
        kid: Some("a".to_owned()),
        ..jsonwebtoken::Header::new(algorithm)
    };
    jsonwebtoken::encode(&header, &claims(), key).unwrap()
}

#[test]
fn a_pss_signature_under_the_name_rs256_is_wrong() {
    let token = KEY.sign_with(&signature::RSA_PSS_SHA256, HEADER, &claims().to_string());
    assert_eq!(judge(&token), Err(TokenFault::Signature));
}

#[test]
fn an_unknown_key_is_told_apart_from_a_wrong_signature() {
    assert_eq!(judge(&KEY.sign("b", &claims())), Err(TokenFault::UnknownKey));
    assert_eq!(judge(&OTHER_KEY.sign("a", &claims())), Err(TokenFault::Signature));
    assert_eq!(judge(&KEY.sign("A", &claims())), Err(TokenFault::UnknownKey));
}

#[test]
fn changed_claims_make_the_signature_wrong() {
    let (good, other) = (
        KEY.sign("a", &claims()),
        KEY.sign("a", &claims_with("scope", Some(json!("more")))),
    );
    let (signed, _) = other.rsplit_once('.').unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    assert_eq!(
        judge(&format!("{signed}.{signature}")),
        Err(TokenFault::Signature)
    );
    assert_eq!(judge(&format!("{signed}.")), Err(TokenFault::Signature));
}

#[test]
fn a_symmetric_key_in_the_set_verifies_nothing() {
    let secret = json!({"kty": "oct", "kid": "o", "k": URL_SAFE_NO_PAD.encode("secret")});
    let keys = keys(&[secret, KEY.jwk("a")]);
    let header = jsonwebtoken::Header {
        kid: Some("o".to_owned()),
        ..Default::default()
    };
    let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(b"secret")).unwrap();
    assert_eq!(
        verify(&token, &keys, &rules(), noon()),
        Err(TokenFault::Algorithm)
    );
    let token = KEY.sign("o", &claims());
    assert_eq!(
        verify(&token, &keys, &rules(), noon()),
        Err(TokenFault::UnknownKey)
    );
}

#[test]
fn a_weak_key_in_the_set_verifies_nothing() {
    let weak = json!({"kty": "RSA", "use": "sig", "kid": "weak", "n": WEAK_MODULUS, "e": "AQAB"});
    let outcome = verify(
        WEAKLY_SIGNED_TOKEN,
        &keys(&[weak, KEY.jwk("a")]),
        &rules(),
        noon(),
    );
    assert_eq!(outcome, Err(TokenFault::UnknownKey));
}

#[test]
fn a_doubled_kid_verifies_nothing() {
    let keys = keys(&[KEY.jwk("a"), OTHER_KEY.jwk("a"), OTHER_KEY.jwk("b")]);
    for key in [&KEY, &OTHER_KEY] {
        let outcome = verify(&key.sign("a", &claims()), &keys, &rules(), noon());
        assert_eq!(outcome, Err(TokenFault::UnknownKey));
    }
}

#[test]
fn a_key_that_the_token_brings_is_never_used() {
    let own = OTHER_KEY.jwk("a");
    for (name, value) in [
        ("jwk", own),
        ("jku", json!("http://127.0.0.1:1/jwk")),
        ("x5u", json!(7)),
        ("x5c", json!([])),
    ] {
        let header = json!({"alg": "RS256", "kid": "a", name: value}).to_string();
        assert!(judge_header(&header).is_ok(), "{name} is ignored");
        let forged = OTHER_KEY.sign_text(&header, &claims().to_string());
        assert_eq!(judge(&forged), Err(TokenFault::Signature), "{name}");
    }
}

#[test]
fn a_critical_extension_is_refused() {
    for crit in [json!(["b64"]), json!([]), json!(null)] {
        let header = json!({"alg": "RS256", "kid": "a", "crit": crit}).to_string();
        assert_eq!(judge_header(&header), Err(TokenFault::CriticalExtension));
    }
}

#[test]
fn a_token_has_three_parts() {
    let good = KEY.sign("a", &claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    for token in [
        String::new(),
        "a".to_owned(),
        signed.to_owned(),
        format!("{good}."),
        format!("{good}.x.y"),
    ] {
        assert_eq!(judge(&token), Err(TokenFault::NotThreeParts), "{token}");
    }
}

#[test]
fn a_token_has_at_most_8_kib() {
    let sized = |filler: usize| KEY.sign("a", &claims_with("filler", Some(json!("x".repeat(filler)))));
    let base = sized(0).len();
    let fitting = (MAX_TOKEN_BYTES - base) * 3 / 4 - 4;
    let (fits, exceeds) = (sized(fitting), sized(fitting + 16));
    assert!(fits.len() <= MAX_TOKEN_BYTES && exceeds.len() > MAX_TOKEN_BYTES);
    assert!(judge(&fits).is_ok());
    assert_eq!(judge(&exceeds), Err(TokenFault::TooLarge));
}

#[test]
fn base64url_is_read_strictly() {
    let good = KEY.sign("a", &claims());
    let parts: Vec<_> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    for (token, part) in [
        (format!("{header}=.{claims}.{signature}"), Part::Header),
        (format!("{header} .{claims}.{signature}"), Part::Header),
        (format!("+{header}.{claims}.{signature}"), Part::Header),
        (format!(".{claims}.{signature}"), Part::Header),
        (format!("{header}.{claims}.{signature}=="), Part::Signature),
        (format!("{header}.{claims}.{signature}\n"), Part::Signature),
        (format!("{header}.{claims}.å"), Part::Signature),
    ] {
        assert_eq!(judge(&token), Err(TokenFault::Malformed(part)), "{token}");
    }
}

#[test]
fn header_and_claims_are_objects_without_doubled_members() {
    for header in [
        "",
        "[]",
        "x",
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"RS256","kid":7}"#,
        r#"{"alg":"RS256","kid":"b","kid":"a"}"#,
        r#"{"alg":"none","alg":"RS256","kid":"a"}"#,
        r#"{"alg":"RS256","kid":"a","x":1,"x":1}"#,
    ] {
        assert_eq!(
            judge_header(header),
            Err(TokenFault::Malformed(Part::Header)),
            "{header}"
        );
    }
    let doubled = claims()
        .to_string()
        .replacen('{', r#"{"iss":"https://other.test/","#, 1);
    let nested = claims()
        .to_string()
        .replacen(r#""ID""#, r#""ID":"0192:915429785","ID""#, 1);
    for text in ["", "[]", "null", &doubled, &nested] {
        let outcome = judge(&KEY.sign_text(HEADER, text));
        assert_eq!(outcome, Err(TokenFault::Malformed(Part::Claims)), "{text}");
    }
}

#[test]
fn a_claim_is_named_only_behind_a_good_signature() {
    let expired = claims_with("exp", Some(json!(0)));
    assert_eq!(judge(&KEY.sign("a", &expired)).unwrap_err().claim(), Some("exp"));
    assert_eq!(judge(&OTHER_KEY.sign("a", &expired)).unwrap_err().claim(), None);
    assert_eq!(judge(&KEY.sign("b", &expired)).unwrap_err().claim(), None);
}
