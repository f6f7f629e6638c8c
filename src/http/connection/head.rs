//! The heads of HTTP/1 requests, as far as the library would do with them what nobody wants.

use crate::http::error::Problem;
use crate::http::middleware::HEADERS_OF_ALL;
use actix_web::http::StatusCode;
use uuid::Uuid;

/// A first line is not longer than this, or it is not looked at.
const MOST_HEAD_BYTES: usize = 64 << 10;

/// What the library takes.
const MOST_FIELDS: usize = 96;
const TOO_MANY_FIELDS: &str = "The request has more than 96 header fields.";

/// What is told in place of the library's answers to what is no request, which have no body.
#[derive(Default)]
pub struct Refusals {
    /// What is wrong with the last head, where that can be told.
    fault: Option<&'static str>,
    told: Option<Told>,
}

struct Told {
    bytes: Vec<u8>,
    written: usize,
}

impl Refusals {
    /// Looks at bytes that were read, and makes an upgrade in a head unseen. Nothing is made longer or shorter: what the
    /// bytes are a part of stays what it is.
    pub fn look(&mut self, read: &mut [u8]) {
        if !begins_request(read) {
            return;
        }
        self.fault = None;
        let end = read.len().min(MOST_HEAD_BYTES);
        let mut lines = read[..end].split_inclusive_mut(|byte| *byte == b'\n');
        lines.next();
        for (line, number) in lines.zip(1..) {
            if number > MOST_FIELDS {
                self.fault = Some(TOO_MANY_FIELDS);
                return;
            }
            if line.trim_ascii().is_empty() {
                return;
            }
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let (name, value) = line.split_at_mut(colon);
            if name.eq_ignore_ascii_case(b"connection") {
                hide_upgrade(value);
            } else if name.eq_ignore_ascii_case(b"upgrade") {
                // Any other name is one that nobody knows.
                name[0] = b'x';
            } else if name.eq_ignore_ascii_case(b"transfer-encoding")
                && !value[1..].trim_ascii().eq_ignore_ascii_case(b"chunked")
            {
                self.fault = Some("Transfer-Encoding must be chunked or absent.");
            }
        }
    }

    /// What is to be written in place of these bytes, if they are such an answer.
    pub fn instead_of(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        if self.told.is_none() {
            let status = match bare_refusal(bytes)? {
                StatusCode::BAD_REQUEST if self.fault == Some(TOO_MANY_FIELDS) => {
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
                }
                status => status,
            };
            self.told = Some(Told {
                bytes: told(status, self.fault),
                written: 0,
            });
        }
        self.told.as_ref().map(|told| &told.bytes[told.written..])
    }

    /// Whether all of it is written.
    pub fn written(&mut self, count: usize) -> bool {
        let Some(told) = &mut self.told else { return true };
        told.written += count;
        told.written == told.bytes.len()
    }

    pub fn is_under_way(&self) -> bool {
        self.told
            .as_ref()
            .is_some_and(|told| told.written < told.bytes.len())
    }
}

/// Methods are capitals, and the first line ends with the version.
fn begins_request(bytes: &[u8]) -> bool {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(0);
    let line = bytes[..end].trim_ascii_end();
    line.first().is_some_and(u8::is_ascii_uppercase)
        && line[..line.len().saturating_sub(1)].ends_with(b" HTTP/1.")
}

fn hide_upgrade(value: &mut [u8]) {
    const UPGRADE: &[u8] = b"upgrade";
    for at in 0..value.len().saturating_sub(UPGRADE.len() - 1) {
        if value[at..at + UPGRADE.len()].eq_ignore_ascii_case(UPGRADE) {
            value[at] = b'x';
        }
    }
}

/// The status of an answer of the library's own: none of ours is without a body.
fn bare_refusal(bytes: &[u8]) -> Option<StatusCode> {
    let of = |code: &[u8]| {
        Some(match code {
            b"400" => StatusCode::BAD_REQUEST,
            b"408" => StatusCode::REQUEST_TIMEOUT,
            b"431" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => return None,
        })
    };
    let code = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = of(code)?;
    let is_bare = memchr::memmem::find(bytes, b"\r\ncontent-length: 0\r\n").is_some();
    is_bare.then_some(status)
}

/// Counted, and told in one line.
fn told(status: StatusCode, fault: Option<&'static str>) -> Vec<u8> {
    let correlation = Uuid::new_v4();
    let code = status.as_str();
    tracing::info!(%correlation, status = status.as_u16(), reason = fault.unwrap_or(""), "no request");
    metrics::counter!("kundeforhold_requests_total", "endpoint" => "none", "status" => code.to_owned(), "consumer" => "")
        .increment(1);
    let body = Problem::no_request(status, fault).body(correlation, false);
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         correlationid: {correlation}\r\n",
        body.len()
    );
    for (name, value) in &HEADERS_OF_ALL {
        head += &format!("{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_not_seen_and_all_else_stays() {
        let mut refusals = Refusals::default();
        let sent = "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nX: Upgrade\r\n\r\nUpgrade: body";
        let seen = "GET / HTTP/1.1\r\nConnection: xpgrade, HTTP2-Settings\r\nxpgrade: h2c\r\nX: Upgrade\r\n\r\nUpgrade: body";
        let mut read = sent.as_bytes().to_vec();
        refusals.look(&mut read);
        assert_eq!(String::from_utf8(read).unwrap(), seen);
        for body in ["{\"a\":1}\nUpgrade: h2c\n", "", "\n", "GET\nUpgrade: h2c"] {
            let mut read = body.as_bytes().to_vec();
            refusals.look(&mut read);
            assert_eq!(read, body.as_bytes());
        }
    }

    #[test]
    fn only_bare_refusals_are_told_otherwise() {
        let mut refusals = Refusals::default();
        let ours = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\n";
        assert!(refusals.instead_of(ours).is_none());
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let told = String::from_utf8(refusals.instead_of(bare).unwrap().to_vec()).unwrap();
        assert!(
            told.starts_with("HTTP/1.1 400 Bad Request\r\n") && told.contains("ERR-005"),
            "{told}"
        );
        assert!(!refusals.written(10) && refusals.is_under_way());
        assert!(refusals.written(told.len() - 10));
    }
}
