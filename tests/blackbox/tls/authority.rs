//! An authority whose certificates the test makes, files of them, and a client that looks at what it is shown.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// First byte of the serial numbers, so that they are found in a certificate.
const SERIAL: [u8; 8] = *b"\x01serial ";

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for localhost and its key, both PEM.
    fn issue(&self, serial: u64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(
            &[SERIAL.as_slice(), &serial.to_be_bytes()].concat(),
        ));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A client's certificate and its key, PEM in one. It is good until the end of that year.
    pub fn issue_to(&self, common_name: Option<&str>, until: i32) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Drift");
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        params.signed_by(&key, &self.0).unwrap().pem() + &key.serialize_pem()
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new(authority: &Authority, serial: u64) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        std::fs::write(files.authority(), authority.0.pem()).unwrap();
        files.write(authority, serial);
        files
    }

    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    pub fn authority(&self) -> PathBuf {
        self.0.path().join("authority.pem")
    }

    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("server.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.0.path().join("server.key")
    }

    /// Certificate and key, one after the other.
    pub fn write(&self, authority: &Authority, serial: u64) {
        let (certificate, key) = authority.issue(serial);
        std::fs::write(self.certificate(), certificate).unwrap();
        std::fs::write(self.key(), key).unwrap();
        self.close_key();
    }

    pub fn close_key(&self) {
        std::fs::set_permissions(self.key(), PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub fn write_certificate_only(&self, authority: &Authority, serial: u64) {
        std::fs::write(self.certificate(), authority.issue(serial).0).unwrap();
    }

    pub fn write_client_authority(&self, authority: &Authority) {
        std::fs::write(self.0.path().join("clients.pem"), authority.0.pem()).unwrap();
    }

    /// What the service is told of them, for its public port.
    pub fn configuration(&self) -> String {
        self.configuration_of("tls")
    }

    /// For the settings of this name.
    pub fn configuration_of(&self, section: &str) -> String {
        let clients = self.0.path().join("clients.pem");
        let clients = if clients.exists() {
            format!("client_ca = {clients:?}\n")
        } else {
            String::new()
        };
        format!(
            "[server.{section}]\ncertificate = {:?}\nkey = {:?}\n{clients}",
            self.certificate(),
            self.key()
        )
    }
}

/// A connection that is kept open.
#[derive(Debug)]
pub struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    /// Open and shaken hands on.
    pub fn open(address: &str, trusted: &Authority, identity: Option<&Authority>) -> Result<Self, String> {
        Self::open_for(address, trusted, identity, &[])
    }

    /// The same over HTTP/2, whose client lets no answer be sent.
    pub fn with_closed_windows(address: &str, trusted: &Authority) -> Self {
        let mut connection = Self::open_for(address, trusted, None, &[b"h2"]).unwrap();
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // SETTINGS_INITIAL_WINDOW_SIZE is 0.
        connection.send(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
        connection
    }

    /// Asks for a document on a stream of its own: an odd number, each greater than those before.
    pub fn ask(&mut self, stream: u32, path: &str) {
        let mut fields = vec![0x82, 0x87];
        for (name, value) in [(0x04, path), (0x01, "localhost")] {
            fields.extend([name, u8::try_from(value.len()).unwrap()]);
            fields.extend(value.as_bytes());
        }
        let length = u32::try_from(fields.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[1, 5], &stream.to_be_bytes()].concat();
        self.send(&[head, fields].concat());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// Reads to the end that the server makes.
    pub fn wait_for_end(&mut self) {
        let mut taken = [0; 1024];
        while self.0.read(&mut taken).is_ok_and(|count| count > 0) {}
    }

    fn open_for(
        address: &str,
        trusted: &Authority,
        identity: Option<&Authority>,
        protocols: &[&[u8]],
    ) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted.roots());
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let (certificate, key) = authority.issue(100);
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(address).map_err(|cause| cause.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        while connection.is_handshaking() {
            connection
                .complete_io(&mut stream)
                .map_err(|cause| cause.to_string())?;
        }
        Ok(Self(StreamOwned::new(connection, stream)))
    }

    /// Of the certificate that the server showed.
    pub fn serial(&self) -> u64 {
        let certificate = self.0.conn.peer_certificates().unwrap()[0].to_vec();
        let at = certificate
            .windows(SERIAL.len())
            .position(|window| window == SERIAL)
            .unwrap()
            + SERIAL.len();
        u64::from_be_bytes(certificate[at..at + 8].try_into().unwrap())
    }

    /// The status of an answer that is read to its end.
    pub fn get(&mut self) -> Result<u16, String> {
        let told = |cause: std::io::Error| cause.to_string();
        self.0
            .write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .map_err(told)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).map_err(told)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        self.0.read_exact(&mut vec![0; length]).map_err(told)?;
        head.split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or(head)
    }
}
