//! The form of a token, its algorithm, and the header that brings it.

use super::*;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const MAX_TOKEN_BYTES: usize = 8 * 1024;

fn header(algorithm: &str) -> Value {
    json!({"alg": algorithm, "kid": KID})
}

fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = unsigned(header, claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!(
        "{message}.{}",
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()))
    )
}

#[tokio::test]
async fn rs256_rs384_and_rs512_are_accepted_with_one_key_made_for_rs256() {
    let service = started(Caching::Without, "").await;
    let key = service.issuer.key();
    assert_eq!(key.jwk(KID)["alg"], "RS256");
    assert_accepted(
        &service,
        &key.sign_with(&RSA_PKCS1_SHA256, &header("RS256"), &good(&service)),
    )
    .await;
    assert_accepted(
        &service,
        &key.sign_with(&RSA_PKCS1_SHA384, &header("RS384"), &good(&service)),
    )
    .await;
    assert_accepted(
        &service,
        &key.sign_with(&RSA_PKCS1_SHA512, &header("RS512"), &good(&service)),
    )
    .await;
    assert_refused(
        &service,
        &key.sign_with(&RSA_PKCS1_SHA384, &header("RS256"), &good(&service)),
    )
    .await;
    assert_refused(
        &service,
        &key.sign_with(&RSA_PKCS1_SHA256, &header("RS512"), &good(&service)),
    )
    .await;
}

#[tokio::test]
async fn an_unsigned_token_is_refused() {
    let service = started(Caching::Without, "").await;
    for algorithm in ["none", "None", "NONE", "", "RS256"] {
        let message = unsigned(&header(algorithm), &good(&service));
        for signature in ["", "AA", "bm9uZQ"] {
            assert_refused(&service, &format!("{message}.{signature}")).await;
        }
        assert_refused(
            &service,
            &service.issuer.key().sign(&header("none"), &good(&service)),
        )
        .await;
    }
    assert_refused(
        &service,
        &service.issuer.key().sign(&json!({"kid": KID}), &good(&service)),
    )
    .await;
    assert_refused(
        &service,
        &service
            .issuer
            .key()
            .sign(&json!({"alg": ["RS256"], "kid": KID}), &good(&service)),
    )
    .await;
}

#[tokio::test]
async fn hs256_with_the_public_key_as_the_secret_is_refused() {
    let service = started(Caching::Without, "").await;
    let key = service.issuer.key();
    let pem = key.public_pem();
    let secrets = [
        pem.clone().into_bytes(),
        pem.trim_end().as_bytes().to_vec(),
        key.modulus(),
        URL_SAFE_NO_PAD.encode(key.modulus()).into_bytes(),
        key.jwk(KID).to_string().into_bytes(),
        Vec::new(),
    ];
    for secret in secrets {
        for algorithm in ["HS256", "hs256", "RS256"] {
            assert_refused(&service, &hs256(&header(algorithm), &good(&service), &secret)).await;
        }
    }
}

#[tokio::test]
async fn ps256_is_refused() {
    let service = started(Caching::Without, "").await;
    let key = service.issuer.key();
    assert_refused(
        &service,
        &key.sign_with(&RSA_PSS_SHA256, &header("PS256"), &good(&service)),
    )
    .await;
    assert_refused(
        &service,
        &key.sign_with(&RSA_PSS_SHA256, &header("RS256"), &good(&service)),
    )
    .await;
}

#[tokio::test]
async fn es256_is_refused_even_with_a_key_of_the_set() {
    let service = started(Caching::Without, "[maskinporten]\nrefresh_seconds = 1").await;
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = key.public_key().as_ref();
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "kid": "ec", "x": coordinate(&point[1..33]), "y": coordinate(&point[33..]),
    });
    super::keys::publish(&service, vec![service.issuer.key().jwk(KID), jwk]).await;
    for kid in ["ec", KID] {
        for algorithm in ["ES256", "RS256"] {
            let message = unsigned(&json!({"alg": algorithm, "kid": kid}), &good(&service));
            let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            assert_refused(&service, &format!("{message}.{}", coordinate(signature.as_ref()))).await;
        }
    }
    assert_accepted(&service, &service.issuer.agency_token()).await;
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let service = started(Caching::Without, "").await;
    let token = service.issuer.agency_token();
    let parts: Vec<_> = token.split('.').collect();
    let other = unsigned(&header("RS256"), &service.issuer.claims("991825827", SCOPE));
    assert_refused(&service, &format!("{other}.{}", parts[2])).await;
    let header = unsigned(&json!({"alg": "RS256", "kid": KID, "typ": "JWT"}), &json!({}));
    assert_refused(
        &service,
        &format!("{}.{}.{}", header.split_once('.').unwrap().0, parts[1], parts[2]),
    )
    .await;
    assert_refused(&service, &token[..token.len() - 4]).await;
    assert_refused(&service, &format!("{token}AAAA")).await;
    assert_refused(&service, &format!("{token}=")).await;
    assert_refused(&service, &format!("{}.{}.", parts[0], parts[1])).await;
}

#[tokio::test]
async fn a_token_has_three_parts() {
    let service = started(Caching::Without, "").await;
    let token = service.issuer.agency_token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    for other in [
        format!("{token}."),
        format!("{token}.x"),
        format!(".{token}"),
        format!("{message}..{signature}"),
        format!("{token}.{token}"),
        message.to_owned(),
        signature.to_owned(),
        message.replace('.', ""),
        "..".to_owned(),
        ".".to_owned(),
        "x".to_owned(),
        "....".to_owned(),
    ] {
        assert_refused(&service, &other).await;
    }
}

#[tokio::test]
async fn a_token_may_have_eight_kibibytes_and_no_more() {
    let service = started(Caching::Without, "").await;
    let sized = |bytes: usize| {
        let tokens = (0..bytes).map(|padding| {
            service
                .issuer
                .sign(&with(&service, "padding", json!("p".repeat(padding))))
        });
        let mut tokens = tokens.skip(5_000).take(900);
        tokens.find(|token| token.len() >= bytes).unwrap()
    };
    let largest = sized(MAX_TOKEN_BYTES - 1);
    assert!(largest.len() <= MAX_TOKEN_BYTES);
    assert_accepted(&service, &largest).await;
    let too_large = sized(MAX_TOKEN_BYTES + 1);
    assert!(too_large.len() < MAX_TOKEN_BYTES + 4);
    assert_refused(&service, &too_large).await;
}

#[tokio::test]
async fn nothing_that_a_token_says_of_its_own_key_is_believed() {
    let service = started(Caching::Without, "").await;
    let own = SigningKey::generate();
    let address = format!("{}/own", service.issuer.server.uri());
    for extra in [
        json!({"jwk": own.jwk(KID)}),
        json!({"jku": address}),
        json!({"x5u": address}),
        json!({"x5c": ["AAAA"]}),
    ] {
        let mut header = header("RS256");
        header
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        assert_refused(&service, &own.sign(&header, &good(&service))).await;
        assert_accepted(&service, &service.issuer.key().sign(&header, &good(&service))).await;
    }
    let requests = service.issuer.server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| request.url.path() == "/jwk"));
}

#[tokio::test]
async fn a_demanded_extension_is_refused_and_a_type_is_not_demanded() {
    let service = started(Caching::Without, "").await;
    let key = service.issuer.key();
    let critical = json!({"alg": "RS256", "kid": KID, "crit": ["exp"], "exp": 1});
    assert_refused(&service, &key.sign(&critical, &good(&service))).await;
    for typ in ["JWT", "at+jwt", "other"] {
        assert_accepted(
            &service,
            &key.sign(&json!({"alg": "RS256", "kid": KID, "typ": typ}), &good(&service)),
        )
        .await;
    }
}

async fn assert_header_refused(ask: Ask<'_>) {
    let told = ask.send().await;
    assert_eq!((told.status, told.error_code().as_str()), (401, "ERR-001"));
    assert_eq!(
        told.header("WWW-Authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
}

#[tokio::test]
async fn an_authorization_sent_twice_is_refused() {
    let service = started(Caching::Without, "").await;
    let (one, other) = (service.issuer.agency_token(), service.issuer.agency_token());
    let ask = Ask::relationships(&service);
    assert_header_refused(
        ask.clone()
            .token(&one)
            .and("Authorization", format!("Bearer {one}")),
    )
    .await;
    assert_header_refused(
        ask.clone()
            .token(&one)
            .and("Authorization", format!("Bearer {other}")),
    )
    .await;
    assert_header_refused(ask.clone().token(&one).and("Authorization", "Basic dTpw")).await;
    assert_header_refused(ask.with("Authorization", format!("Bearer {one}, Bearer {other}"))).await;
}

#[tokio::test]
async fn another_scheme_or_two_are_refused() {
    let service = started(Caching::Without, "").await;
    let token = service.issuer.agency_token();
    for authorization in [
        format!("Basic {token}"),
        format!("DPoP {token}"),
        format!("Token {token}"),
        format!("Bearer Bearer {token}"),
        format!("Bearer Basic {token}"),
        format!("Basic Bearer {token}"),
        format!("Bearer: {token}"),
        format!("Bearer{token}"),
        format!("{token} Bearer"),
        format!("Bearer {token} {token}"),
        format!("\"{token}\""),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "bearer".to_owned(),
        String::new(),
        " ".to_owned(),
    ] {
        assert_header_refused(Ask::relationships(&service).with("Authorization", &authorization)).await;
    }
    assert_header_refused(
        Ask::relationships(&service).with("Authorization", format!("Bearer {token}\u{e5}")),
    )
    .await;
    // Who shows no token at all made no error.
    let in_the_query = format!("{RELATIONSHIPS}?access_token={token}");
    for path in [RELATIONSHIPS, &in_the_query] {
        let ask = Ask::relationships(&service).without("Authorization").path(path);
        let told = ask.send().await;
        assert_eq!((told.status, told.error_code().as_str()), (401, "ERR-001"));
        assert_eq!(
            told.header("WWW-Authenticate"),
            Some("Bearer realm=\"kundeforhold\"")
        );
    }
}
