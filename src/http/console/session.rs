//! Sessions of operators: a cookie that only this process can make, and the token of its forms.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use std::collections::HashMap;
use std::fmt::{Display, Formatter, Write};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// After this an operator signs in again.
pub const LIFETIME_SECONDS: i64 = 8 * 3600;
const ID_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;
/// What a cookie says of an identity's kind.
const LOCAL: u8 = 0;
const NAMED: u8 = 1;
const CERTIFIED: u8 = 2;

/// Who an operator is, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Whoever is on this machine.
    Local,
    /// Who signed in with the token, under the name that they gave: letters, no digits.
    Named(String),
    /// Whose client certificate has this common name.
    Certified(String),
}

/// As pages and the record of use tell it. No name that is given can look like a certificate's.
impl Display for Identity {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => formatter.write_str("local operator"),
            Self::Named(name) => formatter.write_str(name),
            Self::Certified(name) => write!(formatter, "CN={name}"),
        }
    }
}

/// Who uses the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    id: [u8; ID_BYTES],
    /// Seconds since 1970.
    expires: i64,
    identity: Identity,
}

impl Session {
    /// As the record of use names the operator: by name and session.
    pub fn actor(&self) -> String {
        let mut session = String::new();
        for byte in &self.id[..4] {
            let _ = write!(session, "{byte:02x}");
        }
        format!("{} ({session})", self.identity)
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Makes and knows the sessions of this process. It keeps none that goes on: a session's cookie carries it, under a MAC.
pub struct Sessions {
    key: hmac::Key,
    /// Those that were signed out of, until they would have expired.
    ended: Mutex<HashMap<[u8; ID_BYTES], i64>>,
}

impl Sessions {
    pub fn new() -> Self {
        // Their bits are the system's random ones, all but twelve.
        let secret = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_flattened()),
            ended: Mutex::default(),
        }
    }

    /// Ends a session: its cookie opens nothing any more.
    pub fn end(&self, session: &Session) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Utc::now().timestamp();
        ended.retain(|_, expires| *expires > now);
        ended.insert(session.id, session.expires);
    }

    fn has_ended(&self, session: &Session) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.contains_key(&session.id)
    }

    pub fn begin(&self, identity: Identity) -> Session {
        Session {
            id: Uuid::new_v4().into_bytes(),
            expires: Utc::now().timestamp() + LIFETIME_SECONDS,
            identity,
        }
    }

    /// The value of the session's cookie.
    pub fn cookie(&self, session: &Session) -> String {
        let (kind, name) = match &session.identity {
            Identity::Local => (LOCAL, ""),
            Identity::Named(name) => (NAMED, name.as_str()),
            Identity::Certified(name) => (CERTIFIED, name.as_str()),
        };
        let carried = [
            session.id.as_slice(),
            &session.expires.to_be_bytes(),
            &[kind],
            name.as_bytes(),
        ]
        .concat();
        let mac = hmac::sign(&self.key, &labelled("session", &carried));
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(carried),
            URL_SAFE_NO_PAD.encode(mac)
        )
    }

    /// The session of a cookie, if this process made it and it has not expired.
    pub fn read(&self, cookie: &str) -> Option<Session> {
        let (carried, mac) = cookie.split_once('.')?;
        let carried = URL_SAFE_NO_PAD.decode(carried).ok()?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.key, &labelled("session", &carried), &mac).ok()?;
        let (id, rest) = carried.split_first_chunk::<ID_BYTES>()?;
        let (expires, rest) = rest.split_first_chunk::<EXPIRY_BYTES>()?;
        let (kind, name) = rest.split_first()?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        let session = Session {
            id: *id,
            expires: i64::from_be_bytes(*expires),
            identity: match *kind {
                LOCAL => Identity::Local,
                NAMED => Identity::Named(name),
                CERTIFIED => Identity::Certified(name),
                _ => return None,
            },
        };
        (session.expires > Utc::now().timestamp() && !self.has_ended(&session)).then_some(session)
    }

    /// What a form of the session carries to show that it is one of ours.
    pub fn form_token(&self, session: &Session) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, &labelled("form", &session.id)))
    }

    /// Compared in constant time.
    pub fn is_form_token(&self, session: &Session, token: &str) -> bool {
        let Ok(mac) = URL_SAFE_NO_PAD.decode(token) else {
            return false;
        };
        hmac::verify(&self.key, &labelled("form", &session.id), &mac).is_ok()
    }
}

fn labelled(label: &str, bytes: &[u8]) -> Vec<u8> {
    [label.as_bytes(), &[0], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Identity {
        Identity::Named(name.to_owned())
    }

    #[test]
    fn a_session_is_read_back_by_its_own_process_only() {
        let (sessions, others) = (Sessions::new(), Sessions::new());
        let session = sessions.begin(named("Kari Åsen"));
        let cookie = sessions.cookie(&session);
        assert_eq!(sessions.read(&cookie), Some(session.clone()));
        assert_eq!(others.read(&cookie), None);
        let forged = cookie.replacen(char::is_alphanumeric, "_", 1);
        assert_eq!(sessions.read(&forged), None);
        assert!(session.actor().starts_with("Kari Åsen ("));
        let certified = sessions.begin(Identity::Certified("Kari Åsen".to_owned()));
        assert_eq!(
            sessions.read(&sessions.cookie(&certified)),
            Some(certified.clone())
        );
        assert!(certified.actor().starts_with("CN=Kari Åsen ("));
    }

    #[test]
    fn a_session_ends() {
        let sessions = Sessions::new();
        let mut session = sessions.begin(named("Kari"));
        session.expires -= LIFETIME_SECONDS;
        assert_eq!(sessions.read(&sessions.cookie(&session)), None);
        let (one, other) = (sessions.begin(named("Kari")), sessions.begin(named("Kari")));
        sessions.end(&one);
        assert_eq!(sessions.read(&sessions.cookie(&one)), None);
        assert_eq!(sessions.read(&sessions.cookie(&other)), Some(other.clone()));
    }

    #[test]
    fn the_token_of_a_form_is_of_one_session() {
        let sessions = Sessions::new();
        let (one, other) = (sessions.begin(named("Kari")), sessions.begin(named("Kari")));
        let token = sessions.form_token(&one);
        assert!(sessions.is_form_token(&one, &token));
        assert!(!sessions.is_form_token(&other, &token));
        assert!(!sessions.is_form_token(&one, ""));
    }
}
