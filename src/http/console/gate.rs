//! Who may use the console.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failed attempts to sign in, from one address within [`ATTEMPTS_FOR`].
const MOST_ATTEMPTS: u32 = 5;
const ATTEMPTS_FOR: Duration = Duration::from_secs(60);
/// Addresses that are remembered for their failures.
const MOST_ADDRESSES: usize = 1024;

/// How operators show that they are operators.
pub enum Gate {
    /// The port is on loopback, and no token is set: whoever is on this machine.
    Loopback,
    /// They sign in with the token.
    Token(OperatorToken),
    /// The connection carries a certificate: see [`super::ClientCertificate`]. Without one, the token serves if it is set.
    Certificate { otherwise: Option<OperatorToken> },
    /// The port is not on loopback, and nothing is set: nobody.
    Closed,
}

impl Gate {
    /// By the settings, and where the port listens.
    pub fn new(listen: SocketAddr, token: Option<SecretString>, client_certificate: bool) -> Self {
        let token = token.map(|token| OperatorToken::of(token.expose_secret()));
        match (client_certificate, token) {
            (true, otherwise) => Self::Certificate { otherwise },
            (false, Some(token)) => Self::Token(token),
            (false, None) if listen.ip().is_loopback() => Self::Loopback,
            (false, None) => Self::Closed,
        }
    }

    /// What operators can sign in with.
    pub fn token(&self) -> Option<&OperatorToken> {
        match self {
            Self::Token(token) => Some(token),
            Self::Certificate { otherwise } => otherwise.as_ref(),
            Self::Loopback | Self::Closed => None,
        }
    }
}

/// The hash of the operators' token.
pub struct OperatorToken([u8; 32]);

impl OperatorToken {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Compared in constant time.
    pub fn is(&self, shown: &str) -> bool {
        verify_slices_are_equal(&self.0, &Self::of(shown).0).is_ok()
    }
}

/// Failed attempts to sign in, by address.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, Failures>>);

struct Failures {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// Whether an address may try again now.
    pub fn may_try(&self, address: IpAddr) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, failures| failures.since.elapsed() < ATTEMPTS_FOR);
        let failed = all.get(&address).map_or(0, |failures| failures.count);
        failed < MOST_ATTEMPTS
    }

    pub fn failed(&self, address: IpAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_ADDRESSES && !all.contains_key(&address) {
            // However many fail, nobody else is to wait for it.
            let oldest = all
                .iter()
                .min_by_key(|(_, failures)| failures.since)
                .map(|(address, _)| *address);
            oldest.map(|oldest| all.remove(&oldest));
        }
        let failures = all.entry(address).or_insert_with(|| Failures {
            since: Instant::now(),
            count: 0,
        });
        failures.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open_without_a_token() {
        let gate = |address: &str| Gate::new(address.parse().unwrap(), None, false);
        assert!(matches!(gate("127.0.0.1:9090"), Gate::Loopback));
        assert!(matches!(gate("[::1]:9090"), Gate::Loopback));
        assert!(matches!(gate("0.0.0.0:9090"), Gate::Closed));
        assert!(matches!(gate("10.0.0.4:9090"), Gate::Closed));
        let token = || Some(SecretString::from("a token"));
        let with_token = Gate::new("127.0.0.1:1".parse().unwrap(), token(), false);
        assert!(matches!(with_token, Gate::Token(held) if held.is("a token") && !held.is("a token ")));
        let with_both = Gate::new("0.0.0.0:1".parse().unwrap(), token(), true);
        assert!(matches!(with_both, Gate::Certificate { otherwise: Some(_) }));
    }

    #[test]
    fn an_address_that_failed_too_often_waits_and_others_do_not() {
        let (attempts, address) = (Attempts::default(), IpAddr::from([127, 0, 0, 1]));
        for _ in 0..MOST_ATTEMPTS {
            assert!(attempts.may_try(address));
            attempts.failed(address);
        }
        assert!(!attempts.may_try(address));
        assert!(attempts.may_try(IpAddr::from([127, 0, 0, 2])));
        for number in 0..2 * MOST_ADDRESSES as u32 {
            attempts.failed(IpAddr::from(number.to_be_bytes()));
        }
        assert!(
            attempts.may_try(IpAddr::from([127, 0, 0, 2])),
            "others fail as they like"
        );
        assert!(attempts.0.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}
