//! What a lookup outside the terms is told: the term that fails, and what would be allowed.

use super::Detail;
use crate::access::terms::{AllowedDates, OutsideTerms, Term};
use chrono::NaiveDate;

/// The term that fails at the closest service.
pub(super) fn failing(outside: &OutsideTerms) -> Detail {
    let service = outside.service.as_deref().unwrap_or("a service");
    let reason = match outside.term {
        Term::Consumer => "The consumer has no DSOP service here.".to_owned(),
        Term::Supplier => {
            format!("{service} may be used only through the supplier that GET /v2/services tells.")
        }
        Term::Scope => {
            format!("The token does not have the scope of {service}, which GET /v2/services tells.")
        }
        Term::Endpoint => {
            format!("{service} does not use this endpoint; GET /v2/services tells which it uses.")
        }
        Term::Mandate => {
            "Legal-Mandate is no mandate of the caller's services; GET /v2/services tells those that are, ready to send."
                .to_owned()
        }
        Term::Customer => {
            format!("{service} may not ask about a CustomerID of this kind; GET /v2/services tells which it may.")
        }
        Term::Period => periods(outside),
        Term::OnlyPrimaryOwner => format!("onlyPrimaryOwner must be true for {service}."),
    };
    Detail::said(outside.term.name(), reason)
}

fn periods(outside: &OutsideTerms) -> String {
    let of_services = outside
        .periods
        .iter()
        .map(|(service, dates)| admitted(service, dates));
    let of_services: Vec<String> = of_services.collect();
    format!("{}.", of_services.join("; "))
}

fn admitted(service: &str, dates: &AllowedDates) -> String {
    let from = span(dates.earliest_from, dates.latest_from);
    let to = span(dates.earliest_to, dates.latest_to);
    format!("{service} admits today {from} as fromDate and {to} as toDate")
}

fn span(earliest: Option<NaiveDate>, latest: Option<NaiveDate>) -> String {
    match (earliest, latest) {
        (Some(earliest), Some(latest)) if earliest == latest => earliest.to_string(),
        (Some(earliest), Some(latest)) => format!("{earliest} to {latest}"),
        (Some(earliest), None) => format!("{earliest} or later"),
        (None, Some(latest)) => format!("{latest} or earlier"),
        (None, None) => "any day".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_told_by_each_service_that_would_take_another() {
        let day = |text: &str| Some(text.parse().unwrap());
        let today = AllowedDates {
            earliest_from: day("2026-11-20"),
            latest_from: day("2026-11-20"),
            earliest_to: None,
            latest_to: None,
        };
        let back = AllowedDates {
            earliest_from: day("2016-11-20"),
            earliest_to: day("2026-11-20"),
            ..today
        };
        let outside = OutsideTerms {
            term: Term::Period,
            service: Some("One".to_owned()),
            periods: vec![("One".to_owned(), today), ("Other".to_owned(), back)],
        };
        assert_eq!(
            failing(&outside).reason,
            "One admits today 2026-11-20 as fromDate and any day as toDate; \
             Other admits today 2016-11-20 to 2026-11-20 as fromDate and 2026-11-20 or later as toDate."
        );
    }
}
