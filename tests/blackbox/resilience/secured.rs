//! A Redis with TLS, an authority of its own, and the user of `deploy/redis.conf`.

use super::redis::all_right;
use super::{assert_index_agrees_with_journal, run, truths};
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
        format!("[index]\ntls_ca_file = {authority:?}\npassword_file = {password:?}\n")
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
    all_right(&service, &truths(&service).await).await;
    assert!(service.terminate().success());
    assert_index_agrees_with_journal(&service);
    assert!(!service.log().contains(PASSWORD));
    let rebuilt = run(&service, &["index", "rebuild"]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    // Without the file, from the environment.
    let text = std::fs::read_to_string(service.configuration()).unwrap();
    let mut configuration: toml::Table = text.parse().unwrap();
    configuration["index"]
        .as_table_mut()
        .unwrap()
        .remove("password_file");
    std::fs::write(service.configuration(), configuration.to_string()).unwrap();
    let verified = verify(&service, PASSWORD);
    assert!(verified.status.success(), "{verified:?}");
    let refused = verify(&service, "not-the-secret");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && !said.contains("not-the-secret"),
        "{said}"
    );
}

fn verify(service: &Service, password: &str) -> Output {
    Command::new("timeout")
        .args(["20", PROGRAM, "index", "verify", "--config"])
        .arg(service.configuration())
        .env("KUNDEFORHOLD__INDEX__PASSWORD", password)
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_redis_whose_certificate_another_authority_signed_is_not_trusted() {
    let redis = Secured::start();
    let settings = redis.settings("another.pem", &redis.file("password"));
    let service = Service::launch_on(&redis.url(), &settings).await;
    service.wait_until(|| service.log().contains("certificate")).await;
    assert!(!service.is_ready().await);
}
