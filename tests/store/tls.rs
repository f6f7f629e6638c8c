//! A PostgreSQL is believed by its certificate only.

use crate::deliveries::now;
use crate::place::ring;
use crate::postgres::Server;
use kundeforhold::store::{PostgresOptions, Store, StoreError, StorePlace};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Files for a server of that name.
fn issue(authority: &Authority, name: &str, directory: &Path) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(directory.join("server.crt"), certificate.pem()).unwrap();
    std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
}

fn look(server: &Server, mode: &str, trusted: &Authority) -> Result<(), StoreError> {
    let url = server.url.replace("DATABASE", "postgres");
    let options = PostgresOptions {
        url: url.replace("sslmode=disable", mode).into(),
        password: None,
        ca_certificate: Some(trusted.pem().into_bytes()),
        client_certificate: None,
        connections: 4,
        migrates: true,
    };
    now(Store::look(&StorePlace::Postgres(options), &ring(1, None))).map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_by_its_certificate_only() {
    let (own, other) = (authority(), authority());
    for (name, by_name) in [("127.0.0.1", true), ("elsewhere.example", false)] {
        let directory = tempfile::tempdir().unwrap();
        issue(&own, name, directory.path());
        let server = Server::start_with(&[&format!("--tls={}", directory.path().display())]);
        let full = look(&server, "sslmode=verify-full", &own);
        assert_eq!(full.is_ok(), by_name, "{name}: {full:?}");
        assert_eq!(look(&server, "sslmode=verify-ca", &own), Ok(()), "{name}");
        for mode in ["sslmode=verify-full", "sslmode=verify-ca"] {
            let strange = look(&server, mode, &other);
            assert!(
                matches!(strange, Err(StoreError::Unavailable(_))),
                "{name} {mode}: {strange:?}"
            );
        }
    }
}
