//! What a token of the stand-in says, in Maskinporten's words.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Client;
use crate::domain::identifiers::OrganizationNumber;

/// What one token grants.
pub(super) struct Grant<'a> {
    client: &'a Client,
    consumer: OrganizationNumber,
    supplier: Option<OrganizationNumber>,
    scope: String,
    audience: Option<String>,
}

impl<'a> Grant<'a> {
    /// All the client has.
    pub fn to(client: &'a Client) -> Self {
        Self {
            client,
            consumer: client.consumer,
            supplier: client.supplier,
            scope: client.scopes.join(" "),
            audience: None,
        }
    }

    /// These scopes only. `None` when the client does not have one of them, or none is named.
    pub fn narrowed_to(self, scope: &str) -> Option<Self> {
        let mut words = scope.split_ascii_whitespace().peekable();
        words.peek()?;
        let granted = words.all(|word| self.client.scopes.iter().any(|held| held == word));
        granted.then(|| Self {
            scope: scope.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
            ..self
        })
    }

    /// For another organisation that has delegated to the client's: the client becomes the supplier.
    pub fn on_behalf_of(self, consumer: OrganizationNumber) -> Self {
        Self {
            supplier: Some(self.client.consumer),
            consumer,
            ..self
        }
    }

    /// For one audience; Maskinporten takes it from `resource`.
    pub fn for_audience(self, audience: Option<String>) -> Self {
        Self { audience, ..self }
    }

    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The claims of a token issued at `iat`, in seconds since 1970.
    pub fn claims(&self, issuer: &str, iat: i64, lifetime_seconds: i64) -> Value {
        let mut claims = json!({
            "iss": issuer,
            "iat": iat,
            "exp": iat.saturating_add(lifetime_seconds),
            "jti": Uuid::new_v4(),
            "client_id": self.client.client_id,
            "client_amr": "private_key_jwt",
            "token_type": "Bearer",
            "scope": self.scope,
            "consumer": organization(self.consumer),
        });
        if let Some(audience) = &self.audience {
            claims["aud"] = json!(audience);
        }
        if let Some(supplier) = self.supplier {
            claims["supplier"] = organization(supplier);
            claims["delegation_source"] = json!(issuer);
        }
        if let Some(owner) = self.client.system_user {
            claims["authorization_details"] = json!([{
                "type": "urn:altinn:systemuser",
                "systemuser_org": organization(owner),
                "systemuser_id": [Uuid::new_v4()],
                "system_id": "sandbox",
            }]);
        }
        claims
    }
}

fn organization(number: OrganizationNumber) -> Value {
    json!({"authority": "iso6523-actorid-upis", "ID": format!("0192:{number}")})
}
