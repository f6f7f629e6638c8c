//! A lookup held against the DSOP service terms.

use super::{Arrival, Asker, Lookup, Refusal};
use crate::access::caller::Caller;
use crate::access::terms::{Enforcement, OutsideTerms, UnknownOwnership, Wanted};
use crate::domain::noted::NotedText;
use crate::record::Call;

impl Lookup {
    /// Judges a question that is valid, and notes in the record which service it fits, or which term fails.
    ///
    /// # Errors
    /// When it fits no service of its consumer, and the terms are enforced.
    pub(super) fn judge(
        &self,
        call: &mut Call,
        asker: &Asker<'_>,
        wanted: Wanted,
    ) -> Result<UnknownOwnership, Refusal> {
        let Asker {
            caller,
            context,
            arrival,
        } = asker;
        let mandate = context.legal_mandate.as_deref();
        match self.terms.authorize(caller, wanted, mandate, arrival.today) {
            Ok(permit) => {
                call.service = Some(permit.service);
                call.legal_mandate = mandate.map(NotedText::of);
                Ok(permit.unknown_ownership)
            }
            Err(outside) => {
                call.service.clone_from(&outside.service);
                call.outside_terms = Some(outside.term.name());
                self.refuse_or_observe(caller, arrival, outside)
            }
        }
    }

    fn refuse_or_observe(
        &self,
        caller: &Caller,
        arrival: &Arrival,
        outside: OutsideTerms,
    ) -> Result<UnknownOwnership, Refusal> {
        metrics::counter!("kundeforhold_refusals_total", "reason" => "terms").increment(1);
        self.limits
            .note_outside_terms(caller.consumer, outside.term.name());
        let enforcement = self.terms.enforcement();
        tracing::warn!(
            consumer = %caller.consumer,
            service = outside.service.as_deref().unwrap_or("none"),
            term = outside.term.name(),
            correlation = %arrival.correlation,
            refused = enforcement == Enforcement::Enforce,
            "a lookup lies outside the service terms"
        );
        match enforcement {
            Enforcement::Enforce => Err(Refusal::OutsideTerms(outside)),
            Enforcement::Observe => Ok(UnknownOwnership::LeaveOut),
        }
    }
}
