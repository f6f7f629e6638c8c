//! The terms of the moment, shared.

use super::{LookupEndpoint, OutsideTerms, Permit, Question, Terms, Today, Wanted};
use crate::access::caller::{Caller, RequiredScopes, Scope};
use arc_swap::ArcSwap;
use chrono::NaiveDate;
use serde::Deserialize;
use std::sync::Arc;

/// What becomes of a lookup outside the terms (`access.enforcement`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// It is refused.
    Enforce,
    /// It is answered, and recorded and counted as one that would have been refused.
    Observe,
}

/// The terms in force, and what they are judged with. Clones share them.
#[derive(Clone)]
pub struct TermsInForce(Arc<Inner>);

struct Inner {
    terms: ArcSwap<Terms>,
    scopes: RequiredScopes,
    enforcement: Enforcement,
    today_grace_days: u8,
}

impl TermsInForce {
    /// Puts the first terms in force.
    pub fn new(terms: Terms, scopes: RequiredScopes, enforcement: Enforcement, today_grace_days: u8) -> Self {
        if enforcement == Enforcement::Observe {
            tracing::warn!("access.enforcement is observe: lookups outside the service terms are ANSWERED");
        }
        shout_about_wide_services(&terms);
        Self(Arc::new(Inner {
            terms: ArcSwap::from_pointee(terms),
            scopes,
            enforcement,
            today_grace_days,
        }))
    }

    /// Puts other terms in force.
    pub fn replace(&self, terms: Terms) {
        shout_about_wide_services(&terms);
        self.0.terms.store(Arc::new(terms));
    }

    pub fn load(&self) -> Arc<Terms> {
        self.0.terms.load_full()
    }

    pub fn enforcement(&self) -> Enforcement {
        self.0.enforcement
    }

    /// Judges what a caller wants today, in Oslo.
    ///
    /// # Errors
    /// When it fits no service, whatever the enforcement.
    pub fn authorize(
        &self,
        caller: &Caller,
        wanted: Wanted,
        mandate: Option<&str>,
        today: NaiveDate,
    ) -> Result<Permit, OutsideTerms> {
        let question = Question {
            wanted,
            mandate,
            general_scopes: self.0.scopes.of(wanted.endpoint()),
            today: Today {
                day: today,
                grace_days: self.0.today_grace_days,
            },
        };
        self.0.terms.load().authorize(caller, &question)
    }

    /// The scopes any one of which opens the endpoint to the caller: the general ones, and the own one of each of its
    /// services there.
    pub fn scopes_for(&self, caller: &Caller, endpoint: LookupEndpoint) -> Vec<Scope> {
        let terms = self.0.terms.load();
        let there = terms
            .of(caller.consumer)
            .filter(|service| service.endpoints.contains(&endpoint));
        let mut scopes = self.0.scopes.of(endpoint).to_vec();
        scopes.extend(there.filter_map(|service| service.scope.clone()));
        scopes
    }

    /// Whether the caller has a general scope of the endpoint.
    pub fn has_general_scope(&self, caller: &Caller, endpoint: LookupEndpoint) -> bool {
        caller.scopes.has_any(self.0.scopes.of(endpoint))
    }

    /// Whether the caller has the own scope of one of its services at the endpoint.
    pub fn has_own_scope(&self, caller: &Caller, endpoint: LookupEndpoint) -> bool {
        let terms = self.0.terms.load();
        terms
            .opened_by_own_scope(caller)
            .any(|service| service.endpoints.contains(&endpoint))
    }

    /// Whether the caller has the own scope of any of its services.
    pub fn has_any_own_scope(&self, caller: &Caller) -> bool {
        self.0.terms.load().opened_by_own_scope(caller).next().is_some()
    }
}

fn shout_about_wide_services(terms: &Terms) {
    for service in terms.enabled().filter(|service| service.is_wide()) {
        tracing::warn!(
            service = service.name,
            consumers = ?service.consumers,
            "a service ADMITS ANY MANDATE OR ANY PERIOD; that is for test consumers only"
        );
    }
}
