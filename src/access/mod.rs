//! Who calls: access tokens from Maskinporten and the keys that prove them.
//!
//! - [`token`] verifies one token: token, keys, rules and `now` in, a [`caller::Caller`] out. No I/O.
//! - [`key_set`] fetches and keeps the issuer's keys in the background.
//! - [`authenticator`] joins the two for the HTTP layer and remembers verified tokens.
//! - [`terms`] say which agency may ask what: a caller and a question in, a permit out. No I/O.
//! - [`grant`] is the other side: a client that gets itself a token.

pub mod authenticator;
pub mod caller;
pub mod claims;
#[cfg(test)]
mod fixture;
pub mod grant;
pub mod key_set;
pub mod keys;
pub mod limits;
pub mod outbound;
pub mod terms;
pub mod token;
mod unique_json;
