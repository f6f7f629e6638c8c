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
    assert!(read.skipped.is_empty());
}

#[test]
fn a_key_without_use_or_with_another_alg_is_taken() {
    for key in [
        with("use", None),
        with("alg", None),
        with("alg", Some(json!("RS512"))),
        with("key_ops", Some(json!(["verify"]))),
        with("key_ops", Some(json!(["encrypt", "verify"]))),
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
        with("key_ops", Some(json!(["sign"]))),
        with("key_ops", Some(json!([]))),
        with("key_ops", Some(json!("verify"))),
        with("alg", Some(json!("RSA-OAEP-256"))),
        with("alg", Some(json!("PS256"))),
        with("alg", Some(json!(256))),
        with("d", Some(json!("AQAB"))),
        with("p", Some(json!("AQAB"))),
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
        let refused = parse(std::slice::from_ref(entry)).err();
        assert!(
            matches!(&refused, Some(InvalidKeySet::NoneUsable(skipped)) if skipped.len() == 1),
            "{entry}"
        );
    }
    let read = parse(&[&unusable[..], &[OTHER_KEY.jwk("good")]].concat()).unwrap();
    assert_eq!(read.skipped.len(), unusable.len());
    assert!(read.keys.find("a").is_none() && read.keys.find("good").is_some());
}

#[test]
fn a_kid_on_two_different_keys_is_trusted_for_neither() {
    let read = parse(&[KEY.jwk("a"), OTHER_KEY.jwk("a"), KEY.jwk("a"), KEY.jwk("b")]).unwrap();
    assert!(read.keys.find("a").is_none());
    assert!(read.keys.find("b").is_some());
    assert_eq!(read.skipped.len(), 3);
    assert!(matches!(
        parse(&[KEY.jwk("a"), OTHER_KEY.jwk("a")]),
        Err(InvalidKeySet::NoneUsable(_))
    ));
}

#[test]
fn the_same_key_twice_is_one_key() {
    let read = parse(&[KEY.jwk("a"), KEY.jwk("a")]).unwrap();
    assert!(read.keys.find("a").is_some());
    assert!(read.skipped.is_empty());
}

#[test]
fn documents_that_are_no_key_set_are_refused() {
    for text in ["", "[]", "<html>", r#"{"keys":[],"keys":[]}"#] {
        let refused = Keys::parse(text.as_bytes()).err();
        assert!(matches!(refused, Some(InvalidKeySet::Malformed(_))), "{text}");
    }
    for text in ["{}", r#"{"keys":{}}"#] {
        assert_eq!(
            Keys::parse(text.as_bytes()).err(),
            Some(InvalidKeySet::NoList),
            "{text}"
        );
    }
    assert_eq!(parse(&[]).err(), Some(InvalidKeySet::NoneUsable(Vec::new())));
}

#[test]
fn which_part_cannot_be_used_and_why_is_told() {
    let told = parse(&[with("key_ops", Some(json!(["sign"]))), json!(7)])
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("key 1 (\"a\") is not for verifying (key_ops); key 2 is no JSON object"),
        "{told}"
    );
    let told = Keys::parse(b"{\"keys\": [}").unwrap_err().to_string();
    assert!(told.contains("line 1 column 11"), "{told}");
}

#[test]
fn the_number_of_keys_is_bounded() {
    let keys: Vec<_> = (0..=MAX_KEYS).map(|n| KEY.jwk(&n.to_string())).collect();
    assert!(parse(&keys[..MAX_KEYS]).is_ok());
    assert_eq!(parse(&keys).err(), Some(InvalidKeySet::TooMany(MAX_KEYS + 1)));
}
