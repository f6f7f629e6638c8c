//! What a token's claims must say. Every rule stands here, judged against a `now` that comes in.
//! Read only after the signature has been found good.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::caller::{Caller, Scopes};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::noted::NotedText;

/// Longest `jti` and `client_amr` taken, in bytes: they are written to the record of use.
pub const MAX_NOTED_BYTES: usize = 256;

const ORGANIZATION_AUTHORITY: &str = "iso6523-actorid-upis";
/// ICD 0192 of ISO 6523: Enhetsregisteret.
const ORGANIZATION_PREFIX: &str = "0192:";
const SYSTEM_USER_TYPE: &str = "urn:altinn:systemuser";
/// What Maskinporten writes for `aud` when the client asked for no resource.
const UNSPECIFIED_AUDIENCE: &str = "unspecified";

/// What is demanded of every token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// The exact `iss`, with its trailing slash.
    pub issuer: String,
    /// The `aud` demanded. `None`: `aud` is ignored.
    pub audience: Option<String>,
    /// Slack for clocks that differ, in seconds.
    pub leeway_seconds: u32,
}

impl TokenRules {
    /// The slack unless set otherwise.
    pub const DEFAULT_LEEWAY_SECONDS: u32 = 10;
}

/// The claims that can be at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    Issuer,
    Expiry,
    IssuedAt,
    NotBefore,
    Audience,
    Consumer,
    Supplier,
    Scope,
    TokenId,
    ClientAmr,
    AuthorizationDetails,
}

impl Claim {
    /// The claim's name in the token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Issuer => "iss",
            Self::Expiry => "exp",
            Self::IssuedAt => "iat",
            Self::NotBefore => "nbf",
            Self::Audience => "aud",
            Self::Consumer => "consumer",
            Self::Supplier => "supplier",
            Self::Scope => "scope",
            Self::TokenId => "jti",
            Self::ClientAmr => "client_amr",
            Self::AuthorizationDetails => "authorization_details",
        }
    }
}

/// What a good token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub caller: Caller,
    pub validity: Validity,
}

/// When a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    expires_at: DateTime<Utc>,
    issued_at: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
}

impl Validity {
    fn read(claims: &Map<String, Value>) -> Result<Self, Claim> {
        Ok(Self {
            expires_at: claims.get("exp").and_then(instant).ok_or(Claim::Expiry)?,
            issued_at: claims.get("iat").and_then(instant).ok_or(Claim::IssuedAt)?,
            not_before: optional(claims, "nbf", instant).ok_or(Claim::NotBefore)?,
        })
    }

    /// Whether `now` is inside, with slack on both sides; on refusal the claim that says so.
    pub(super) fn check(&self, now: DateTime<Utc>, leeway_seconds: u32) -> Result<(), Claim> {
        let leeway = TimeDelta::seconds(i64::from(leeway_seconds));
        let (earliest, latest) = (now - leeway, now + leeway);
        if self.expires_at <= earliest {
            Err(Claim::Expiry)
        } else if self.issued_at > latest {
            Err(Claim::IssuedAt)
        } else if self.not_before.is_some_and(|not_before| not_before > latest) {
            Err(Claim::NotBefore)
        } else {
            Ok(())
        }
    }

    /// The token's `exp`, to the millisecond, without slack.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }
}

/// Every claim against the rules; on refusal the first claim at fault.
pub(super) fn check(
    claims: &Map<String, Value>,
    rules: &TokenRules,
    now: DateTime<Utc>,
) -> Result<Verified, Claim> {
    if claims.get("iss").and_then(Value::as_str) != Some(rules.issuer.as_str()) {
        return Err(Claim::Issuer);
    }
    let validity = Validity::read(claims)?;
    validity.check(now, rules.leeway_seconds)?;
    if let Some(audience) = &rules.audience
        && !is_for(claims.get("aud"), audience)
    {
        return Err(Claim::Audience);
    }
    let caller = Caller {
        consumer: claims
            .get("consumer")
            .and_then(organization)
            .ok_or(Claim::Consumer)?,
        supplier: optional(claims, "supplier", organization).ok_or(Claim::Supplier)?,
        scopes: optional(claims, "scope", scopes)
            .ok_or(Claim::Scope)?
            .unwrap_or_default(),
        token_id: optional(claims, "jti", noted).ok_or(Claim::TokenId)?,
        client_amr: optional(claims, "client_amr", noted).ok_or(Claim::ClientAmr)?,
        system_user: optional(claims, "authorization_details", system_user)
            .ok_or(Claim::AuthorizationDetails)?,
    };
    Ok(Verified { caller, validity })
}

/// `Some(None)` for a claim that is absent; `None` for one that is there and cannot be read.
fn optional<T>(claims: &Map<String, Value>, name: &str, read: fn(&Value) -> Option<T>) -> Option<Option<T>> {
    match claims.get(name) {
        None => Some(None),
        Some(value) => read(value).map(Some),
    }
}

/// A `NumericDate` of RFC 7519, fractions of a second included.
fn instant(value: &Value) -> Option<DateTime<Utc>> {
    let milliseconds = value.as_f64()? * 1000.0;
    DateTime::from_timestamp_millis(milliseconds.floor() as i64)
}

/// An `aud`, one text or a list of texts, that names the audience. `unspecified` never does.
fn is_for(claim: Option<&Value>, audience: &str) -> bool {
    let names = |value: &Value| value.as_str() == Some(audience) && audience != UNSPECIFIED_AUDIENCE;
    match claim {
        Some(Value::Array(items)) => items.iter().all(Value::is_string) && items.iter().any(names),
        Some(value) => names(value),
        None => false,
    }
}

/// `{"authority":"iso6523-actorid-upis","ID":"0192:<organisation number>"}`
fn organization(value: &Value) -> Option<OrganizationNumber> {
    is_organization(value).then_some(())?;
    organization_of(value.get("ID")?)
}

fn is_organization(value: &Value) -> bool {
    value.get("authority").and_then(Value::as_str) == Some(ORGANIZATION_AUTHORITY)
}

/// `0192:<organisation number>`
fn organization_of(id: &Value) -> Option<OrganizationNumber> {
    let number = id.as_str()?.strip_prefix(ORGANIZATION_PREFIX)?;
    // The parser trims blanks, which are for headers; in a claim there are none.
    number
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| OrganizationNumber::parse(number).ok())?
}

fn scopes(value: &Value) -> Option<Scopes> {
    value.as_str().map(Scopes::new)
}

/// A text for the record of use: bounded, and without control characters.
fn noted(value: &Value) -> Option<NotedText> {
    let text = value.as_str()?;
    (text.len() <= MAX_NOTED_BYTES && !text.contains(char::is_control)).then(|| match Uuid::try_parse(text) {
        Ok(uuid) => NotedText::of_uuid(uuid),
        Err(_) => NotedText::of(text),
    })
}

/// The organisation behind the one system user that `authorization_details` names.
fn system_user(value: &Value) -> Option<OrganizationNumber> {
    match value.as_array()?.as_slice() {
        [detail] if detail.get("type")?.as_str()? == SYSTEM_USER_TYPE => {
            let organization = detail.get("systemuser_org")?;
            is_organization(organization).then_some(())?;
            // Both spellings are about.
            organization_of(organization.get("ID").or_else(|| organization.get("id"))?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
