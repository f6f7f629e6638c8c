//! Sessions of operators: a cookie that only this process can make, and the token of its forms.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use std::fmt::Write;
use uuid::Uuid;

/// After this an operator signs in again.
pub const LIFETIME_SECONDS: i64 = 8 * 3600;
const ID_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;

/// Who uses the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    id: [u8; ID_BYTES],
    /// Seconds since 1970.
    expires: i64,
    operator: String,
}

impl Session {
    /// As the record of use names the operator: by name and session.
    pub fn actor(&self) -> String {
        let mut session = String::new();
        for byte in &self.id[..4] {
            let _ = write!(session, "{byte:02x}");
        }
        format!("{} ({session})", self.operator)
    }

    pub fn operator(&self) -> &str {
        &self.operator
    }
}

/// Makes and knows the sessions of this process. It keeps none: a session's cookie carries it, under a MAC.
pub struct Sessions(hmac::Key);

impl Sessions {
    pub fn new() -> Self {
        // Their bits are the system's random ones, all but twelve.
        let secret = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_flattened()))
    }

    pub fn begin(&self, operator: &str) -> Session {
        Session {
            id: Uuid::new_v4().into_bytes(),
            expires: Utc::now().timestamp() + LIFETIME_SECONDS,
            operator: operator.to_owned(),
        }
    }

    /// The value of the session's cookie.
    pub fn cookie(&self, session: &Session) -> String {
        let carried = [
            session.id.as_slice(),
            &session.expires.to_be_bytes(),
            session.operator.as_bytes(),
        ]
        .concat();
        let mac = hmac::sign(&self.0, &labelled("session", &carried));
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
        hmac::verify(&self.0, &labelled("session", &carried), &mac).ok()?;
        let (id, rest) = carried.split_first_chunk::<ID_BYTES>()?;
        let (expires, operator) = rest.split_first_chunk::<EXPIRY_BYTES>()?;
        let session = Session {
            id: *id,
            expires: i64::from_be_bytes(*expires),
            operator: String::from_utf8(operator.to_vec()).ok()?,
        };
        (session.expires > Utc::now().timestamp()).then_some(session)
    }

    /// What a form of the session carries to show that it is one of ours.
    pub fn form_token(&self, session: &Session) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &labelled("form", &session.id)))
    }

    /// Compared in constant time.
    pub fn is_form_token(&self, session: &Session, token: &str) -> bool {
        let Ok(mac) = URL_SAFE_NO_PAD.decode(token) else {
            return false;
        };
        hmac::verify(&self.0, &labelled("form", &session.id), &mac).is_ok()
    }
}

fn labelled(label: &str, bytes: &[u8]) -> Vec<u8> {
    [label.as_bytes(), &[0], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_back_by_its_own_process_only() {
        let (sessions, others) = (Sessions::new(), Sessions::new());
        let session = sessions.begin("Kari Åsen");
        let cookie = sessions.cookie(&session);
        assert_eq!(sessions.read(&cookie), Some(session.clone()));
        assert_eq!(others.read(&cookie), None);
        let forged = cookie.replacen(char::is_alphanumeric, "_", 1);
        assert_eq!(sessions.read(&forged), None);
        assert!(session.actor().starts_with("Kari Åsen ("));
    }

    #[test]
    fn a_session_ends() {
        let sessions = Sessions::new();
        let mut session = sessions.begin("Kari");
        session.expires -= LIFETIME_SECONDS;
        assert_eq!(sessions.read(&sessions.cookie(&session)), None);
    }

    #[test]
    fn the_token_of_a_form_is_of_one_session() {
        let sessions = Sessions::new();
        let (one, other) = (sessions.begin("Kari"), sessions.begin("Kari"));
        let token = sessions.form_token(&one);
        assert!(sessions.is_form_token(&one, &token));
        assert!(!sessions.is_form_token(&other, &token));
        assert!(!sessions.is_form_token(&one, ""));
    }
}
