//! The metrics of requests, by handles that each worker keeps: to find one by its labels costs more than to count.

use crate::domain::identifiers::OrganizationNumber;
use metrics::{Counter, Histogram, Label};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The handles of one worker; nothing is shared between threads.
#[derive(Clone, Default)]
pub struct RequestMeters(Rc<RefCell<BTreeMap<String, OfEndpoint>>>);

type OfEndpoint = BTreeMap<(u16, Option<OrganizationNumber>), Meter>;

struct Meter {
    requests: Counter,
    seconds: Histogram,
}

impl Meter {
    fn new(endpoint: &str, status: u16, consumer: Option<OrganizationNumber>) -> Self {
        let consumer = consumer.map(|consumer| consumer.to_string());
        let labels = vec![
            Label::new("endpoint", endpoint.to_owned()),
            Label::new("status", status.to_string()),
            Label::new("consumer", consumer.unwrap_or_default()),
        ];
        Self {
            requests: metrics::counter!("kundeforhold_requests_total", labels.clone()),
            seconds: metrics::histogram!("kundeforhold_request_seconds", labels),
        }
    }
}

impl RequestMeters {
    /// Counts an answer. `endpoint` is a route's pattern, `consumer` one that was admitted: each is kept for good.
    pub fn count(&self, endpoint: &str, status: u16, consumer: Option<OrganizationNumber>, took: Duration) {
        let mut known = self.0.borrow_mut();
        if !known.contains_key(endpoint) {
            known.insert(endpoint.to_owned(), OfEndpoint::new());
        }
        let Some(of_endpoint) = known.get_mut(endpoint) else {
            return;
        };
        let meter = of_endpoint
            .entry((status, consumer))
            .or_insert_with(|| Meter::new(endpoint, status, consumer));
        meter.requests.increment(1);
        meter.seconds.record(took);
    }
}
