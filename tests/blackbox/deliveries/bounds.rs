//! Bodies, lines and numbers of lines: to the bound, and one beyond.

use super::{BLABAERLIA, newest, owners, published, put, send};
use crate::harness::identifiers::people;
use crate::harness::{EITHER_WAY, Service};
use reqwest::Method;
use serde_json::json;

const BOUNDS: &str = "[delivery]\nmax_lines = 10\nmax_line_bytes = 200\nmax_body_bytes = 1500\n";

#[tokio::test]
async fn what_is_at_a_bound_is_taken_and_what_is_beyond_is_too_large() {
    for caching in EITHER_WAY {
        let service = Service::start_with(caching, BOUNDS).await;
        let who: Vec<String> = people().take(11).collect();
        let one = owners(&who[..1]);
        let of_length = |length: usize| format!("{}{}", " ".repeat(length - one.len() + 1), one);
        let body_of = |length: usize| {
            let lines = of_length(150).repeat(9);
            format!("{lines}{}", " ".repeat(length - lines.len()))
        };
        for (taken, refused) in [
            (owners(&who[..10]), owners(&who)),
            (
                owners(&who[..10]).trim_end().to_owned(),
                owners(&who).trim_end().to_owned(),
            ),
            ("\n".repeat(10), "\n".repeat(11)),
            (of_length(200), of_length(201)),
            (
                of_length(200).trim_end().to_owned(),
                of_length(201).trim_end().to_owned(),
            ),
            (body_of(1_500), body_of(1_501)),
        ] {
            let length = taken.len();
            published(put(&service, BLABAERLIA, "?confirmShrink=true", taken).await);
            let (status, body) = put(&service, BLABAERLIA, "?confirmShrink=true", refused).await;
            assert_eq!(
                (status, &body["errorCode"]),
                (413, &json!("KFR-013")),
                "{caching:?} {length}: {body}"
            );
            // A body whose length alone says that it is too large is not begun to be taken, and has no receipt.
            if length != 1_500 {
                newest(&service, BLABAERLIA, "abandoned").await;
            }
        }
        let (pieces, streamed) = crate::harness::calls::streamed();
        let sending = put(&service, BLABAERLIA, "", streamed);
        let (_, (status, _)) = tokio::join!(pieces.send(Ok(body_of(1_501))), sending);
        assert_eq!(status, 413, "{caching:?}");
        newest(&service, BLABAERLIA, "abandoned").await;
        // What it decodes to counts too.
        let packed = super::encodings::gzip(body_of(1_501).as_bytes());
        assert!(packed.len() < 1_000);
        let request = service
            .v2(Method::PUT, BLABAERLIA, "relationships")
            .header("Content-Encoding", "gzip");
        assert_eq!(send(request.body(packed)).await.0, 413, "{caching:?}");
    }
}
