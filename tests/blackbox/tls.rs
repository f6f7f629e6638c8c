//! TLS in the service itself: what clients negotiate, and files that change while it serves.

pub mod authority;

use crate::commands::{program, refused};
use crate::harness::{Caching, Service};
use authority::{Authority, Connection, Files};
use std::process::Command;
use std::time::{Duration, Instant};

/// The files are looked at every two seconds.
const RELOADED_WITHIN: Duration = Duration::from_secs(20);

async fn start(files: &Files) -> Service {
    Service::start_with(Caching::Without, &files.configuration()).await
}

/// Waits until new connections are shown this certificate.
async fn wait_for(service: &Service, authority: &Authority, serial: u64) {
    let started = Instant::now();
    while Connection::open(&service.address, authority, None).map(|it| it.serial()) != Ok(serial) {
        assert!(started.elapsed() < RELOADED_WITHIN, "{}", service.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn wait_for_log(service: &Service, line: &str) {
    let started = Instant::now();
    while !service.log().contains(line) {
        assert!(started.elapsed() < RELOADED_WITHIN, "{}", service.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_negotiated_and_http_1_is_still_there() {
    let authority = Authority::new();
    let files = Files::new(&authority, 1);
    let service = start(&files).await;
    let port = service.address.rsplit_once(':').unwrap().1;
    for (offered, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let answer = Command::new("curl")
            .args([
                "-sS",
                offered,
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{http_version}",
            ])
            .args(["--max-time", "20", "--cacert"])
            .arg(files.authority())
            .arg(format!("https://localhost:{port}/openapi.json"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert_eq!(said, format!("200 {version}"), "{answer:?}");
    }
    // 1.1 and 1.0 have been out of use for years.
    for (highest, works) in [("1.1", false), ("1.2", true)] {
        let answer = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "--max-time", "20", "--tls-max", highest])
            .args(["--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0", "--cacert"])
            .arg(files.authority())
            .arg(format!("https://localhost:{port}/openapi.json"))
            .status()
            .unwrap();
        assert_eq!(answer.success(), works, "TLS {highest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_connections_and_the_old_ones_go_on() {
    let authority = Authority::new();
    let files = Files::new(&authority, 1);
    let service = start(&files).await;
    let mut old = Connection::open(&service.address, &authority, None).unwrap();
    assert_eq!((old.serial(), old.get()), (1, Ok(200)));

    files.write(&authority, 2);
    wait_for(&service, &authority, 2).await;
    assert_eq!((old.serial(), old.get()), (1, Ok(200)));

    files.write(&authority, 3);
    service.signal("-HUP");
    wait_for(&service, &authority, 3).await;
    assert_eq!(old.get(), Ok(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_fit_its_key_is_refused_and_the_former_one_stays() {
    let authority = Authority::new();
    let files = Files::new(&authority, 1);
    let service = start(&files).await;
    files.write_certificate_only(&authority, 2);
    wait_for_log(&service, "is not the private key of the certificate").await;
    assert!(
        service
            .metrics()
            .await
            .contains("kundeforhold_file_refused{file=\"tls\"} 1")
    );
    std::fs::remove_file(files.key()).unwrap();
    wait_for_log(&service, "server.key cannot be read").await;
    assert_eq!(
        Connection::open(&service.address, &authority, None).map(|it| it.serial()),
        Ok(1)
    );
    files.write(&authority, 4);
    wait_for(&service, &authority, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_authority_demands_certificates_and_can_change() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let files = Files::new(&authority, 1);
    files.write_client_authority(&clients);
    let service = start(&files).await;
    let open = |identity: Option<&Authority>| {
        let mut connection = Connection::open(&service.address, &authority, identity)?;
        connection.get()
    };
    assert!(open(None).is_err());
    assert!(open(Some(&others)).is_err());
    assert_eq!(open(Some(&clients)), Ok(200));

    files.write_client_authority(&others);
    let started = Instant::now();
    while open(Some(&others)) != Ok(200) {
        assert!(started.elapsed() < RELOADED_WITHIN, "{}", service.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(open(Some(&clients)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_never_finished_is_ended() {
    let authority = Authority::new();
    let files = Files::new(&authority, 1);
    let configuration = files.configuration() + "handshake_seconds = 1\n";
    let service = Service::start_with(Caching::Without, &configuration).await;
    let began = Instant::now();
    let mut silent = std::net::TcpStream::connect(&service.address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let read = std::io::Read::read(&mut silent, &mut [0; 16]);
    assert!(matches!(read, Ok(0)) || began.elapsed() < Duration::from_secs(10));
    assert!(began.elapsed() < Duration::from_secs(10), "{read:?}");
}

#[test]
fn a_start_with_unusable_files_names_the_file() {
    let authority = Authority::new();
    let files = Files::new(&authority, 1);
    let said = |files: &Files| {
        let configuration = files.directory().join("kundeforhold.toml");
        std::fs::write(&configuration, files.configuration()).unwrap();
        let mut check = program(&["check", "--config", configuration.to_str().unwrap()]);
        check.env("KUNDEFORHOLD__MASKINPORTEN__ISSUER", "https://issuer.example/");
        refused(check.output().unwrap())
    };
    // Good files are not what it stops at.
    assert!(said(&files).contains("participants_file"), "{}", said(&files));
    open_to_others(&files.key());
    assert!(said(&files).contains("server.key is open to others (mode 644)"));
    files.write_certificate_only(&authority, 2);
    std::fs::write(files.key(), "no key").unwrap();
    files.close_key();
    assert!(
        said(&files).contains("server.key is not a PEM file"),
        "{}",
        said(&files)
    );
    std::fs::remove_file(files.certificate()).unwrap();
    assert!(said(&files).contains("server.pem cannot be read"));
    std::fs::write(files.certificate(), "nothing").unwrap();
    assert!(said(&files).contains("server.pem holds no certificate"));
}

fn open_to_others(path: &std::path::Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(path, mode).unwrap();
}
