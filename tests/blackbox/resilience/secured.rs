//! A Redis with TLS, an authority of its own, and the user of `deploy/redis.conf`.

use super::{assert_all_right, register, run, truths, wait_until_cache_is_used};
use crate::harness::identifiers::people;
use crate::harness::redis::RedisServer;
use crate::harness::{PROGRAM, Service, free_address};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

const PASSWORD: &str = "s3cret-of-a-test";

struct Secured {
    directory: TempDir,
    port: String,
    child: Child,
}

impl Secured {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for authority in ["ca", "another"] {
            make_authority(directory.path(), authority);
        }
        make_certificate(directory.path());
        let shipped = include_str!("../../../deploy/redis.conf");
        let user = shipped
            .lines()
            .find_map(|line| line.strip_prefix("# user "))
            .unwrap();
        let user = user.replace(">SECRET", &format!(">{PASSWORD}"));
        let users = format!("user {user}\nuser default off\n");
        std::fs::write(directory.path().join("redis.conf"), users).unwrap();
        let port = free_address().rsplit_once(':').unwrap().1.to_owned();
        let child = Command::new("redis-server")
            .args([
                "redis.conf",
                "--port",
                "0",
                "--tls-port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--tls-cert-file", "redis.pem", "--tls-key-file", "redis.key"])
            .args(["--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::fs::write(directory.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self {
            directory,
            port,
            child,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn url(&self) -> String {
        format!("rediss://kundeforhold@127.0.0.1:{}/0", self.port)
    }

    fn settings(&self, authority: &str, password: &Path) -> String {
        std::fs::set_permissions(password, std::fs::Permissions::from_mode(0o600)).unwrap();
        let authority = self.file(authority);
        format!("[cache]\ntls_ca_file = {authority:?}\npassword_file = {password:?}\n")
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(directory: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl is installed by tests/run.sh");
    assert!(made.status.success(), "{made:?}");
}

fn make_authority(directory: &Path, name: &str) {
    let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(
        directory,
        &format!("{key} -subj /CN={name} -keyout {name}.key -out {name}.pem"),
    );
}

fn make_certificate(directory: &Path) {
    let key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=redis";
    openssl(directory, &format!("{key} -keyout redis.key -out redis.csr"));
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let sign = "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    openssl(directory, &format!("{sign} -extfile names -out redis.pem"));
}

#[tokio::test]
async fn tls_with_an_own_authority_and_the_shipped_user_is_all_the_service_needs() {
    let redis = Secured::start();
    let settings = redis.settings("ca.pem", &redis.file("password"));
    let mut service = Service::start_on(&redis.url(), &settings).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    wait_until_cache_is_used(&service, &truths).await;
    let cleared = run(&service, &["cache", "clear"]);
    assert!(cleared.status.success(), "{cleared:?}");
    assert!(service.terminate().success());
    assert!(!service.log().contains(PASSWORD));
    // Without the file, from the environment.
    let text = std::fs::read_to_string(service.configuration()).unwrap();
    let mut configuration: toml::Table = text.parse().unwrap();
    configuration["cache"]
        .as_table_mut()
        .unwrap()
        .remove("password_file");
    std::fs::write(service.configuration(), configuration.to_string()).unwrap();
    let cleared = clear(&service, PASSWORD);
    assert!(cleared.status.success(), "{cleared:?}");
    let refused = clear(&service, "not-the-secret");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && !said.contains("not-the-secret"),
        "{said}"
    );
}

fn clear(service: &Service, password: &str) -> Output {
    Command::new("timeout")
        .args(["20", PROGRAM, "cache", "clear", "--config"])
        .arg(service.configuration())
        .env("KUNDEFORHOLD__CACHE__PASSWORD", password)
        .output()
        .unwrap()
}

/// Right answers, deliveries taken, and not one word with a Redis that is not trusted or does not let it in.
async fn is_without_a_cache(url: &str, settings: &str, why: &str) {
    let service = Service::start_on(url, settings).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    register(&service, &people().nth(5_600).unwrap()).await;
    assert_all_right(&service, &truths).await;
    service.wait_until(|| service.log().contains(why)).await;
    assert_eq!(service.cache_lookups("hit").await, 0.0);
}

#[tokio::test]
async fn a_redis_whose_certificate_another_authority_signed_is_not_trusted() {
    let redis = Secured::start();
    let settings = redis.settings("another.pem", &redis.file("password"));
    is_without_a_cache(&redis.url(), &settings, "certificate").await;
}

#[tokio::test]
async fn a_wrong_password_costs_the_cache_and_no_answer() {
    let redis = Secured::start();
    std::fs::write(redis.file("wrong"), "not-the-secret\n").unwrap();
    let settings = redis.settings("ca.pem", &redis.file("wrong"));
    is_without_a_cache(&redis.url(), &settings, "Password authentication failed").await;
}

#[tokio::test]
async fn sentinels_and_their_master_have_passwords_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let master = RedisServer::start_secured(&["--requirepass", "of-the-master"], "of-the-master");
    let watched = format!(
        "requirepass of-the-sentinel\nsentinel monitor ours 127.0.0.1 {} 1\n\
         sentinel auth-pass ours of-the-master\n",
        master.port()
    );
    let watched = file("sentinel.conf", &watched);
    let options = [watched.to_str().unwrap(), "--sentinel"];
    let sentinel = RedisServer::start_secured(&options, "of-the-sentinel");
    let settings = format!(
        "[cache]\npassword_file = {:?}\nsentinel_password_file = {:?}\n",
        file("one", "of-the-master\n"),
        file("other", "of-the-sentinel\n"),
    );
    let url = format!("redis-sentinel://{}/ours", sentinel.address());
    let service = Service::start_on(&url, &settings).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    wait_until_cache_is_used(&service, &truths).await;
    assert!(!service.log().contains("of-the-"));
}
