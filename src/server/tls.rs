//! TLS on the public port: the certificate and the clients' authorities, put in force again without a restart.

use crate::config::{ConfigError, TlsSettings};
use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Why certificate, key or authorities cannot be used. Names the file, never what a key holds.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} cannot be read: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{path} is open to others (mode {mode:o}); `chmod 600 {path}`")]
    Permissions { path: String, mode: u32 },
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
struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// The certificate in force and who may sign for clients. Connections that are open keep what they began with.
pub(super) struct Tls {
    files: TlsFiles,
    pub(super) handshake_timeout: Duration,
    certificate: Arc<Certificate>,
    clients: Option<Arc<Clients>>,
}

impl Tls {
    /// `None`: plain HTTP. Certificate and key come together.
    pub(super) fn open(settings: &TlsSettings) -> Result<Option<Self>, TlsSettingsError> {
        let files = match (&settings.certificate, &settings.key, &settings.client_ca) {
            (None, None, None) => return Ok(None),
            (None, _, _) => return Err(ConfigError::Missing("server.tls.certificate").into()),
            (_, None, _) => return Err(ConfigError::Missing("server.tls.key").into()),
            (Some(certificate), Some(key), client_ca) => TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: client_ca.clone(),
            },
        };
        let clients = files.client_verifier()?;
        Ok(Some(Self {
            handshake_timeout: Duration::from_secs(settings.handshake_seconds.max(1)),
            certificate: Arc::new(Certificate(ArcSwap::new(files.certified_key()?))),
            clients: clients.map(|verifier| Arc::new(Clients(ArcSwap::from_pointee(verifier)))),
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
        [certificate, key].into_iter().chain(client_ca).cloned().collect()
    }

    /// Puts the files in force for new connections, all of them or none.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let certificate = self.files.certified_key()?;
        let verifier = self.files.client_verifier()?;
        if let (Some(clients), Some(verifier)) = (&self.clients, verifier) {
            clients.0.store(Arc::new(verifier));
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
}

/// Whether the service could start with these settings; for `kundeforhold check`.
pub fn check(settings: &TlsSettings) -> Result<bool, TlsSettingsError> {
    Ok(Tls::open(settings)?.is_some())
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
        check_private(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|cause| TlsError::NotPem {
            path: shown(&self.key),
            what: "a private key",
            cause,
        })?;
        let mismatch = |_| TlsError::Mismatch {
            path: shown(&self.key),
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

/// Verifies the certificates of clients by the authorities in force.
#[derive(Debug)]
struct Clients(ArcSwap<Arc<dyn ClientCertVerifier>>);

impl ClientCertVerifier for Clients {
    /// None: what is borrowed here could not change. Clients then choose by themselves.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.load().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.0
            .load()
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.0
            .load()
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
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

fn check_private(path: &Path) -> Result<(), TlsError> {
    let metadata = std::fs::metadata(path).map_err(|cause| TlsError::Unreadable {
        path: shown(path),
        cause,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TlsError::Permissions {
            path: shown(path),
            mode,
        });
    }
    Ok(())
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, TlsError> {
    let content = std::fs::read(path).map_err(|cause| TlsError::Unreadable {
        path: shown(path),
        cause,
    })?;
    Ok(zeroize::Zeroizing::new(content))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
