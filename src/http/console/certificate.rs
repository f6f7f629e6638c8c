//! Operators by client certificate.

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest common name (X.520), in characters.
const LONGEST_NAME: usize = 64;
/// A name with so many digits could be somebody's number, which the record of use must not tell.
const TOO_MANY_DIGITS: usize = 11;

/// The certificate that a connection began with. TLS verified it then, and puts it into the connection's data.
pub struct ClientCertificate {
    name: String,
    chain: Vec<CertificateDer<'static>>,
    authorities: Arc<dyn ClientCertVerifier>,
}

impl ClientCertificate {
    /// `None`: its subject has no common name that the record of use could tell.
    pub fn new(chain: &[CertificateDer<'_>], authorities: Arc<dyn ClientCertVerifier>) -> Option<Self> {
        Some(Self {
            name: common_name(chain.first()?)?,
            chain: chain.iter().cloned().map(CertificateDer::into_owned).collect(),
            authorities,
        })
    }

    /// Whose it is. `None`: it has expired, or the authorities of now would not let it in.
    pub fn operator(&self) -> Option<&str> {
        let (own, between) = self.chain.split_first()?;
        let verified = self.authorities.verify_client_cert(own, between, UnixTime::now());
        verified.ok().map(|_| self.name.as_str())
    }
}

/// The only common name of the subject.
fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.trim();
    let is_the_only_one = names.next().is_none();
    (is_the_only_one && is_name(name)).then(|| name.to_owned())
}

fn is_name(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    !text.is_empty()
        && text.chars().count() <= LONGEST_NAME
        && !text.chars().any(char::is_control)
        && digits < TOO_MANY_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_holds_nobodys_number() {
        for name in [
            "Kari Åsen",
            "kari.aasen@example.no",
            "O'Hara (drift 2)",
            "x123456",
        ] {
            assert!(is_name(name), "{name}");
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        for text in ["", "01856867389", "Kari 018568 67389", "Kari\nÅsen", &long] {
            assert!(!is_name(text), "{text}");
        }
    }
}
