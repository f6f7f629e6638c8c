//! No customer, account, agreement or token in clear: neither in the service's files, nor in its cache, logs and
//! metrics, nor in what it answers to those who sent them to the wrong place.

pub mod canaries;
mod mandates;
mod memory;

use crate::harness::calls::{BOUNDARY, form};
use crate::harness::collector::Collector;
use crate::harness::store::Away;
use crate::harness::strace::{READ, SYNC, Tampered, WRITE};
use crate::harness::{Caching, EITHER_WAY, Service, world};
use canaries::Canaries;
use reqwest::{Method, RequestBuilder};
use std::path::Path;
use std::process::Command;

/// In both registers.
const BANK: &str = "210099093";

#[tokio::test]
async fn nothing_that_is_sent_is_found_anywhere_in_clear() {
    for caching in EITHER_WAY {
        let collector = Collector::start().await;
        let configuration = "[log]\nlevel = \"trace\"\n".to_owned() + &collector.configuration();
        let mut service = Service::start_on_file(caching, &configuration).await;
        let canaries = Canaries::new(&service.issuer, BANK);
        deliver(&service, &canaries).await;
        in_their_places(&service, &canaries).await;
        for canary in canaries.texts() {
            in_wrong_places(&service, canary, &canaries).await;
        }
        canaries.assert_absent(service.metrics().await.as_bytes(), "the metrics");
        search_redis(&service, &canaries);
        service.back_up(&service.directory.path().join("backup.tar"));
        let verified = service.command(&["store", "verify", "--json"]);
        canaries.assert_absent(&verified.stdout, "what is told of the store");
        search_files(&service, &canaries);
        collector.wait_for(b"record of use").await;
        canaries.assert_absent(&collector.received().await, "the spans");
        service.kill();
        search_files(&service, &canaries);
        service.start_again();
        service.wait_until_ready().await;
        service.terminate();
        canaries.assert_absent(&collector.received().await, "the spans");
        search_files(&service, &canaries);
        assert!(
            service.log().contains("\"level\":\"TRACE\"") || service.log().contains("\"level\":\"DEBUG\"")
        );
    }
}

#[tokio::test]
async fn a_dump_of_the_database_names_nobody() {
    let service = Service::start_on_postgres(Caching::Without, "").await;
    let canaries = Canaries::new(&service.issuer, BANK);
    deliver(&service, &canaries).await;
    in_their_places(&service, &canaries).await;
    let database = service.database.as_ref().unwrap();
    let dump = Command::new("pg_dump").arg(database.url()).output().unwrap();
    assert!(dump.status.success(), "{dump:?}");
    let dump = String::from_utf8(dump.stdout).unwrap();
    assert!(dump.contains("COPY record.entries") && dump.contains("COPY public.relationships"));
    canaries.assert_absent(dump.as_bytes(), "the dump");
    assert!(bytes_in(&dump).len() > 1_000);
    canaries.assert_absent(&bytes_in(&dump), "bytes of the dump");
}

/// All that is dumped as bytes, which it has in hexadecimal digits.
fn bytes_in(dump: &str) -> Vec<u8> {
    let fields = dump
        .split(['\t', '\n'])
        .filter_map(|field| field.strip_prefix(r"\\x"));
    let pairs = fields.flat_map(|hex| hex.as_bytes().chunks(2));
    pairs
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Errors that the service writes to its log with a cause: the record of use away, the store not to be read or written.
#[tokio::test]
async fn nothing_is_found_in_the_log_of_failures() {
    for caching in EITHER_WAY {
        let mut service = Service::start_on_file(caching, "[log]\nlevel = \"trace\"\n").await;
        let canaries = Canaries::new(&service.issuer, BANK);
        deliver(&service, &canaries).await;
        let away = Away::take(service.record_files());
        in_their_places(&service, &canaries).await;
        away.bring_back();
        service.wait_until_ready().await;
        for calls in [READ, WRITE, SYNC] {
            let tampered = Tampered::begin(&service, calls, "error=EIO");
            in_their_places(&service, &canaries).await;
            tampered.end();
            service.wait_until_ready().await;
        }
        if let Some(redis) = &mut service.redis {
            redis.kill();
            in_their_places(&service, &canaries).await;
        }
        canaries.assert_absent(service.metrics().await.as_bytes(), "the metrics");
        search_files(&service, &canaries);
    }
}

async fn deliver(service: &Service, canaries: &Canaries) {
    for register in ["KAR", "KFR"] {
        let answer = service.put_set(BANK, register, canaries.records()).await;
        assert_eq!(answer.status(), 200, "{}", service.log());
    }
}

/// Every operation, as it is meant, then with one thing wrong.
async fn in_their_places(service: &Service, canaries: &Canaries) {
    let today = world::today().to_string();
    for customer in canaries.customers() {
        for (from, to) in [(today.as_str(), today.as_str()), ("2026-02-30", "x")] {
            quiet(service, service.relationships(customer, from, to), canaries).await;
            quiet(
                service,
                service.relationships(&format!("{customer}0"), from, to),
                canaries,
            )
            .await;
        }
        for method in [Method::POST, Method::POST, Method::DELETE, Method::DELETE] {
            quiet(service, service.kfr(method, BANK, customer), canaries).await;
        }
        quiet(
            service,
            service
                .kfr(Method::POST, BANK, customer)
                .query(&[("toDate", "x")]),
            canaries,
        )
        .await;
        quiet(service, service.kfr_own(BANK, customer), canaries).await;
        quiet(
            service,
            service.kfr_batch(BANK, &format!("{customer}#2020-01-01")),
            canaries,
        )
        .await;
        quiet(
            service,
            service.kfr_batch(BANK, &format!("{customer},{customer}1#2999-01-01,x{customer}")),
            canaries,
        )
        .await;
    }
    for account in canaries.accounts() {
        quiet(service, service.account(account), canaries).await;
        quiet(service, service.account(&format!("{account}0")), canaries).await;
    }
    let good = canaries.records();
    for bad in [
        good.replace("\"role\"", "\"rolle\""),
        good.replace("2015-01-01", "x"),
        good.replace("\":\"", "\":"),
    ] {
        quiet(service, service.put(BANK, "").body(bad), canaries).await;
    }
    for token in canaries.tokens() {
        let listed = service.http.get(service.url("/v2/participants"));
        quiet(service, listed.bearer_auth(token), canaries).await;
    }
}

/// One canary wherever somebody could put it by mistake.
async fn in_wrong_places(service: &Service, canary: &str, canaries: &Canaries) {
    let today = world::today().to_string();
    let lookup = || service.relationships("13097248032", &today, &today);
    let paths = [
        format!("/{canary}"),
        format!("/v2/customers/{canary}"),
        format!("/v2/customers/customerRelationships/{canary}"),
        format!("/v2/financialInstitutions/{canary}/relationships"),
        format!("/kar-ws/api/v1/customers/financialInstitutions/{canary}/"),
        format!("/kar-ws/api/v1/customers/financialInstitutions/{canary}/batch"),
        format!("/kar-ws/api/v1/customers/financialInstitutions/{canary}/relationshipType/DSOPBANK"),
        format!("/kar-ws/api/v1/customers/financialInstitutions/{BANK}/relationshipType/{canary}"),
        format!("/docs/{canary}"),
        format!("/openapi.json?{canary}={canary}"),
    ];
    for path in paths {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
        ] {
            let request = service.http.request(method, service.url(&path));
            quiet(
                service,
                request.bearer_auth(service.issuer.bank_token(BANK)),
                canaries,
            )
            .await;
        }
        let management = service.http.get(format!("http://{}{path}", service.management));
        quiet(service, management, canaries).await;
    }
    for name in [canary, "onlyPrimaryOwner", "fromDate", "toDate", "register"] {
        quiet(service, lookup().query(&[(name, canary)]), canaries).await;
        quiet(service, service.put(BANK, "").query(&[(name, canary)]), canaries).await;
        quiet(
            service,
            service
                .kfr(Method::DELETE, BANK, "13097248032")
                .query(&[(name, canary)]),
            canaries,
        )
        .await;
    }
    let headers = [
        "customerid",
        "accountid",
        "accountinforequestid",
        "legal-mandate",
        "accept",
        "content-type",
        "content-encoding",
        "user-agent",
        "referer",
        "cookie",
        "traceparent",
        "x-forwarded-for",
        "x-canary",
        "authorization",
    ];
    for header in headers {
        // A mandate is kept on record as it was sent, but for identifiers of customers and accounts.
        if header != "legal-mandate" || canary.bytes().all(|byte| byte.is_ascii_digit()) {
            let valid = service.relationships("13097248022", &today, &today);
            for request in [valid, lookup(), service.account("x")] {
                quiet(service, with(service, request, header, canary), canaries).await;
            }
        }
        let put = service.put(BANK, "").body("{}");
        quiet(service, with(service, put, header, canary), canaries).await;
        let post = service.kfr(Method::POST, BANK, "x");
        quiet(service, with(service, post, header, canary), canaries).await;
    }
    for body in [
        format!("{{\"{canary}\":\"{canary}\"}}"),
        format!("{{\"customerID\":\"{canary}\",\"role\":\"{canary}\",\"fromDate\":\"{canary}\"}}"),
        format!("{{\"customerID\":\"13097248022\",\"role\":\"owner\",\"fromDate\":\"{canary}\"}}"),
        format!(
            "{{\"customerID\":\"13097248022\",\"accountID\":\"{canary}0\",\"role\":\"owner\",\"fromDate\":\"2020-01-01\"}}"
        ),
        canary.to_owned(),
    ] {
        quiet(service, service.put(BANK, "").body(body), canaries).await;
    }
    let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
    for parts in [
        vec![("name=\"customer_type\"", canary), ("name=\"customers\"", canary)],
        vec![("name=\"customer_type\"", "DSOPBANK"), (canary, canary)],
        vec![
            ("name=\"customer_type\"", "DSOPBANK"),
            ("name=\"customers\"", "x#"),
            ("name=\"other\"", canary),
        ],
    ] {
        quiet(
            service,
            service.kfr_form(BANK, &multipart, form(&parts)),
            canaries,
        )
        .await;
    }
    let boundary = format!("multipart/form-data; boundary={canary}");
    quiet(
        service,
        service.kfr_form(BANK, &boundary, canary.to_owned()),
        canaries,
    )
    .await;
    quiet(
        service,
        service.kfr_batch(BANK, &format!("{canary},13097248022#{canary}")),
        canaries,
    )
    .await;
}

/// The request with one header of its own replaced.
fn with(service: &Service, request: RequestBuilder, header: &'static str, value: &str) -> RequestBuilder {
    let mut request = request.build().unwrap();
    request.headers_mut().insert(header, value.parse().unwrap());
    RequestBuilder::from_parts(service.http.clone(), request)
}

/// Sends, and finds nothing of the canaries in the answer, its headers included.
async fn quiet(service: &Service, request: RequestBuilder, canaries: &Canaries) {
    let Ok(request) = request.build() else { return };
    let what = format!("{} {}", request.method(), request.url().path());
    let response = service.http.execute(request).await.unwrap();
    let headers = format!("{:?}", response.headers());
    canaries.assert_absent(headers.as_bytes(), &what);
    canaries.assert_absent(&response.bytes().await.unwrap(), &what);
}

/// Everything in the service's directory: store, record of use, log.
fn search_files(service: &Service, canaries: &Canaries) {
    let mut searched = 0;
    let mut directories = vec![service.directory.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            canaries.assert_absent(path.to_str().unwrap().as_bytes(), "a file's name");
            canaries.assert_absent(&std::fs::read(&path).unwrap(), path.to_str().unwrap());
            searched += 1;
        }
    }
    assert!(searched >= 7, "{searched} files");
}

/// A dump, and every key and value beside it: the dump compresses long strings.
fn search_redis(service: &Service, canaries: &Canaries) {
    let Some(redis) = &service.redis else { return };
    let directory = tempfile::tempdir().unwrap();
    redis.save(directory.path());
    let dump = std::fs::read(Path::new(directory.path()).join("dump.rdb")).unwrap();
    canaries.assert_absent(&dump, "the dump of Redis");
    let contents = redis.contents();
    // Keys and values, of customers and accounts.
    assert!(contents.len() >= 8, "{}", contents.len());
    for value in contents {
        canaries.assert_absent(&value, "Redis");
    }
}
