//! The proxy of `deploy/haproxy.cfg`, with the addresses of a test, and without its second tries: they would hide an
//! instance that stops while the proxy still sends to it.

use crate::harness::free_address;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Proxy {
    child: Child,
    address: String,
    _directory: TempDir,
}

impl Proxy {
    /// In front of instances, by their public and management addresses.
    pub fn start(instances: &[(&str, &str)]) -> Self {
        let address = free_address();
        let shipped = include_str!("../../../deploy/haproxy.cfg");
        let tries = "retry-on conn-failure empty-response";
        assert!(shipped.contains(tries) && shipped.contains("retries 3"));
        let once = shipped
            .replace(tries, "retry-on none")
            .replace("retries 3", "retries 0");
        let mut configuration = once.replace("bind :8080", &format!("bind {address}"));
        for (number, (public, management)) in (1..).zip(instances) {
            let port = management.rsplit_once(':').unwrap().1;
            let named = format!("server kundeforhold-{number} kundeforhold-{number}:8080");
            assert!(configuration.contains(&named));
            let here = format!("server kundeforhold-{number} {public} port {port}");
            configuration = configuration.replace(&named, &here);
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .expect("haproxy is installed by tests/run.sh");
        Self {
            child,
            address,
            _directory: directory,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn wait_until_it_answers(&self) {
        let started = Instant::now();
        let openapi = format!("{}/openapi.json", self.url());
        while !reqwest::get(&openapi)
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the proxy does not answer"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
