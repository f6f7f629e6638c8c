//! Who gets in.

use super::Browser;
use crate::harness::calls::streamed;
use crate::harness::{Caching, Service, free_address};
use reqwest::StatusCode;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

pub const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978";

pub fn token_file(directory: &TempDir, mode: u32) -> PathBuf {
    use std::io::Write;
    let path = directory.path().join("operator.token");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).write(true).mode(mode).open(&path).unwrap();
    writeln!(file, "{TOKEN}").unwrap();
    path
}

async fn with_token(directory: &TempDir) -> Service {
    let path = token_file(directory, 0o600);
    let configuration = format!(
        "[console]\noperator_token_file = {:?}\n",
        path.display().to_string()
    );
    Service::start_with(Caching::Without, &configuration).await
}

#[tokio::test]
async fn on_loopback_the_console_is_open_but_not_under_another_name() {
    let service = Service::start(Caching::Without).await;
    let mut browser = Browser::new(&service);
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    for host in ["localhost", "localhost:9090", "127.0.0.1:80", "[::1]:9090"] {
        assert_eq!(
            browser.get_as(host, "/console").await.status,
            StatusCode::OK,
            "{host}"
        );
    }
    for host in [
        "rebound.example",
        "localhost.rebound.example:9090",
        "127.0.0.1.nip.io",
        "10.0.0.1",
    ] {
        let page = browser.get_as(host, "/console/banks").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{host}");
        assert!(!page.text.contains("Blåbærlia"), "{host}");
    }
}

#[tokio::test]
async fn a_form_that_never_ends_is_waited_for_a_bounded_time() {
    let directory = tempfile::tempdir().unwrap();
    let service = with_token(&directory).await;
    let mut browser = Browser::new(&service);
    let (pieces, body) = streamed();
    pieces.send(Ok("name=Kari&token=".to_owned())).await.unwrap();
    let request = browser.form("/console/login", &[]).body(body);
    let page = tokio::time::timeout(Duration::from_secs(30), browser.send(request)).await;
    assert_eq!(page.unwrap().status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn with_a_token_nothing_is_shown_before_signing_in() {
    let directory = tempfile::tempdir().unwrap();
    let service = with_token(&directory).await;
    let mut browser = Browser::new(&service);
    for path in [
        "",
        "/banks",
        "/banks/210011013",
        "/agencies",
        "/record",
        "/nothing",
    ] {
        let page = browser.get(&format!("/console{path}")).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}");
        assert_eq!(page.location.as_deref(), Some("/console/login"));
        assert!(!page.text.contains("Blåbærlia"), "{path}");
    }
    for path in ["/record/search", "/record/verify", "/logout"] {
        let page = browser
            .post(&format!("/console{path}"), &[("form_token", "x")])
            .await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(browser.cookie.is_none());

    let signed_in = browser
        .post("/console/login", &[("name", "Kari Åsen"), ("token", TOKEN)])
        .await;
    assert_eq!(
        (signed_in.status, signed_in.location.as_deref()),
        (StatusCode::SEE_OTHER, Some("/console"))
    );
    let page = browser.get("/console").await;
    assert!(page.status == StatusCode::OK && page.text.contains("Kari Åsen"));

    let token = browser.form_token().await;
    let kept = browser.cookie.clone();
    browser.post("/console/logout", &[("form_token", &token)]).await;
    assert_eq!(browser.get("/console").await.status, StatusCode::SEE_OTHER);
    browser.cookie = kept;
    let again = browser.get("/console").await;
    assert_eq!(
        again.status,
        StatusCode::SEE_OTHER,
        "its cookie opens nothing any more"
    );
    let head = service
        .http
        .get(format!("http://{}/metrics", service.management))
        .send()
        .await
        .unwrap();
    assert_eq!(head.headers()["X-Content-Type-Options"], "nosniff");
}

#[tokio::test]
async fn wrong_tokens_and_forged_cookies_do_not_get_in_and_attempts_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let service = with_token(&directory).await;
    let mut browser = Browser::new(&service);
    let port = service.management.rsplit(':').next().unwrap();
    browser.cookie = Some(format!(
        "kundeforhold_console_{port}=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAS2FyaQ.AAAA"
    ));
    assert_eq!(browser.get("/console").await.status, StatusCode::SEE_OTHER);
    browser.cookie = None;

    let number = browser
        .post("/console/login", &[("name", "17912099997"), ("token", TOKEN)])
        .await;
    assert_eq!(number.status, StatusCode::BAD_REQUEST);
    for _ in 0..5 {
        let wrong = browser
            .post("/console/login", &[("name", "Kari"), ("token", &TOKEN[1..])])
            .await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    let late = browser
        .post("/console/login", &[("name", "Kari"), ("token", TOKEN)])
        .await;
    assert_eq!(late.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(browser.cookie.is_none());
    assert!(!service.log().contains(&TOKEN[1..]));
}

#[tokio::test]
async fn a_port_that_others_reach_has_no_console_without_a_token() {
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    let configuration = format!("[server]\nmanagement_listen = \"0.0.0.0:{port}\"\n");
    let mut service = Service::launch(Caching::Without, &configuration).await;
    service.management = address.clone();
    service.wait_until_ready().await;
    let mut browser = Browser::new(&service);
    for path in ["/console", "/console/banks", "/console/record"] {
        assert_eq!(browser.get(path).await.status, StatusCode::FORBIDDEN);
    }
    let search = browser
        .post("/console/record/search", &[("form_token", "")])
        .await;
    assert_eq!(search.status, StatusCode::FORBIDDEN);
    assert!(service.log().contains("the console is shut"));
}

#[tokio::test]
async fn a_token_that_others_may_read_is_refused_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = token_file(&directory, 0o644);
    let configuration = format!(
        "[console]\noperator_token_file = {:?}\n",
        path.display().to_string()
    );
    let mut service = Service::launch(Caching::Without, &configuration).await;
    let started = std::time::Instant::now();
    while !service.log().contains("chmod 600") {
        assert!(started.elapsed().as_secs() < 20, "{}", service.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    service.kill();
}
