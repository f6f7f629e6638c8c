//! A question held against the terms.

use super::mandate::SentMandate;
use super::{AllowedDates, LookupEndpoint, Service, Terms, Today, UnknownOwnership};
use crate::access::caller::{Caller, Scope};
use crate::domain::calendar::Period;
use crate::domain::identifiers::CustomerKind;

/// What a caller asks, as far as the terms bind it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    pub wanted: Wanted,
    /// `Legal-Mandate`, percent-decoded. The older path lets it be absent; only a service of any mandate
    /// admits that.
    pub mandate: Option<&'q str>,
    /// The scopes that open the endpoint to services without one of their own.
    pub general_scopes: &'q [Scope],
    pub today: Today,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// `customerRelationships`.
    Relationships {
        customer: CustomerKind,
        period: Period,
        only_primary_owner: Option<bool>,
    },
    /// `accountServicingProvider`: no customer, period or `onlyPrimaryOwner`, so no term about them.
    Account,
}

impl Wanted {
    pub fn endpoint(&self) -> LookupEndpoint {
        match self {
            Self::Relationships { .. } => LookupEndpoint::CustomerRelationships,
            Self::Account => LookupEndpoint::AccountServicingProvider,
        }
    }
}

/// The terms of a service, in the order in which they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// The consumer has no enabled service.
    Consumer,
    Supplier,
    /// The service's own scope, or the general one where it has none.
    Scope,
    Endpoint,
    Mandate,
    Customer,
    Period,
    OnlyPrimaryOwner,
}

impl Term {
    /// The term's name, as answers and the record of use tell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Supplier => "supplier",
            Self::Scope => "scope",
            Self::Endpoint => "endpoint",
            Self::Mandate => "mandate",
            Self::Customer => "customer",
            Self::Period => "period",
            Self::OnlyPrimaryOwner => "onlyPrimaryOwner",
        }
    }
}

/// The service that a question fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    pub service: String,
    pub unknown_ownership: UnknownOwnership,
}

/// A question that fits no service of its consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideTerms {
    /// The first term that fails at the closest service.
    pub term: Term,
    /// The closest service: the one whose first failing term comes last, in the order of [`Term`]; of equal
    /// ones the first of the file. `None` when the consumer has no enabled service.
    pub service: Option<String>,
    /// Of each service that only the period fails: the dates that it admits, without the days of grace, which are for
    /// clocks that differ.
    pub periods: Vec<(String, AllowedDates)>,
}

impl Terms {
    /// The first service of the caller's consumer that the question fits in every term.
    ///
    /// # Errors
    /// When it fits none.
    pub fn authorize(&self, caller: &Caller, question: &Question<'_>) -> Result<Permit, OutsideTerms> {
        let mandate = question.mandate.map(SentMandate::new);
        let mut closest = OutsideTerms {
            term: Term::Consumer,
            service: None,
            periods: Vec::new(),
        };
        for service in self.of(caller.consumer) {
            match service.first_failing(caller, question, mandate.as_ref()) {
                None => {
                    return Ok(Permit {
                        service: service.name.clone(),
                        unknown_ownership: service.unknown_ownership,
                    });
                }
                Some(term) => closest.consider(term, service, question.today),
            }
        }
        Err(closest)
    }
}

impl OutsideTerms {
    fn consider(&mut self, term: Term, service: &Service, today: Today) {
        if term > self.term {
            self.term = term;
            self.service = Some(service.name.clone());
            self.periods.clear();
        }
        if term == Term::Period && self.term == Term::Period {
            let without_grace = Today {
                grace_days: 0,
                ..today
            };
            let dates = service.period.dates_on(without_grace);
            self.periods.push((service.name.clone(), dates));
        }
    }
}

impl Service {
    fn first_failing(
        &self,
        caller: &Caller,
        question: &Question<'_>,
        mandate: Option<&SentMandate<'_>>,
    ) -> Option<Term> {
        let supplier = self.supplier.is_none_or(|named| caller.supplier == Some(named));
        let scopes = self
            .scope
            .as_ref()
            .map_or(question.general_scopes, std::slice::from_ref);
        let endpoint = self.endpoints.contains(&question.wanted.endpoint());
        let (customer, period, ownership) = match &question.wanted {
            Wanted::Account => (true, true, true),
            Wanted::Relationships {
                customer,
                period,
                only_primary_owner,
            } => (
                self.customer.admits(*customer),
                self.period.admits(period, question.today),
                self.only_primary_owner.admits(*only_primary_owner),
            ),
        };
        let judged = [
            (Term::Supplier, supplier),
            (Term::Scope, caller.scopes.has_any(scopes)),
            (Term::Endpoint, endpoint),
            (Term::Mandate, self.mandates.admit(mandate)),
            (Term::Customer, customer),
            (Term::Period, period),
            (Term::OnlyPrimaryOwner, ownership),
        ];
        judged.into_iter().find(|(_, met)| !met).map(|(term, _)| term)
    }
}
