//! Proxies of the environment on the way to the issuer, and what `check` says of it.

use crate::commands::{done, program, refused, unreachable};
use crate::harness::keys::section;
use crate::harness::{Caching, Service};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// A proxy that notes what it is asked for, and leads nowhere.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                noted.lock().unwrap().push(line.trim().to_owned());
                let _ = (&stream).write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[tokio::test]
async fn check_asks_the_issuer_and_says_what_it_found() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    service.terminate();
    let configuration = service.configuration();
    let check = || {
        program(&["check", "--config", configuration.to_str().unwrap()])
            .output()
            .unwrap()
    };
    assert!(done(check()).contains("issuer: answers, with 1 keys"));
    let mut key = service.issuer.key().jwk("a");
    key["key_ops"] = json!(["sign"]);
    service.issuer.publish(json!({"keys": [key]})).await;
    let said = refused(check());
    assert!(
        said.contains("key 1 (\"a\") is not for verifying (key_ops)") && said.contains("/jwk"),
        "{said}"
    );
    service.issuer.publish(json!({"nothing": []})).await;
    assert!(refused(check()).contains("has no list `keys`"));
    let nobody = crate::harness::free_address();
    service.configure(|table| {
        section(table, "maskinporten").insert("jwks_uri".to_owned(), format!("http://{nobody}/jwk").into());
    });
    let said = refused(check());
    assert!(said.contains(&nobody) && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn the_issuer_is_asked_through_the_proxy_that_the_environment_names() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    service.terminate();
    service.configure(|table| {
        section(table, "maskinporten").insert("jwks_uri".to_owned(), "https://issuer.invalid/jwk".into());
    });
    let proxy = Proxy::start();
    let configuration = service.configuration();
    let check = |variables: &[(&str, &str)]| {
        let mut command = program(&["check", "--config", configuration.to_str().unwrap()]);
        refused(command.envs(variables.iter().copied()).output().unwrap())
    };
    check(&[("HTTPS_PROXY", &proxy.address)]);
    assert_eq!(proxy.asked(), ["CONNECT issuer.invalid:443 HTTP/1.1"]);
    check(&[("HTTPS_PROXY", &proxy.address), ("NO_PROXY", "issuer.invalid")]);
    assert!(proxy.asked().is_empty());
}

#[tokio::test]
async fn commands_ask_the_issuer_by_the_proxy_and_the_service_without() {
    let service = Service::start(Caching::Without).await;
    let proxy = Proxy::start();
    let key = service.directory.path().join("client.pem");
    std::fs::write(&key, crate::harness::issuer::KEY.private_pem()).unwrap();
    let url = service.url("");
    let mut lookup = program(&[
        "lookup",
        "--url",
        &url,
        "--mandate",
        "Test",
        "--customer",
        "01856867389",
        "--client-id",
        "a",
        "--key",
        key.to_str().unwrap(),
        "--token-endpoint",
        "https://issuer.invalid/token",
    ]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        lookup.env(name, &proxy.address);
    }
    unreachable(lookup.output().unwrap());
    assert_eq!(proxy.asked(), ["CONNECT issuer.invalid:443 HTTP/1.1"]);
    let token = service.issuer.agency_token();
    let mut lookup = program(&[
        "lookup",
        "--url",
        &url,
        "--mandate",
        "Test",
        "--customer",
        "01856867389",
    ]);
    lookup
        .env("KUNDEFORHOLD_TOKEN", token)
        .env("HTTP_PROXY", &proxy.address);
    done(
        tokio::task::spawn_blocking(move || lookup.output().unwrap())
            .await
            .unwrap(),
    );
    let mut probe = program(&[
        "healthcheck",
        "--url",
        &format!("http://{}/isready", service.management),
    ]);
    done(probe.env("HTTP_PROXY", &proxy.address).output().unwrap());
    assert!(proxy.asked().is_empty());
}
