//! Bodies as banks' systems really make them: taken, or told as what they are, with a receipt that says the same.

use super::encodings::{gzip, zstandard};
use super::{BLABAERLIA, GRANSKAUEN, is_listed, newest, owners, published, put, send};
use crate::harness::calls::{BOUNDARY, code_of, form};
use crate::harness::identifiers::people;
use crate::harness::{Caching, Service, world};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MARK: &str = "\u{feff}";

fn utf16(text: &str) -> Vec<u8> {
    let units = format!("{MARK}{text}");
    units.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The sentence that a body is refused with, which its receipt repeats.
async fn refused(service: &Service, query: &str, body: Vec<u8>) -> String {
    let (status, told) = put(service, BLABAERLIA, query, body).await;
    assert_eq!((status, &told["errorCode"]), (400, &json!("KFR-004")), "{told}");
    assert_eq!(told["details"].as_array().unwrap().len(), 1, "{told}");
    let reason = told["details"][0]["reason"].as_str().unwrap().to_owned();
    let receipt = newest(service, BLABAERLIA, "abandoned").await;
    assert_eq!(receipt["reason"], reason.as_str(), "{receipt}");
    reason
}

#[tokio::test]
async fn marks_and_line_ends_are_those_of_any_system() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(4).collect();
    let set = owners(&who);
    let (one, two) = (owners(&who[..2]), owners(&who[2..]));
    for body in [
        format!("{MARK}{set}"),
        format!("{MARK}{}", set.replace('\n', "\r\n")),
        format!("{MARK}{one}{MARK}{two}"),
        format!("{MARK}\n{set}"),
        set.trim_end().to_owned(),
    ] {
        for query in ["?confirmShrink=true", "?confirmShrink=true&maxRejects=1"] {
            let (status, receipt) = put(&service, BLABAERLIA, query, body.clone()).await;
            assert_eq!(
                (status, &receipt["stored"]),
                (200, &json!(4)),
                "{body:?}: {receipt}"
            );
            assert_eq!(receipt["rejected"], 0, "{body:?}");
        }
    }
    let put_one = json!({"put": {"customerID": who[0], "role": "owner", "fromDate": "2015-01-01"}});
    let changes = service.v2(Method::POST, BLABAERLIA, "relationships/changes");
    published(send(changes.body(format!("{MARK}{put_one}\r\n"))).await);
    let batch = service.kfr_batch(
        GRANSKAUEN,
        &format!("{MARK}{}\r{}\r\n{MARK}{}", who[0], who[1], who[2]),
    );
    assert_eq!(batch.send().await.unwrap().status(), 201);
    for customer in &who[..3] {
        assert!(is_listed(&service, customer).await);
    }
}

#[tokio::test]
async fn a_body_that_is_no_list_of_lines_is_told_as_what_it_is() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(100).collect();
    let set = owners(&who);
    let records: Vec<Value> = set
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let on_one_line = set.replace('\n', "");
    for (body, words) in [
        (json!(records).to_string().into_bytes(), "JSON array"),
        (serde_json::to_vec_pretty(&records).unwrap(), "JSON array"),
        (
            serde_json::to_vec_pretty(&records[0]).unwrap(),
            "over several lines",
        ),
        (on_one_line.clone().into_bytes(), "on one line"),
        (on_one_line.replace("}{", "},{").into_bytes(), "on one line"),
        (set.replace('\n', "\r").into_bytes(), "carriage return"),
        (
            set.lines()
                .map(|line| format!("\u{1e}{line}\n"))
                .collect::<String>()
                .into_bytes(),
            "record separator",
        ),
        (utf16(&set), "UTF-16"),
    ] {
        for query in ["", "?maxRejects=1000"] {
            let reason = refused(&service, query, body.clone()).await;
            assert!(reason.contains(words), "{words}: {reason}");
        }
    }
    let latin = b"{\"customerID\":\"13897210066\",\"role\":\"\xf8\"}\n".to_vec();
    let (status, rejected) = put(&service, BLABAERLIA, "", latin).await;
    assert_eq!(status, 422);
    assert_eq!(
        rejected["rejects"][0]["faults"][0]["reason"],
        "The line is not UTF-8."
    );
    let long = format!(
        "{}{{\"customerID\":\"{}\"}}\n",
        owners(&who[..1]),
        "1".repeat(5_000)
    );
    let (status, told) = put(&service, BLABAERLIA, "", long).await;
    assert_eq!((status, &told["errorCode"]), (413, &json!("KFR-013")), "{told}");
    assert_eq!(told["details"][0]["reason"], "Line 2 is longer than 4096 bytes.");
    let batch = service.kfr_form(
        GRANSKAUEN,
        &format!("multipart/form-data; boundary={BOUNDARY}"),
        form(&[
            ("name=\"customer_type\"", "DSOPBANK"),
            ("name=\"customers\"", &who[..3].join(";")),
        ]),
    );
    let (status, told) = send(batch).await;
    assert_eq!(status, 400);
    assert!(
        told["details"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("commas or line breaks"),
        "{told}"
    );
}

#[tokio::test]
async fn compression_is_taken_or_refused_with_its_true_reason() {
    let service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(2_000).collect();
    let set = owners(&who);
    let (one, two) = set.as_bytes().split_at(set.len() / 2);
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let encoded = |encoding: &'static str, body: Vec<u8>| {
        let request = service.v2(Method::PUT, BLABAERLIA, "relationships?confirmShrink=true");
        let request = if encoding.is_empty() {
            request
        } else {
            request.header("Content-Encoding", encoding)
        };
        send(request.body(body))
    };
    for (encoding, body) in [
        (
            "gzip",
            [gzip(one), vec![0; 1_000], gzip(two), vec![0; 100_000]].concat(),
        ),
        ("x-gzip", gzip(set.as_bytes())),
        ("identity, gzip", gzip(set.as_bytes())),
        (
            "zstd",
            [
                skipped.clone(),
                zstandard(one),
                skipped.clone(),
                zstandard(two),
                skipped.clone(),
            ]
            .concat(),
        ),
    ] {
        let (status, receipt) = encoded(encoding, body).await;
        assert_eq!(
            (status, &receipt["stored"]),
            (200, &json!(2_000)),
            "{encoding}: {receipt}"
        );
    }
    let wide = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    let with_dictionary = vec![0x28, 0xb5, 0x2f, 0xfd, 0x01, 0x58, 0x05, 0x01, 0x00, 0x00];
    for (encoding, body, words) in [
        ("gzip", set.clone().into_bytes(), "not compressed in the way"),
        ("", gzip(set.as_bytes()), "is gzip"),
        ("", zstandard(set.as_bytes()), "is zstd"),
        (
            "gzip",
            [gzip(one), b"more".to_vec()].concat(),
            "goes on after its last gzip member",
        ),
        ("gzip", gzip(one)[..100].to_vec(), "ends before"),
        ("zstd", wide, "window of more than 32 MiB"),
        ("zstd", with_dictionary, "dictionary"),
    ] {
        let (status, told) = encoded(encoding, body).await;
        assert_eq!(status, 400, "{told}");
        let reason = told["details"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{words}: {reason}");
    }
    let (status, told) = encoded("gzip, zstd", Vec::new()).await;
    assert_eq!(status, 400);
    assert!(
        told["details"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("more than one"),
        "{told}"
    );
    let batch = service
        .kfr_batch(GRANSKAUEN, &who[0])
        .header("Content-Encoding", "gzip");
    let (status, told) = send(batch).await;
    assert_eq!(
        (status, &told["details"][0]["parameter"]),
        (400, &json!("Content-Encoding")),
        "{told}"
    );
}

#[tokio::test]
async fn parts_of_a_form_are_named_and_encoded_as_forms_are() {
    let service = Service::start(Caching::Without).await;
    let mut customers = people();
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let call = |header: &str, more: &str, customer: &str| {
        let parts = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=customer_type\r\n\r\nDSOPBANK\r\n\
             --{BOUNDARY}\r\nContent-Disposition: {header}\r\n{more}\r\n{customer}\r\n--{BOUNDARY}--\r\n"
        );
        service.kfr_form(GRANSKAUEN, &content_type, parts)
    };
    for (header, more) in [
        ("form-data; Name=\"customers\"", ""),
        ("FORM-DATA; NAME=customers", ""),
        ("form-data ; filename=\"a;name=b\" ; name = \"customers\"", ""),
        ("form-data; name=\"customers\"; filename*=UTF-8''%c3%a5.txt;", ""),
        (
            "form-data; name=\"customers\"",
            "Content-Transfer-Encoding: 8BIT\r\nContent-Type: text/plain\r\n",
        ),
    ] {
        let customer = customers.next().unwrap();
        let answer = call(header, more, &customer).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{header}: {}", answer.text().await.unwrap());
        assert!(is_listed(&service, &customer).await);
    }
    let customer = customers.next().unwrap();
    let many: String = (0..40).map(|number| format!("X-{number}: x\r\n")).collect();
    for (header, more, words) in [
        (
            "form-data; name=\"customers\"",
            "Content-Transfer-Encoding: base64\r\n",
            "7bit, 8bit or binary",
        ),
        ("form-data; name=\"customers\"", many.as_str(), "32 header fields"),
        (
            "form-data; name=\"other\"",
            "",
            "other than customer_type and customers",
        ),
        ("form-data", "", "Content-Disposition"),
    ] {
        let (status, told) = send(call(header, more, &customer)).await;
        assert_eq!(status, 400, "{told}");
        let reason = told["details"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[tokio::test]
async fn six_that_trickle_do_not_keep_out_a_seventh() {
    let configuration = "[delivery]\nmax_at_once = 6\nmax_batches_per_bank = 1\nturn_seconds = 10\n\
                         grace_seconds = 2\nmin_bytes_per_second = 10000\n";
    let service = Service::start_with(Caching::Without, configuration).await;
    let sets = world::sets();
    let is_own = |(bank, ..): &&(String, String, String)| world::deliverer(bank) == *bank;
    let banks: Vec<&(String, String, String)> = sets.iter().filter(is_own).take(7).collect();
    let trickle = |bank: &str, register: &str| {
        let drop = |_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, std::io::Error>(" \n")
        };
        let drops = futures_util::StreamExt::then(futures_util::stream::iter(0..600), drop);
        let request = service.put(bank, &format!("?register={register}"));
        request.body(reqwest::Body::wrap_stream(drops)).send()
    };
    let slow = futures_util::future::join_all(
        banks[..6]
            .iter()
            .map(|(bank, register, _)| trickle(bank, register)),
    );
    let (bank, register, set) = banks[6];
    let seventh = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        let answer = service.put_set(bank, register, set.clone()).await;
        (answer.status().as_u16(), began.elapsed())
    };
    let (slow, (status, took)) = tokio::join!(slow, seventh);
    assert_eq!(status, 200);
    assert!(took < Duration::from_secs(9), "{took:?}");
    for answer in slow {
        // A client that still sends may find its connection closed.
        let Ok(answer) = answer else { continue };
        assert_eq!(code_of(answer, 408).await, "KFR-014");
    }
}
