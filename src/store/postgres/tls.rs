//! How far a server of PostgreSQL is believed.

use super::PostgresOptions;
use crate::store::StoreError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{self, CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use secrecy::ExposeSecret;
use std::sync::Arc;

/// Which name the server's certificate has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerName {
    /// That of the host that was asked for (`sslmode=verify-full`).
    Its,
    /// Whichever, where the authority vouches for this server only, as with Cloud SQL (`sslmode=verify-ca`).
    Any,
}

/// What a connection is encrypted and the server verified by.
pub(super) fn tls_config(options: &PostgresOptions, name: ServerName) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    match &options.ca_certificate {
        Some(pem) => {
            for certificate in certificates(pem, "store.tls_ca_file")? {
                let added = roots.add(certificate);
                added.map_err(|cause| StoreError::Settings(format!("store.tls_ca_file: {cause}")))?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = |cause: &dyn std::fmt::Display| StoreError::Settings(cause.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|cause| settings(&cause))?;
    let builder = match (name, &options.ca_certificate) {
        (ServerName::Its, _) => builder.with_root_certificates(roots),
        (ServerName::Any, Some(_)) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
            let verifier = AnyName(verifier.map_err(|cause| settings(&cause))?);
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
        // Of public authorities' certificates, anybody has some.
        (ServerName::Any, None) => {
            return Err(settings(
                &"store.url: sslmode=verify-ca wants store.tls_ca_file, an authority that vouches for this server only",
            ));
        }
    };
    match &options.client_certificate {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates(certificate, "store.tls_certificate")?;
            let refused = |cause: String| StoreError::Settings(format!("store.tls_key: {cause}"));
            let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
            let key = key.map_err(|cause| refused(cause.to_string()))?;
            let with_key = builder.with_client_auth_cert(chain, key);
            with_key.map_err(|cause| refused(cause.to_string()))
        }
    }
}

fn certificates(pem: &[u8], key: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let refused = |cause: String| StoreError::Settings(format!("{key}: {cause}"));
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found.map_err(|cause| refused(cause.to_string()))? {
        found if found.is_empty() => Err(refused("holds no certificate".to_owned())),
        found => Ok(found),
    }
}

/// Believes whom the authorities vouch for, whatever its name is.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &pki_types::ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .0
            .verify_server_cert(certificate, intermediates, name, ocsp_response, now);
        match verified {
            // The name is looked at last: all else holds.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
