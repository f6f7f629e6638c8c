//! gzip and zstd: of one piece, of several, cut short, and what only says that it is.

use super::{BLABAERLIA, is_listed, newest, owners, published, put, send};
use crate::harness::identifiers::people;
use crate::harness::{EITHER_WAY, Service};
use aws_lc_rs::digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub fn zstandard(text: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(text, 3).unwrap()
}

async fn put_encoded(service: &Service, encoding: &str, body: Vec<u8>) -> (u16, Value) {
    let request = service.v2(Method::PUT, BLABAERLIA, "relationships?confirmShrink=true");
    send(request.header("Content-Encoding", encoding).body(body)).await
}

fn sha256(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_compressed_set_is_the_set_and_its_hash_that_of_what_it_decodes_to() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(6_000).collect();
        let set = owners(&who);
        let (one, two) = set.as_bytes().split_at(set.len() / 2);
        for (encoding, body) in [
            ("gzip", gzip(set.as_bytes())),
            ("zstd", zstandard(set.as_bytes())),
            ("GZIP", [gzip(one), gzip(two)].concat()),
            ("zstd", [zstandard(one), zstandard(two)].concat()),
            ("identity", set.clone().into_bytes()),
        ] {
            let (status, receipt) = put_encoded(&service, encoding, body).await;
            assert_eq!(
                (status, &receipt["stored"]),
                (200, &json!(6_000)),
                "{caching:?} {encoding}: {receipt}"
            );
            assert_eq!(receipt["sha256"], sha256(&set), "{encoding}");
        }
        assert!(is_listed(&service, &who[5_999]).await, "{caching:?}");
    }
}

#[tokio::test]
async fn what_does_not_decode_leaves_the_former_set() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(2_000).collect();
        published(put(&service, BLABAERLIA, "", owners(&who[..1])).await);
        let set = owners(&who[1..]);
        let (gz, zs) = (gzip(set.as_bytes()), zstandard(set.as_bytes()));
        let mut flipped = gz.clone();
        let crc = flipped.len() - 8;
        flipped[crc] ^= 1;
        let bad: Vec<(&str, Vec<u8>)> = vec![
            ("gzip", gz[..gz.len() / 2].to_vec()),
            ("gzip", gz[..gz.len() - 1].to_vec()),
            ("gzip", flipped),
            ("gzip", [gz.clone(), b"garbage".to_vec()].concat()),
            ("gzip", set.clone().into_bytes()),
            ("gzip", zs.clone()),
            ("gzip", Vec::new()),
            ("zstd", zs[..zs.len() / 2].to_vec()),
            ("zstd", zs[..zs.len() - 1].to_vec()),
            ("zstd", [zs.clone(), b"garbage".to_vec()].concat()),
            ("zstd", set.clone().into_bytes()),
            ("zstd", gz),
            ("zstd", Vec::new()),
        ];
        for (number, (encoding, body)) in bad.into_iter().enumerate() {
            let (status, body) = put_encoded(&service, encoding, body).await;
            assert_eq!(
                (status, &body["errorCode"]),
                (400, &json!("KFR-004")),
                "{caching:?} {number}: {body}"
            );
            assert_eq!(body["details"][0]["parameter"], "body", "{number}");
            assert!(
                is_listed(&service, &who[0]).await && !is_listed(&service, &who[1]).await,
                "{number}"
            );
            newest(&service, BLABAERLIA, "abandoned").await;
        }
        for encoding in ["br", "deflate", "gzip, gzip", "zstd, gzip", "gzip,"] {
            let (status, body) = put_encoded(&service, encoding, Vec::new()).await;
            assert_eq!(status, 400, "{encoding}: {body}");
            assert_eq!(body["details"][0]["parameter"], "Content-Encoding", "{encoding}");
        }
        let twice = service.v2(Method::PUT, BLABAERLIA, "relationships?confirmShrink=true");
        let twice = twice
            .header("Content-Encoding", "identity")
            .header("Content-Encoding", "gzip");
        assert_eq!(send(twice.body(set)).await.0, 400, "{caching:?}: two encodings");
    }
}
