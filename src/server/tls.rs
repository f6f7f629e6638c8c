//! TLS on the ports: the certificate and the clients' authorities, put in force again without a restart.

mod clients;

use crate::config::{ConfigError, ServerSettings, TlsSettings};
use crate::http::console::ClientCertificate;
use crate::secrets::{self, SecretFileError};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::rt::net::TcpStream;
use arc_swap::ArcSwap;
use clients::Clients;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use secrecy::{ExposeSecret, SecretString};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Why certificate, key or authorities cannot be used. Names the file, never what a key holds.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} cannot be read: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error(transparent)]
    Key(#[from] SecretFileError),
    #[error("{path} is not a PEM file of {what}: {cause}")]
    NotPem {
        path: String,
        what: &'static str,
        cause: rustls::pki_types::pem::Error,
    },
    #[error("{path} holds no certificate")]
    Empty { path: String },
    #[error(
        "{path} is not the private key of the certificate in {certificate}, or of a kind that is not known"
    )]
    Mismatch { path: String, certificate: String },
    #[error("{path} holds no authority that can sign for clients: {cause}")]
    Authorities { path: String, cause: String },
    #[error("TLS cannot be set up: {0}")]
    Protocol(#[from] rustls::Error),
}

/// Where the certificate, its key and the clients' authorities are.
#[derive(Clone)]
struct TlsFiles {
    certificate: PathBuf,
    key: KeySource,
    client_ca: Option<PathBuf>,
}

/// Where the certificate's key is.
#[derive(Clone)]
enum KeySource {
    File(PathBuf),
    /// From the environment, say.
    Given(SecretString),
}

impl KeySource {
    fn of(settings: &TlsSettings) -> Option<Self> {
        let given = settings.key_pem.clone().map(Self::Given);
        given.or_else(|| settings.key.clone().map(Self::File))
    }

    fn read(&self) -> Result<Zeroizing<String>, SecretFileError> {
        match self {
            Self::File(path) => secrets::read(path),
            Self::Given(key) => Ok(Zeroizing::new(key.expose_secret().to_owned())),
        }
    }

    fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Given(_) => None,
        }
    }

    fn shown(&self) -> String {
        self.path()
            .map_or_else(|| "the key in key_pem".to_owned(), |path| shown(path))
    }
}

/// Which port. On the public one, where clients have an authority, they must have a certificate. On the management port
/// they may, since probes and scrapers have none; the console asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Public,
    Management,
}

impl Port {
    fn settings(self, server: &ServerSettings) -> &TlsSettings {
        match self {
            Self::Public => &server.tls,
            Self::Management => &server.management_tls,
        }
    }

    fn missing(self, what: TlsFile) -> ConfigError {
        ConfigError::Missing(match (self, what) {
            (Self::Public, TlsFile::Certificate) => "server.tls.certificate",
            (Self::Public, TlsFile::Key) => "server.tls.key",
            (Self::Management, TlsFile::Certificate) => "server.management_tls.certificate",
            (Self::Management, TlsFile::Key) => "server.management_tls.key",
        })
    }
}

enum TlsFile {
    Certificate,
    Key,
}

/// The certificate in force and who may sign for clients. Connections that are open keep what they began with.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) port: Port,
    files: TlsFiles,
    pub(super) handshake_timeout: Duration,
    certificate: Arc<Certificate>,
    clients: Option<Arc<Clients>>,
}

impl Tls {
    /// `None`: plain HTTP. Certificate and key come together.
    pub(super) fn open(port: Port, server: &ServerSettings) -> Result<Option<Self>, TlsSettingsError> {
        let settings = port.settings(server);
        let files = match (
            &settings.certificate,
            KeySource::of(settings),
            &settings.client_ca,
        ) {
            (None, None, None) => return Ok(None),
            (None, _, _) => return Err(port.missing(TlsFile::Certificate).into()),
            (_, None, _) => return Err(port.missing(TlsFile::Key).into()),
            (Some(certificate), Some(key), client_ca) => TlsFiles {
                certificate: certificate.clone(),
                key,
                client_ca: client_ca.clone(),
            },
        };
        let clients = files.client_verifier()?;
        Ok(Some(Self {
            port,
            handshake_timeout: Duration::from_secs(settings.handshake_seconds),
            certificate: Arc::new(Certificate(ArcSwap::new(files.certified_key()?))),
            clients: clients.map(|verifier| Arc::new(Clients::new(verifier, port == Port::Public))),
            files,
        }))
    }

    /// What decides whether the files have to be read again.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let TlsFiles {
            certificate,
            key,
            client_ca,
        } = &self.files;
        let paths = [certificate].into_iter().chain(key.path());
        paths.chain(client_ca).cloned().collect()
    }

    /// Puts the files in force for new connections, all of them or none.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let certificate = self.files.certified_key()?;
        let verifier = self.files.client_verifier()?;
        if let (Some(clients), Some(verifier)) = (&self.clients, verifier) {
            clients.replace(verifier);
        }
        self.certificate.0.store(certificate);
        Ok(())
    }

    /// TLS 1.2 and 1.3 are all that rustls has.
    pub(super) fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?;
        let resolver = Arc::clone(&self.certificate);
        let Some(clients) = &self.clients else {
            return Ok(builder.with_no_client_auth().with_cert_resolver(resolver));
        };
        let clients = Arc::clone(clients);
        let mut config = builder
            .with_client_cert_verifier(clients)
            .with_cert_resolver(resolver);
        // A session that is taken up again is not verified again: authorities that went would still let clients in.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// What a connection showed and was let in with, if its client has a certificate.
    pub(super) fn client_certificate(&self, connection: &dyn Any) -> Option<ClientCertificate> {
        let stream = connection.downcast_ref::<TlsStream<TcpStream>>()?;
        let chain = stream.get_ref().1.peer_certificates()?;
        let authorities = Arc::clone(self.clients.as_ref()?);
        ClientCertificate::new(chain, authorities)
    }
}

/// Whether the service could start with these settings; for `kundeforhold check`.
pub fn check(port: Port, server: &ServerSettings) -> Result<bool, TlsSettingsError> {
    Ok(Tls::open(port, server)?.is_some())
}

/// Why TLS as set cannot be started with.
#[derive(Debug, thiserror::Error)]
pub enum TlsSettingsError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Files(#[from] TlsError),
}

impl TlsFiles {
    fn certified_key(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = certificates(&self.certificate)?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key.read()?.as_bytes()).map_err(|cause| TlsError::NotPem {
                path: self.key.shown(),
                what: "a private key",
                cause,
            })?;
        let mismatch = |_| TlsError::Mismatch {
            path: self.key.shown(),
            certificate: shown(&self.certificate),
        };
        let certified =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(mismatch)?;
        Ok(Arc::new(certified))
    }

    fn client_verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let Some(path) = &self.client_ca else {
            return Ok(None);
        };
        let unusable = |cause: String| TlsError::Authorities {
            path: shown(path),
            cause,
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|cause| unusable(cause.to_string()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Some(verifier.map_err(|cause| unusable(cause.to_string()))?))
    }
}

/// The certificate of new connections.
#[derive(Debug)]
struct Certificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    let found = found.map_err(|cause| TlsError::NotPem {
        path: shown(path),
        what: "certificates",
        cause,
    })?;
    if found.is_empty() {
        return Err(TlsError::Empty { path: shown(path) });
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Unreadable {
        path: shown(path),
        cause,
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
