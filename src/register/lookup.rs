//! The questions of agencies: which banks has this customer had a relationship with, and which bank
//! services this account.

mod answers;
mod coverage;
mod found;
mod judgement;
mod limits;
mod meters;
mod participants;
mod question;
mod services;

pub use answers::{AccountAnswer, ListedBank, Refusal, RelationshipsAnswer};
pub use coverage::KnownFreshness;
pub use meters::StoreMeters;
pub use participants::{ParticipantState, ParticipantStatus};
pub use question::{AccountQuestion, Asked, Fault, FaultKind, RelationshipsQuestion};
pub use services::OwnServices;

use super::participants::ParticipantsInForce;
use crate::access::caller::Caller;
use crate::access::limits::Limits;
use crate::access::terms::{TermsInForce, UnknownOwnership, Wanted};
use crate::cache::Cache;
use crate::domain::calendar::{oslo_day, years_before};
use crate::domain::noted::NotedText;
use crate::domain::overview::{
    Days, HeldAccount, HeldRelationship, OwnershipFilter, overview, servicing_provider,
};
use crate::domain::participants::{Participants, SetFreshness};
use crate::domain::relationship::SetId;
use crate::pseudonym::Tag;
use crate::record::{Call, Conclusion, Endpoint, Recorded, Recorder, Unrecorded};
use crate::store::{Basis, Found, Sets, Store};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use uuid::Uuid;

/// Of a mandate that fits no service, so much is recorded.
const UNFIT_MANDATE_CHARACTERS: usize = 200;

/// The moment a request arrived: taken once, and everything of the request is judged by it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub at: DateTime<Utc>,
    /// The day in Oslo at that moment.
    pub today: NaiveDate,
    pub correlation: Uuid,
}

impl Arrival {
    pub fn new(at: DateTime<Utc>, correlation: Uuid) -> Self {
        Self {
            at,
            today: oslo_day(at),
            correlation,
        }
    }
}

/// What an agency says about why it asks.
#[derive(Debug, Clone, Default)]
pub struct LegalContext {
    /// `AccountInfoRequestID`: the agency's case.
    pub case: Option<Uuid>,
    /// `Legal-Mandate`, percent-decoded.
    pub legal_mandate: Option<String>,
}

/// Who asks a valid question, why, and when.
struct Asker<'a> {
    caller: &'a Caller,
    context: &'a LegalContext,
    arrival: &'a Arrival,
}

/// A call that is being answered.
struct Answering {
    /// As it will be recorded.
    call: Call,
    may_ask_cache: bool,
    /// What the answer stands on, if the cache gave it.
    basis: Option<Basis>,
}

impl Answering {
    fn new(call: Call) -> Self {
        Self {
            call,
            may_ask_cache: true,
            basis: None,
        }
    }

    /// Whether the answer is to be made again, from the store: another instance has published something that changes it.
    fn is_overtaken<T>(&mut self, recorded: &Result<T, Unrecorded>) -> bool {
        let is_overtaken = recorded.as_ref().is_err_and(Unrecorded::is_overtaken);
        self.may_ask_cache &= !is_overtaken;
        is_overtaken
    }
}

/// What answering agencies stands on.
pub struct LookupParts {
    pub store: Store,
    /// In front of the store, if there is one.
    pub cache: Option<Cache>,
    pub participants: ParticipantsInForce,
    pub recorder: Recorder,
    pub limits: Arc<Limits>,
    pub terms: TermsInForce,
    /// What ended longer ago is no longer answered.
    pub closed_years: u32,
}

/// Answers agencies.
#[derive(Clone)]
pub struct Lookup {
    store: Store,
    cache: Option<Cache>,
    participants: ParticipantsInForce,
    recorder: Recorder,
    limits: Arc<Limits>,
    terms: TermsInForce,
    closed_years: u32,
    meters: StoreMeters,
    freshness: KnownFreshness,
}

impl Lookup {
    pub fn new(parts: LookupParts) -> Self {
        Self {
            store: parts.store,
            cache: parts.cache,
            participants: parts.participants,
            recorder: parts.recorder,
            limits: parts.limits,
            terms: parts.terms,
            closed_years: parts.closed_years,
            meters: StoreMeters::find(),
            freshness: KnownFreshness::default(),
        }
    }

    /// What lookups read.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The banks that take part.
    pub fn banks(&self) -> Arc<Participants> {
        self.participants.load()
    }

    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    pub fn terms(&self) -> &TermsInForce {
        &self.terms
    }

    /// Which banks a customer has or had a relationship with.
    pub async fn relationships(
        &self,
        caller: &Caller,
        asked: Asked<RelationshipsQuestion>,
    ) -> Result<Recorded<Result<RelationshipsAnswer, Refusal>>, Unrecorded> {
        let mut answering = Answering::new(call(Endpoint::CustomerRelationships, caller, &asked));
        let question = match asked.question {
            Err(refusal) => return self.record(&mut answering, &asked.context, Err(refusal)).await,
            Ok(question) => question,
        };
        answering.call.period = Some(question.period);
        answering.call.only_primary_owner = question.only_primary_owner;
        let asker = Asker {
            caller,
            context: &asked.context,
            arrival: &asked.arrival,
        };
        let customer = self.store.given().customer(&question.customer);
        let admitted = concluded(async {
            let tag = customer.present().tag();
            self.admit_relationships(&mut answering.call, &asker, &question, tag)
        });
        let filter = match admitted.await {
            Err(refusal) => return self.record(&mut answering, &asked.context, Err(refusal)).await,
            Ok(filter) => filter,
        };
        loop {
            let held = self.held_by_customer(&mut answering, &customer);
            let found = async { self.overview(held.await?, &question, filter, &asked.arrival) };
            let found = concluded(found).await;
            let recorded = self.record(&mut answering, &asked.context, found).await;
            if !answering.is_overtaken(&recorded) {
                return recorded;
            }
        }
    }

    /// Whose relationships are told.
    fn admit_relationships(
        &self,
        call: &mut Call,
        asker: &Asker<'_>,
        question: &RelationshipsQuestion,
        customer: Tag,
    ) -> Result<OwnershipFilter, Refusal> {
        let wanted = Wanted::Relationships {
            customer: question.customer.kind(),
            period: question.period,
            only_primary_owner: question.only_primary_owner,
        };
        self.admit(call, asker.arrival, Some(customer))?;
        let unknown_ownership = self.judge(call, asker, wanted)?;
        Ok(ownership_filter(question.only_primary_owner, unknown_ownership))
    }

    /// The answer, of all that is held of the customer.
    fn overview(
        &self,
        Found { held, sets, .. }: Found<HeldRelationship>,
        question: &RelationshipsQuestion,
        filter: OwnershipFilter,
        arrival: &Arrival,
    ) -> Result<RelationshipsAnswer, Refusal> {
        let participants = self.participants.load();
        let found = overview(
            &held,
            &participants,
            &question.period,
            filter,
            &self.days(arrival.today),
        )?;
        let banks = found.banks.into_iter().map(|bank| ListedBank {
            organization: bank.institution.organization,
            name: bank.institution.name.clone(),
            standing: bank.standing,
        });
        let mut coverage =
            self.freshness
                .coverage(&participants, &sets, arrival, Some(question.period.from()));
        coverage.unknown_ownership = found.unknown_ownership;
        coverage.before_retention = found.before_retention;
        Ok(RelationshipsAnswer {
            banks: banks.collect(),
            tells_ownership: filter != OwnershipFilter::Absent,
            coverage,
        })
    }

    /// Which bank services an account.
    pub async fn account(
        &self,
        caller: &Caller,
        asked: Asked<AccountQuestion>,
    ) -> Result<Recorded<Result<AccountAnswer, Refusal>>, Unrecorded> {
        let mut answering = Answering::new(call(Endpoint::AccountServicingProvider, caller, &asked));
        let question = match asked.question {
            Err(refusal) => return self.record(&mut answering, &asked.context, Err(refusal)).await,
            Ok(question) => question,
        };
        let asker = Asker {
            caller,
            context: &asked.context,
            arrival: &asked.arrival,
        };
        let admitted = concluded(async { self.admit_account(&mut answering.call, &asker) });
        if let Err(refusal) = admitted.await {
            return self.record(&mut answering, &asked.context, Err(refusal)).await;
        }
        let account = self.store.given().account(&question.account);
        loop {
            let holding = self.holding_account(&mut answering, &account);
            let found = async { self.provider(holding.await?, &question, &asked.arrival) };
            let found = concluded(found).await;
            let recorded = self.record(&mut answering, &asked.context, found).await;
            if !answering.is_overtaken(&recorded) {
                return recorded;
            }
        }
    }

    fn admit_account(&self, call: &mut Call, asker: &Asker<'_>) -> Result<(), Refusal> {
        self.admit(call, asker.arrival, None)?;
        self.judge(call, asker, Wanted::Account).map(|_| ())
    }

    /// The answer, of all that carries the account.
    fn provider(
        &self,
        Found { held, sets, .. }: Found<HeldAccount>,
        question: &AccountQuestion,
        arrival: &Arrival,
    ) -> Result<AccountAnswer, Refusal> {
        let participants = self.participants.load();
        let coverage = self.freshness.coverage(&participants, &sets, arrival, None);
        let provider = servicing_provider(&held, &participants, &self.days(arrival.today))?;
        let provider = provider.ok_or(match question.as_published {
            true => Refusal::UnknownAccountAsPublished,
            false => Refusal::UnknownAccount(coverage),
        })?;
        if provider.contested {
            metrics::counter!("kundeforhold_contested_accounts_total").increment(1);
            let bank = provider.institution.organization;
            tracing::warn!(%bank, "two banks carry the same running account; the later start was answered");
        }
        let (organization, name) = (
            provider.institution.organization,
            provider.institution.name.clone(),
        );
        Ok(AccountAnswer {
            organization,
            name,
            coverage,
        })
    }

    /// Records that an authenticated caller was refused before its question was looked at.
    pub async fn refuse<A>(
        &self,
        endpoint: Endpoint,
        caller: &Caller,
        arrival: Arrival,
        refusal: Refusal,
    ) -> Result<Recorded<Result<A, Refusal>>, Unrecorded>
    where
        Result<A, Refusal>: Conclusion,
    {
        let asked = Asked::<()> {
            arrival,
            context: LegalContext::default(),
            subject: None,
            question: Ok(()),
        };
        let mut answering = Answering::new(call(endpoint, caller, &asked));
        self.record(&mut answering, &asked.context, Err(refusal)).await
    }

    /// Records what a call came to. A mandate that was not found to fit a service is kept with its beginning only.
    async fn record<A>(
        &self,
        answering: &mut Answering,
        context: &LegalContext,
        conclusion: Result<A, Refusal>,
    ) -> Result<Recorded<Result<A, Refusal>>, Unrecorded>
    where
        Result<A, Refusal>: Conclusion,
    {
        let call = &mut answering.call;
        if call.legal_mandate.is_none() {
            let mandate = context.legal_mandate.as_deref();
            call.legal_mandate = mandate.map(|text| NotedText::beginning_of(text, UNFIT_MANDATE_CHARACTERS));
        }
        let (is_refusal, basis) = (conclusion.is_refusal(), answering.basis.take());
        let recorded = self.recorder.record_if(call, conclusion, basis).await;
        if is_refusal && !recorded.as_ref().is_err_and(Unrecorded::is_overtaken) {
            self.limits.refusals().count(call.consumer, call.at);
        }
        recorded
    }

    /// The days that answers are judged by.
    pub fn days(&self, today: NaiveDate) -> Days {
        Days {
            today,
            retained_from: years_before(today, self.closed_years),
        }
    }
}

/// What a lookup came to. A defect in it is a refusal like others: recorded before it is answered.
async fn concluded<T>(found: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    AssertUnwindSafe(found).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a lookup met a defect");
        Err(Refusal::Defect)
    })
}

fn ownership_filter(only_primary_owner: Option<bool>, unknown: UnknownOwnership) -> OwnershipFilter {
    match (only_primary_owner, unknown) {
        (None, _) => OwnershipFilter::Absent,
        (Some(false), _) => OwnershipFilter::All,
        (Some(true), UnknownOwnership::LeaveOut) => OwnershipFilter::OnlyPrimaryOwner,
        (Some(true), UnknownOwnership::List) => OwnershipFilter::PrimaryOwnerOrUnknown,
    }
}

fn freshness_of(sets: &Sets) -> impl Fn(SetId) -> SetFreshness + '_ {
    |set| {
        let known = sets.get(set);
        known.map_or_else(SetFreshness::default, |known| SetFreshness {
            loaded: known.standing.loaded,
            last_delivery: known.standing.last_delivery,
        })
    }
}

fn call<Q>(endpoint: Endpoint, caller: &Caller, asked: &Asked<Q>) -> Call {
    Call {
        at: asked.arrival.at,
        endpoint,
        consumer: caller.consumer,
        supplier: caller.supplier,
        token_id: caller.token_id.clone(),
        client_amr: caller.client_amr.clone(),
        correlation: asked.arrival.correlation,
        case: asked.context.case,
        legal_mandate: None,
        subject: asked.subject.clone(),
        period: None,
        only_primary_owner: None,
        service: None,
        outside_terms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_defect_is_a_refusal() {
        let defect = async |fails: bool| if fails { panic!("a test's own") } else { Ok(1) };
        assert!(matches!(concluded(defect(true)).await, Err(Refusal::Defect)));
        assert!(matches!(concluded(defect(false)).await, Ok(1)));
    }
}
