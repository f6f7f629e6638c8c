//! Who may sign for clients.

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::sync::Arc;

/// Verifies the certificates of clients by the authorities in force.
#[derive(Debug)]
pub(super) struct Clients {
    authorities: ArcSwap<Arc<dyn ClientCertVerifier>>,
    /// Whether a client without a certificate is turned away.
    demanded: bool,
}

impl Clients {
    pub(super) fn new(authorities: Arc<dyn ClientCertVerifier>, demanded: bool) -> Self {
        Self {
            authorities: ArcSwap::from_pointee(authorities),
            demanded,
        }
    }

    pub(super) fn replace(&self, authorities: Arc<dyn ClientCertVerifier>) {
        self.authorities.store(Arc::new(authorities));
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.demanded
    }

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
        self.authorities
            .load()
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .load()
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .load()
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.load().supported_verify_schemes()
    }
}
