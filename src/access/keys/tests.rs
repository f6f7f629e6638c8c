use serde_json::json;

use super::*;
use crate::access::fixture::{KEY, OTHER_KEY, WEAK_MODULUS, document};

fn parse(keys: &[Value]) -> Result<KeyDocument, InvalidKeySet> {
    Keys::parse(document(keys).as_bytes())
}

fn with(name: &str, value: Option<Value>) -> Value {
    let mut key = KEY.jwk("a");
    let members = key.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    key
}

#[test]
fn rsa_signature_keys_are_taken() {
    let read = parse(&[KEY.jwk("a"), OTHER_KEY.jwk("b")]).unwrap();
    assert!(read.keys.find("a").is_some() && read.keys.find("b").is_some());
    assert_eq!((read.skipped, read.ambiguous), (0, 0));
}

#[test]
fn a_key_without_use_or_with_another_alg_is_taken() {
    for key in [
        with("use", None),
        with("alg", None),
        with("alg", Some(json!("RS512"))),
    ] {
        assert!(parse(&[key]).is_ok());
    }
}

#[test]
fn leading_zeros_do_not_change_a_key() {
    let padded = URL_SAFE_NO_PAD.encode([&[0], KEY.modulus()].concat());
    let keys = parse(&[with("n", Some(json!(padded)))]).unwrap().keys;
    assert_eq!(keys, parse(&[KEY.jwk("a")]).unwrap().keys);
}

#[test]
fn unusable_entries_are_skipped_and_counted() {
    let unusable = [
        json!({"kty": "oct", "use": "sig", "alg": "HS256", "kid": "o", "k": "c2VjcmV0"}),
        json!({"kty": "EC", "use": "sig", "crv": "P-256", "kid": "e", "x": "AA", "y": "AA"}),
        with("use", Some(json!("enc"))),
        with("use", Some(json!(null))),
        with("kid", None),
        with("kid", Some(json!(""))),
        with("kid", Some(json!(7))),
        with("n", Some(json!(WEAK_MODULUS))),
        with("n", Some(json!(""))),
        with("n", Some(json!("AAAA"))),
        with(
            "n",
            Some(json!(format!("{}=", URL_SAFE_NO_PAD.encode(KEY.modulus())))),
        ),
        with("n", None),
        with("e", None),
        with("e", Some(json!("AQ"))),
        with("e", Some(json!("AQAC"))),
        with("e", Some(json!("AAAA"))),
        json!("not an object"),
    ];
    for entry in &unusable {
        assert_eq!(
            parse(std::slice::from_ref(entry)).err(),
            Some(InvalidKeySet::NoneUsable),
            "{entry}"
        );
    }
    let read = parse(&[&unusable[..], &[OTHER_KEY.jwk("good")]].concat()).unwrap();
    assert_eq!(read.skipped, unusable.len());
    assert!(read.keys.find("a").is_none() && read.keys.find("good").is_some());
}

#[test]
fn a_kid_on_two_different_keys_is_trusted_for_neither() {
    let read = parse(&[KEY.jwk("a"), OTHER_KEY.jwk("a"), KEY.jwk("a"), KEY.jwk("b")]).unwrap();
    assert!(read.keys.find("a").is_none());
    assert!(read.keys.find("b").is_some());
    assert_eq!(read.ambiguous, 1);
    assert_eq!(
        parse(&[KEY.jwk("a"), OTHER_KEY.jwk("a")]).err(),
        Some(InvalidKeySet::NoneUsable)
    );
}

#[test]
fn the_same_key_twice_is_one_key() {
    let read = parse(&[KEY.jwk("a"), KEY.jwk("a")]).unwrap();
    assert!(read.keys.find("a").is_some());
    assert_eq!(read.ambiguous, 0);
}

#[test]
fn documents_that_are_no_key_set_are_refused() {
    for text in [
        "",
        "{}",
        "[]",
        "<html>",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
    ] {
        assert_eq!(
            Keys::parse(text.as_bytes()).err(),
            Some(InvalidKeySet::Malformed),
            "{text}"
        );
    }
    assert_eq!(parse(&[]).err(), Some(InvalidKeySet::NoneUsable));
}

#[test]
fn the_number_of_keys_is_bounded() {
    let keys: Vec<_> = (0..=MAX_KEYS).map(|n| KEY.jwk(&n.to_string())).collect();
    assert!(parse(&keys[..MAX_KEYS]).is_ok());
    assert_eq!(parse(&keys).err(), Some(InvalidKeySet::TooMany));
}
