//! Bodies made to hurt: refused and named, with memory and other callers as they were.

mod measured;

use super::encodings::{gzip, zstandard};
use super::side_by_side::Running;
use super::{BLABAERLIA, GRANSKAUEN, is_listed, newest, owners, published, put, record, send};
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use futures_util::{StreamExt, stream};
use measured::Measured;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Of text that a bomb is made of.
const MEBIBYTE: usize = 1 << 20;
/// Of what is read to a far bound.
const PATIENCE: Duration = Duration::from_secs(600);

/// Pieces that are made when they are sent.
fn pieces(piece: Vec<u8>, times: usize) -> Body {
    let piece = actix_web::web::Bytes::from(piece);
    let pieces = stream::repeat(piece).take(times).map(Ok::<_, std::io::Error>);
    Body::wrap_stream(pieces)
}

/// The status and the code of a delivery that is sent whole or until it is refused, on a connection of its own.
async fn refused(service: &Service, encoding: &str, body: Body) -> (u16, String) {
    let request = service.v2(Method::PUT, BLABAERLIA, "relationships?confirmShrink=true");
    let request = request
        .header("Content-Encoding", encoding)
        .timeout(PATIENCE)
        .body(body);
    // The service may leave it waiting for long: that is how it slows down who sends too much.
    let attacker = reqwest::Client::builder().tcp_user_timeout(None).build().unwrap();
    let answer = attacker.execute(request.build().unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["errorCode"].as_str().unwrap_or_default().to_owned())
}

async fn with_former_set(configuration: &str) -> (Service, String) {
    let service = Service::start_with(Caching::Without, configuration).await;
    let former = people().next().unwrap();
    published(put(&service, BLABAERLIA, "", owners(std::slice::from_ref(&former))).await);
    (service, former)
}

async fn former_stands(service: &Service, former: &str, state: &str) {
    assert!(is_listed(service, former).await);
    newest(service, BLABAERLIA, state).await;
}

#[tokio::test]
async fn a_line_without_an_end_is_too_large_whoever_sends_it() {
    let (service, former) = with_former_set("").await;
    let measured = Measured::begin(&service).await;
    let gibibyte = || pieces(vec![b'a'; MEBIBYTE], 1_024);
    let whole = async {
        for _ in 0..3 {
            assert_eq!(
                refused(&service, "identity", gibibyte()).await,
                (413, "KFR-013".to_owned())
            );
            former_stands(&service, &former, "abandoned").await;
        }
    };
    measured.meanwhile("a line of 1 GB", whole).await;
}

#[tokio::test]
async fn ten_megabytes_that_inflate_to_ten_gigabytes_are_too_large() {
    // A build for development decodes slowly: only the long tests go to the bound by default.
    let bound = match std::env::var("DELIVERY_FULL_BOUNDS") {
        Ok(_) => "",
        Err(_) => "[delivery]\nmax_body_bytes = 30000000\n",
    };
    let (service, former) = with_former_set(bound).await;
    let measured = Measured::begin(&service).await;
    let of = |line: &[u8]| line.repeat(10 * MEBIBYTE / line.len());
    for (what, text) in [
        ("one line", of(b" ")),
        ("empty lines", of(b"\n")),
        ("blank lines", of(&[vec![b' '; 4_000], b"\n".to_vec()].concat())),
        ("bad lines", of(&[vec![b'x'; 4_000], b"\n".to_vec()].concat())),
    ] {
        for (encoding, member) in [("gzip", gzip(&text)), ("zstd", zstandard(&text))] {
            let attack = async {
                let told = refused(&service, encoding, pieces(member.clone(), 1_000)).await;
                assert_eq!(told, (413, "KFR-013".to_owned()), "{what} {encoding}");
                former_stands(&service, &former, "abandoned").await;
            };
            measured.meanwhile(&format!("{encoding} of {what}"), attack).await;
        }
    }
}

#[tokio::test]
async fn many_bad_lines_are_counted_and_the_first_told() {
    let count: usize = std::env::var("DELIVERY_BAD_LINES").map_or(200_000, |text| text.parse().unwrap());
    let (service, former) = with_former_set("").await;
    let measured = Measured::begin(&service).await;
    let line = record(&former, "boss", &json!({"agreementID": "x".repeat(40)}));
    let thousand = format!("{line}\n").repeat(1_000).into_bytes();
    let attack = async {
        let request = service
            .v2(Method::PUT, BLABAERLIA, "relationships")
            .timeout(PATIENCE);
        let (status, receipt) = send(request.body(pieces(thousand, count / 1_000))).await;
        assert_eq!((status, &receipt["errorCode"]), (422, &json!("KFR-012")));
        assert_eq!(
            (&receipt["read"], &receipt["rejected"]),
            (&json!(count), &json!(count))
        );
        let lines = receipt["rejects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|reject| reject["line"].as_u64().unwrap());
        assert!(lines.eq(1..=1_000), "the first thousand, in order");
        assert!(!receipt.to_string().contains(&former));
        former_stands(&service, &former, "rejected").await;
    };
    measured.meanwhile(&format!("{count} bad lines"), attack).await;
}

#[tokio::test]
async fn lines_made_to_confuse_are_refused_one_by_one() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let who = people().next().unwrap();
        let good = record(&who, "owner", &json!({})).to_string();
        let inside = |more: &str| format!("{},{more}}}", &good[..good.len() - 1]).into_bytes();
        let nested =
            |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let bad: Vec<Vec<u8>> = vec![
            nested("[", "]", 1_500).into_bytes(),
            nested("{\"a\":", "}", 500).into_bytes(),
            inside(&format!("\"agreementID\":{}", nested("[", "]", 1_500))),
            inside(&format!("\"x\":{}", nested("{\"a\":", "}", 500))),
            inside(&format!("\"customerID\":\"{who}\"")),
            inside("\"role\":\"owner\""),
            inside("\"toDate\":null,\"toDate\":\"2020-01-01\""),
            inside("\"unknown\":1"),
            inside("\"customerid\":\"1\""),
            inside("\"agreementID\":\"\\u0000\""),
            inside("\"agreementID\":\"a\0b\""),
            [good.as_bytes(), b"\0"].concat(),
            b"\0".to_vec(),
            [b"\xef\xbb\xbf\xff", good.as_bytes()].concat(),
            inside("\"agreementID\":\"\\ud800\""),
            [&inside("\"agreementID\":\"")[..], b"\xff\xfe\"}"].concat(),
            good.replace("\"owner\"", "1").into_bytes(),
            good.replace("\"owner\"", "null").into_bytes(),
            good.replace("\"2015-01-01\"", "20150101").into_bytes(),
            good.replace("\"2015-01-01\"", "\"20150101\"").into_bytes(),
            inside("\"creditable\":\"true\""),
            inside("\"holdsFunds\":1"),
            inside("\"toDate\":1e999"),
            format!("{good}{good}").into_bytes(),
            format!("[{good}]").into_bytes(),
            b"null".to_vec(),
            b"{".to_vec(),
            b"\x1f\x8b\x08".to_vec(),
        ];
        let whole = bad
            .iter()
            .flat_map(|line| [&line[..], b"\n"].concat())
            .collect::<Vec<u8>>();
        let (status, receipt) = put(&service, BLABAERLIA, "", whole).await;
        assert_eq!(
            (status, &receipt["rejected"]),
            (422, &json!(bad.len())),
            "{caching:?}: {receipt}"
        );
        let lines = receipt["rejects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|reject| reject["line"].as_u64().unwrap());
        assert!(lines.eq(1..=bad.len() as u64), "{receipt}");
        assert!(!receipt.to_string().contains(&who), "{receipt}");
        assert!(!service.log().contains(&who));
        assert!(!is_listed(&service, &who).await, "{caching:?}");
    }
}

#[tokio::test]
async fn a_client_that_hardly_sends_is_let_go_and_hinders_nobody() {
    for caching in EITHER_WAY {
        let service = Service::start_with(caching, "[delivery]\npause_seconds = 1\n").await;
        let slow = Running::begin(&service, Method::PUT, BLABAERLIA, "relationships").await;
        let (id, started) = (slow.id.clone(), Instant::now());
        let others = async {
            let mut deliveries = 0;
            while started.elapsed() < Duration::from_millis(500) {
                published(super::change(&service, GRANSKAUEN, "", &[]).await);
                deliveries += 1;
            }
            deliveries
        };
        let (answer, deliveries) = tokio::join!(slow.give_up(), others);
        assert_eq!(
            (answer.0, &answer.1["errorCode"]),
            (408, &json!("KFR-014")),
            "{caching:?}"
        );
        assert!(
            started.elapsed() < Duration::from_secs(20) && deliveries > 0,
            "{deliveries}"
        );
        assert_eq!(
            newest(&service, BLABAERLIA, "abandoned").await["deliveryID"],
            id,
            "{caching:?}"
        );
        published(put(&service, BLABAERLIA, "", "").await);
    }
}

#[tokio::test]
async fn a_byte_at_a_time_is_taken_as_long_as_no_pause_is_too_long() {
    let (service, former) = with_former_set("").await;
    let measured = Measured::begin(&service).await;
    let set = owners(&people().skip(1).take(1).collect::<Vec<_>>());
    let attack = async {
        let bytes: Vec<Vec<u8>> = set.bytes().map(|byte| vec![byte]).collect();
        let slow = stream::iter(bytes).then(async |byte| {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, std::io::Error>(byte)
        });
        let (status, receipt): (u16, Value) =
            put(&service, BLABAERLIA, "", Body::wrap_stream(slow.boxed())).await;
        assert_eq!((status, &receipt["stored"]), (200, &json!(1)), "{receipt}");
    };
    measured.meanwhile("a byte at a time", attack).await;
    assert!(!is_listed(&service, &former).await);
}
