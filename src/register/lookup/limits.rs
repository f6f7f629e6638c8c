//! A lookup held against what its consumer may ask.

use super::{Arrival, Lookup, Refusal};
use crate::access::limits::{Asking, OverLimit, Unusual};
use crate::pseudonym::Tag;
use crate::record::Call;

impl Lookup {
    /// Counts a question that is valid, and says so when it makes the consumer's day unusual.
    ///
    /// # Errors
    /// When the consumer's rate or its day's customers are used up.
    pub(super) fn admit(&self, call: &Call, arrival: &Arrival, customer: Option<Tag>) -> Result<(), Refusal> {
        let asking = Asking {
            consumer: call.consumer,
            // Enough of a pseudonym to tell the customers of a day apart.
            customer: customer.map(|tag| u64::from_be_bytes(tag.0)),
            case: call.case,
            today: arrival.today,
            at: arrival.at,
        };
        match self.limits.admit(&asking) {
            Ok(unusual) => {
                unusual.iter().for_each(tell);
                Ok(())
            }
            Err(over) => {
                let reason = match over {
                    OverLimit::Rate { .. } => "rate",
                    OverLimit::DailyCustomers { .. } => "daily_customers",
                    OverLimit::Refusals { .. } => "refusals",
                };
                metrics::counter!("kundeforhold_refusals_total", "reason" => reason).increment(1);
                tracing::warn!(consumer = %call.consumer, reason, "a consumer asks more than it may");
                Err(Refusal::TooMany(over))
            }
        }
    }
}

/// The operator has to notice an abnormal number of cases or customers of one agency.
fn tell(unusual: &Unusual) {
    let (consumer, dimension) = (unusual.consumer.to_string(), unusual.dimension.name());
    tracing::warn!(
        consumer,
        dimension,
        today = unusual.count,
        usual_most = unusual.usual_most,
        "a consumer's day leaves its usual range"
    );
    metrics::counter!("kundeforhold_unusual_days_total", "consumer" => consumer, "dimension" => dimension)
        .increment(1);
}
