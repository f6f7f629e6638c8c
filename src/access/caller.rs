//! The caller behind a verified token: which organisation, with which scopes.

use super::terms::LookupEndpoint;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::noted::NotedText;

/// One scope, a single word such as `bits:kundeforhold`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(String);

/// A text that is not one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one word of printable ASCII without blanks, quotes or backslashes")]
pub struct InvalidScope;

impl Scope {
    /// Parses one `scope-token` of RFC 6749, section 3.3.
    ///
    /// # Errors
    /// When the text is empty or holds a blank or another character outside that rule.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        match !text.is_empty() && text.bytes().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidScope),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The scopes of a token: words separated by blanks, as in the `scope` claim. May be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(String);

impl Scopes {
    /// Takes the text of a `scope` claim.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether any one of `wanted` is among the words. Whole words only: `bits:kundeforhold.konto` does
    /// not hold `bits:kundeforhold`.
    pub fn has_any(&self, wanted: &[Scope]) -> bool {
        self.0
            .split(' ')
            .any(|word| wanted.iter().any(|scope| scope.0 == word))
    }
}

/// The scopes that open each kind of operation; any one of a list is enough (`access.scopes`).
#[derive(Debug, Clone)]
pub struct RequiredScopes {
    /// Lists of participants and services too.
    pub customer_relationships: Vec<Scope>,
    pub account_servicing_provider: Vec<Scope>,
    pub write: Vec<Scope>,
}

impl RequiredScopes {
    /// The general scopes of a lookup; a service may have one of its own instead.
    pub fn of(&self, endpoint: LookupEndpoint) -> &[Scope] {
        match endpoint {
            LookupEndpoint::CustomerRelationships => &self.customer_relationships,
            LookupEndpoint::AccountServicingProvider => &self.account_servicing_provider,
        }
    }
}

/// Who calls, as a verified token says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The organisation on whose behalf the call is made.
    pub consumer: OrganizationNumber,
    /// The organisation that calls for the consumer, when the consumer delegated to it.
    pub supplier: Option<OrganizationNumber>,
    pub scopes: Scopes,
    /// `jti`, at most [`MAX_NOTED_BYTES`](super::claims::MAX_NOTED_BYTES) bytes.
    pub token_id: Option<NotedText>,
    /// `client_amr`, with the same bound.
    pub client_amr: Option<NotedText>,
    /// The organisation that owns the system user, in a system-user token. Lookups refuse such tokens;
    /// on deliveries this is the bank.
    pub system_user: Option<OrganizationNumber>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_compared_as_whole_words() {
        let wanted = [Scope::parse("bits:kundeforhold").unwrap()];
        for text in [
            "bits:kundeforhold",
            "a bits:kundeforhold",
            "bits:kundeforhold b",
            "a  bits:kundeforhold b",
        ] {
            assert!(Scopes::new(text).has_any(&wanted), "{text}");
        }
        for text in [
            "",
            " ",
            "bits:kundeforhold.konto",
            "xbits:kundeforhold",
            "bits:",
            "BITS:KUNDEFORHOLD",
            "a\tbits:kundeforhold",
        ] {
            assert!(!Scopes::new(text).has_any(&wanted), "{text}");
        }
        assert!(!Scopes::new("bits:kundeforhold").has_any(&[]));
    }

    #[test]
    fn any_one_of_the_wanted_scopes_is_enough() {
        let wanted = ["bits:kundeforhold", "bits:kundeforhold.konto"].map(|text| Scope::parse(text).unwrap());
        assert!(Scopes::new("bits:kundeforhold.konto").has_any(&wanted));
    }

    #[test]
    fn a_scope_is_one_word() {
        assert_eq!(
            Scope::parse("bits:kundeforhold").unwrap().as_str(),
            "bits:kundeforhold"
        );
        for text in ["", " ", "a b", "a\"", "a\\", "å", "a\n"] {
            assert_eq!(Scope::parse(text), Err(InvalidScope), "{text:?}");
        }
    }
}
