//! `GET /v2/services`: a caller's own DSOP service terms.

use super::{Answering, Arrival, Asked, Lookup, Refusal, call};
use crate::access::caller::Caller;
use crate::access::terms::Service;
use crate::record::{Endpoint, Recorded, Unrecorded};
use chrono::NaiveDate;

/// The enabled services of a consumer, in the order of the terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnServices {
    pub services: Vec<Service>,
    /// The day in Oslo by which their dates are told.
    pub today: NaiveDate,
}

impl Lookup {
    /// What the caller's consumer may ask.
    pub async fn services(
        &self,
        caller: &Caller,
        asked: Asked<()>,
    ) -> Result<Recorded<Result<OwnServices, Refusal>>, Unrecorded> {
        let mut answering = Answering::new(call(Endpoint::Services, caller, &asked));
        let conclusion = asked.question.map(|()| self.own_services(caller, &asked.arrival));
        self.record(&mut answering, &asked.context, conclusion).await
    }

    fn own_services(&self, caller: &Caller, arrival: &Arrival) -> OwnServices {
        OwnServices {
            services: self.terms.load().of(caller.consumer).cloned().collect(),
            today: arrival.today,
        }
    }
}
