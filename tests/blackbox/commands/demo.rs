//! `demo`: everything in one process, and what it prints is ready to paste.

use crate::harness::redis::RedisServer;
use crate::harness::{Caching, EITHER_WAY, PROGRAM, world};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A build for development on a machine that does other things too; a release takes less than a second.
const READY: Duration = Duration::from_secs(10);

pub struct Demo {
    child: Child,
    pub output: BufReader<std::process::ChildStdout>,
}

impl Demo {
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args([
                "demo",
                "--listen",
                "127.0.0.1:0",
                "--management-listen",
                "127.0.0.1:0",
            ])
            .args(["--issuer-listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Ctrl-C; what it printed after what was read.
    pub fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        rest
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn started(caching: Caching, redis: &Option<RedisServer>, more: &[&str]) -> Demo {
    let url = redis.as_ref().map(RedisServer::url);
    let mut arguments = more.to_vec();
    if caching == Caching::With {
        arguments.extend(["--cache", url.as_deref().unwrap()]);
    }
    Demo::start(&arguments)
}

#[tokio::test]
async fn a_demo_for_scripts_prints_one_line_when_it_is_ready() {
    for caching in EITHER_WAY {
        let redis = (caching == Caching::With).then(RedisServer::start);
        // The second one finds the same Redis as the first left it.
        for round in 1..=2 {
            let beginning = Instant::now();
            let mut demo = started(caching, &redis, &["--json"]);
            let line = demo.line();
            let took = beginning.elapsed();
            println!("demo on {caching:?}, start {round}: ready after {took:?}");
            assert!(took < READY, "{took:?}");
            let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["issuer", "jwksUri", "management", "service", "tokens"]);
            let clients: Vec<&str> = line["tokens"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(clients, ["bank", "politi", "sandbox", "skatt", "srf"]);
            answers(&line).await;
            assert_eq!(demo.stop(), "", "nothing else on standard output");
        }
    }
}

/// Ready when it says so; the fixtures are there; every token opens what it is for.
async fn answers(line: &Value) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (service, http) = (text(&line["service"]), reqwest::Client::new());
    let ready = http
        .get(format!("{}/isready", text(&line["management"])))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), 200);
    let keys: Value = http
        .get(text(&line["jwksUri"]))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(!keys["keys"].as_array().unwrap().is_empty());
    let discovery = format!("{}.well-known/oauth-authorization-server", text(&line["issuer"]));
    let discovered: Value = http.get(discovery).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&discovered["issuer"], &discovered["jwks_uri"]),
        (&line["issuer"], &line["jwksUri"])
    );
    let today = world::today().to_string();
    for client in ["sandbox", "skatt", "politi", "srf"] {
        let request = http
            .get(format!("{service}/kar-ws/api/v1/customers/customerRelationships"))
            .bearer_auth(text(&line["tokens"][client]))
            .header("CustomerID", "01856867389");
        let response = request.query(&[("fromDate", &today)]).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        if client == "sandbox" {
            assert_eq!(status, 200);
            assert!(!body["banks"].as_array().unwrap().is_empty());
        } else {
            // Let in, and held to the terms that ship with the service: here no mandate was named.
            assert_eq!(
                (status.as_u16(), body["errorCode"].as_str()),
                (403, Some("ERR-007")),
                "{client}"
            );
        }
    }
    let path = "kar-ws/api/v1/customers/financialInstitutions/210099093/";
    let own = http
        .get(format!("{service}/{path}"))
        .bearer_auth(text(&line["tokens"]["bank"]));
    let own: Value = own
        .header("CustomerID", "27836946486")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(own["banks"][0]["organizationID"], "210099093");
    let list = http
        .get(format!("{service}/v2/participants"))
        .bearer_auth(text(&line["tokens"]["sandbox"]));
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    let paused: Vec<&Value> = list["participants"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|bank| bank["state"] == "paused")
        .collect();
    assert_eq!(paused.len(), 1, "the fixtures' paused bank is paused, and loaded");
    assert!(paused[0]["lastDelivery"].is_string());
}

#[tokio::test]
async fn what_a_demo_prints_for_people_can_be_pasted() {
    for caching in EITHER_WAY {
        let redis = (caching == Caching::With).then(RedisServer::start);
        let mut demo = started(caching, &redis, &[]);
        let mut script = String::new();
        while !script.contains("Ctrl-C") {
            assert_ne!(demo.output.read_line(&mut script).unwrap(), 0, "{script}");
        }
        let lines: Vec<&str> = script.lines().collect();
        assert!(lines[0].starts_with("TOKEN="), "the sandbox token comes first");
        let pasted: Vec<&str> = lines
            .into_iter()
            .filter(|line| line.contains("TOKEN=") || line.starts_with("curl"))
            .collect();
        assert_eq!(pasted.len(), 5, "{script}");
        // A new line after each answer, so that they can be told apart.
        let output = Command::new("sh")
            .arg("-euc")
            .arg(pasted.join("\necho\n"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(answers.len(), 3, "{said}");
        let relationships: Value = serde_json::from_str(answers[0]).unwrap();
        assert!(relationships["banks"].as_array().unwrap().len() >= 2, "{said}");
        assert!(relationships["banks"][0]["ownershipType"].is_string(), "{said}");
        let provider: Value = serde_json::from_str(answers[1]).unwrap();
        assert!(provider["bankName"].is_string(), "{said}");
        assert_eq!(answers[2], "201", "{said}");
        demo.stop();
    }
}

#[tokio::test]
async fn a_demo_with_a_folder_remembers() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let register = async |line: &Value| {
        let service = line["service"].as_str().unwrap();
        let path = "kar-ws/api/v1/customers/financialInstitutions/210143130/relationshipType/DSOPBANK";
        let token = crate::commands::done(crate::commands::run(&[
            "token",
            "--issuer",
            line["issuer"].as_str().unwrap(),
            "--client",
            "bank-210143130",
        ]));
        let request = reqwest::Client::new()
            .post(format!("{service}/{path}"))
            .bearer_auth(token.trim());
        let request = request.header("CustomerID", "17912099997");
        request
            .header("CorrelationID", crate::harness::calls::CORRELATION)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    for _ in 0..2 {
        let mut demo = Demo::start(&["--json", "--data", crate::commands::text(&data)]);
        let line = demo.line();
        assert_eq!(
            register(&line).await,
            201,
            "the world is loaded anew at every start"
        );
        assert_eq!(register(&line).await, 200);
        demo.stop();
    }
    for kept in [
        "register.sqlite",
        "pseudonym.key",
        "client-key.pem",
        "record.sqlite",
    ] {
        assert!(Path::new(&data).join(kept).exists(), "{kept}");
    }
    assert_eq!(
        json!(1),
        json!(std::fs::read_dir(directory.path()).unwrap().count())
    );
}

#[test]
fn a_demo_that_cannot_start_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let any = [
        "--management-listen",
        "127.0.0.1:0",
        "--issuer-listen",
        "127.0.0.1:0",
    ];
    let said = super::refused(super::run(&[&["demo", "--listen", &address], &any[..]].concat()));
    assert!(said.contains(&address), "{said}");
    for (option, url, known) in [
        ("--cache", "memcached://x", "redis://"),
        ("--store", "mysql://x", "sqlite:"),
    ] {
        let bad = ["demo", "--listen", "127.0.0.1:0", option, url];
        let said = super::refused(super::run(&[&bad, &any[..]].concat()));
        assert!(said.contains(known), "{said}");
    }
}
