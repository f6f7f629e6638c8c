//! Operators by client certificate, over TLS on the management port.

use super::Browser;
use super::access::{TOKEN, token_file};
use crate::audit::load::search;
use crate::commands::{done, refused, run, unreachable};
use crate::harness::{Caching, Service};
use crate::tls::authority::{Authority, Files};
use reqwest::{Certificate, Client, ClientBuilder, Identity, StatusCode};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(20);
const CASE: &str = "6a0c3f1e-52b8-4a39-8a53-70f35ce0b2f1";
const LATER: i32 = 2099;
const KARI: Option<&str> = Some("Kari Åsen");

/// A service whose management port speaks TLS, and the authority that signs for its operators.
struct Guarded {
    service: Service,
    /// Of the server's own certificate.
    authority: Authority,
    operators: Authority,
    files: Files,
}

impl Guarded {
    async fn start(console: &str) -> Self {
        let (authority, operators) = (Authority::new(), Authority::new());
        let files = Files::new(&authority, 1);
        files.write_client_authority(&operators);
        let configuration = files.configuration_of("management_tls") + console;
        let service = Service::launch(Caching::Without, &configuration).await;
        let guarded = Self {
            service,
            authority,
            operators,
            files,
        };
        let (started, mut probe) = (Instant::now(), guarded.browser(None));
        while !probe
            .try_to_get("/isready")
            .await
            .is_ok_and(|page| page.status == 200)
        {
            assert!(started.elapsed() < WITHIN, "{}", guarded.service.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        guarded
    }

    fn browser(&self, identity: Option<String>) -> Browser {
        Browser::over_tls(&self.service, self.client(identity))
    }

    fn client(&self, identity: Option<String>) -> ClientBuilder {
        let trusted = Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([trusted]).timeout(WITHIN);
        match identity {
            None => client,
            Some(pem) => client.identity(Identity::from_pem(pem.as_bytes()).unwrap()),
        }
    }

    /// What curl prints of an answer over HTTP/2.
    fn curl(&self, path: &str, more: &[&str]) -> String {
        let port = self.service.management.rsplit(':').next().unwrap();
        let answer = Command::new("curl")
            .args(["-sS", "--http2", "--max-time", "20", "--cacert"])
            .arg(self.files.authority())
            .args(["-o", "/dev/null", "-w", "%{http_version} %{http_code}"])
            .args(more)
            .arg(format!("https://localhost:{port}{path}"))
            .output()
            .unwrap();
        String::from_utf8(answer.stdout).unwrap()
    }
}

const BY_CERTIFICATE: &str = "[console]\nclient_certificate = true\n";

#[tokio::test]
async fn a_certificate_signs_in_under_its_common_name_and_acts_are_recorded_under_it() {
    let guarded = Guarded::start(BY_CERTIFICATE).await;
    let mut browser = guarded.browser(Some(guarded.operators.issue_to(KARI, LATER)));
    let page = browser.get("/console").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("CN=Kari Åsen") && !page.text.contains("Sign out"));

    let token = browser.form_token().await;
    let by_case = [("form_token", token.as_str()), ("case", CASE)];
    let found = browser.post("/console/record/search", &by_case).await;
    assert_eq!(found.status, StatusCode::OK);
    let recorded = search(&guarded.service, &["--case", CASE], "");
    let operator = recorded[0]["operator"].as_str().unwrap();
    assert!(operator.starts_with("CN=Kari Åsen ("), "{operator}");

    // Her session is of no use to another one, nor without a certificate.
    let other = guarded.operators.issue_to(Some("Ola"), LATER);
    let mut other = guarded.browser(Some(other));
    other.cookie = browser.cookie.clone();
    assert!(other.get("/console").await.text.contains("CN=Ola"));
    let foreign = other.post("/console/record/search", &by_case).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let mut without = guarded.browser(None);
    without.cookie = browser.cookie;
    assert_eq!(without.get("/console").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn no_certificate_and_wrong_ones_do_not_open_and_probes_need_none() {
    let guarded = Guarded::start(BY_CERTIFICATE).await;
    let mut without = guarded.browser(None);
    for path in [
        "/console",
        "/console/banks",
        "/console/record",
        "/console/nothing",
    ] {
        assert_eq!(without.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let login = without
        .post("/console/login", &[("name", "Kari"), ("token", TOKEN)])
        .await;
    assert_eq!(login.status, StatusCode::NOT_FOUND);
    for path in ["/isalive", "/isready", "/metrics", "/internal/audit/head"] {
        assert_eq!(without.get(path).await.status, StatusCode::OK, "{path}");
    }

    let others = Authority::new().issue_to(KARI, LATER);
    let expired = guarded.operators.issue_to(KARI, 2021);
    for (what, certificate) in [("another authority's", others), ("expired", expired)] {
        let mut browser = guarded.browser(Some(certificate));
        for path in ["/console", "/isready"] {
            let opened = browser.try_to_get(path).await;
            assert!(opened.is_err(), "{what}: {path}");
        }
    }
    for name in [None, Some("01856867389"), Some("Kari 018568 67389")] {
        let mut browser = guarded.browser(Some(guarded.operators.issue_to(name, LATER)));
        assert_eq!(
            browser.get("/console").await.status,
            StatusCode::FORBIDDEN,
            "{name:?}"
        );
    }
    assert!(!guarded.service.log().contains("01856867389"));
}

#[tokio::test]
async fn without_a_certificate_the_token_opens_where_it_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let token = token_file(&directory, 0o600);
    let guarded = Guarded::start(&format!("{BY_CERTIFICATE}operator_token_file = {token:?}\n")).await;
    let mut certified = guarded.browser(Some(guarded.operators.issue_to(KARI, LATER)));
    assert_eq!(certified.get("/console").await.status, StatusCode::OK);

    let mut browser = guarded.browser(None);
    browser.cookie = certified.cookie.clone();
    assert_eq!(
        browser.get("/console").await.location.as_deref(),
        Some("/console/login")
    );
    let fields = [("name", "CN=Kari Åsen"), ("token", TOKEN)];
    let pretended = browser.post("/console/login", &fields).await;
    assert_eq!(pretended.status, StatusCode::BAD_REQUEST);
    browser
        .post("/console/login", &[("name", "Kari Åsen"), ("token", TOKEN)])
        .await;
    let page = browser.get("/console").await;
    assert!(page.text.contains("Kari Åsen") && !page.text.contains("CN=Kari"));
}

#[tokio::test]
async fn an_authority_that_goes_takes_its_operators_with_it_on_open_connections_too() {
    let guarded = Guarded::start(BY_CERTIFICATE).await;
    let mut browser = guarded.browser(Some(guarded.operators.issue_to(KARI, LATER)));
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    let successor = Authority::new();
    guarded.files.write_client_authority(&successor);
    let mut next = guarded.browser(Some(successor.issue_to(Some("Ola"), LATER)));
    let started = Instant::now();
    // The former one's connection is kept open, and probes go on over it.
    while browser.get("/console").await.status == StatusCode::OK {
        assert_eq!(browser.get("/isready").await.status, StatusCode::OK);
        assert!(started.elapsed() < WITHIN, "{}", guarded.service.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(browser.get("/console").await.status, StatusCode::FORBIDDEN);
    assert!(next.get("/console").await.text.contains("CN=Ola"));

    std::fs::write(guarded.files.key(), "no key").unwrap();
    let refused = "kundeforhold_file_refused{file=\"management_tls\"} 1";
    while !next.get("/metrics").await.text.contains(refused) {
        assert!(started.elapsed() < 2 * WITHIN, "{}", guarded.service.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn over_http_2_hosts_and_the_origins_of_forms_are_known_too() {
    // Nothing is asked of operators: the port is on loopback.
    let guarded = Guarded::start("").await;
    assert_eq!(guarded.curl("/console", &[]), "2 200");
    let rebound = ["-H", "Host: rebound.example"];
    assert_eq!(guarded.curl("/console", &rebound), "2 403");
    let port = guarded.service.management.rsplit(':').next().unwrap();
    let own = format!("Origin: https://localhost:{port}");
    // Its token is missing either way; a form of our own is told so after its origin.
    let cookies = tempfile::NamedTempFile::new().unwrap();
    let jar = cookies.path().to_str().unwrap();
    let mut browser = guarded.browser(None);
    let token = format!("form_token={}", browser.form_token().await);
    let cookie = browser.cookie.clone().unwrap();
    let case = format!("case={CASE}");
    let form = [
        "-b",
        &cookie,
        "-c",
        jar,
        "--data-urlencode",
        &token,
        "--data-urlencode",
        &case,
    ];
    let search = |origin: &str| {
        let more = [form.as_slice(), &["-H", origin]].concat();
        guarded.curl("/console/record/search", &more)
    };
    assert_eq!(search(&own), "2 200");
    assert_eq!(search("Origin: https://evil.example"), "2 403");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_know_the_service_by_its_own_certificate() {
    let guarded = Guarded::start("").await;
    let configuration = guarded.service.configuration();
    let healthcheck =
        |configuration: &Path| run(&["healthcheck", "--config", configuration.to_str().unwrap()]);
    assert!(done(healthcheck(&configuration)).contains("\"ready\":true"));
    // Whoever else listens there has another certificate.
    let others = Files::new(&guarded.authority, 2);
    let text = std::fs::read_to_string(&configuration).unwrap();
    let elsewhere = others.directory().join("kundeforhold.toml");
    let own = guarded.files.directory().to_str().unwrap();
    std::fs::write(
        &elsewhere,
        text.replace(own, others.directory().to_str().unwrap()),
    )
    .unwrap();
    others.write_client_authority(&guarded.operators);
    unreachable(healthcheck(&elsewhere));
    // And plain HTTP is no way around.
    let plain = format!("http://{}/isready", guarded.service.management);
    refused(run(&["healthcheck", "--url", &plain]));
}

#[tokio::test]
async fn certificates_without_an_authority_for_them_are_refused_at_start() {
    let service = Service::launch(Caching::Without, BY_CERTIFICATE).await;
    let started = Instant::now();
    while !service.log().contains("server.management_tls.client_ca") {
        assert!(started.elapsed() < WITHIN, "{}", service.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
