//! The management port: liveness, readiness and metrics.

use super::routes::reading;
use crate::access::key_set::KeySet;
use crate::domain::identifiers::OrganizationNumber;
use crate::record::Recorder;
use crate::register::participants::ParticipantsInForce;
use crate::store::Store;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, ContentType, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{Error, HttpResponse};
use metrics_exporter_prometheus::PrometheusHandle;
use metrics_process::Collector;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The names of banks as they were told last.
pub type BankNames = BTreeMap<OrganizationNumber, String>;

/// Whether the service may be sent requests, and if not, why.
#[derive(Clone)]
pub struct Readiness {
    pub keys: Arc<KeySet>,
    pub store: Store,
    pub recorder: Recorder,
    pub participants: ParticipantsInForce,
    /// What metrics call the banks.
    pub named: Arc<Mutex<BankNames>>,
    /// What the operating system knows of this process.
    pub process: Collector,
    /// Set when shutdown begins.
    pub draining: Arc<AtomicBool>,
}

#[derive(Serialize)]
struct ReadinessBody {
    ready: bool,
    #[serde(rename = "waitingFor")]
    waiting_for: Vec<&'static str>,
}

impl Readiness {
    /// What readiness waits for; empty when ready.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        let conditions = [
            (self.keys.ready(), "the issuer's keys"),
            (self.recorder.writable(), "the record of use to be writable"),
            (
                !self.store.lacks_key(),
                "the pseudonym key that the register is under",
            ),
            (
                !self.draining.load(Ordering::Relaxed),
                "nothing: the service is shutting down",
            ),
        ];
        conditions
            .into_iter()
            .filter(|(holds, _)| !holds)
            .map(|(_, what)| what)
            .collect()
    }
}

/// The routes of the management port.
pub fn configure(config: &mut ServiceConfig) {
    config.route("/", reading().to(what_is_here));
    for path in ["/isalive", "/internal/isalive"] {
        config.route(path, reading().to(is_alive));
    }
    for path in ["/isready", "/internal/isready"] {
        config.route(path, reading().to(is_ready));
    }
    config.route("/internal/audit/head", reading().to(audit_head));
    config.route("/metrics", reading().to(metrics));
}

const HERE: &str = concat!(
    "kundeforhold ",
    env!("CARGO_PKG_VERSION"),
    ", the port of operators\n\n",
    "/console              the operators' page\n",
    "/isready              whether it may be sent requests, and what it waits for if not\n",
    "/isalive              whether it runs\n",
    "/metrics              figures, in the text format of Prometheus\n",
    "/internal/audit/head  the last entry of the record of use, for an outside party to keep\n\n",
    "Agencies and banks call the other port; /docs is there.\n"
);

async fn what_is_here() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::plaintext())
        .body(HERE)
}

/// What every answer of the port has.
pub async fn protect(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    Ok(response)
}

/// Never touches store or issuer.
async fn is_alive() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::plaintext())
        .body("alive\n")
}

async fn is_ready(readiness: Data<Readiness>) -> HttpResponse {
    let waiting_for = readiness.waiting_for();
    let ready = waiting_for.is_empty();
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(ReadinessBody { ready, waiting_for })
}

/// For an outside party to keep: a record that lacks this entry was cut. A line of its own, so that answers can be
/// appended to one file.
async fn audit_head(readiness: Data<Readiness>) -> HttpResponse {
    let head = serde_json::json!(readiness.recorder.head());
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(format!("{head}\n"))
}

async fn metrics(prometheus: Data<PrometheusHandle>, readiness: Data<Readiness>) -> HttpResponse {
    ::metrics::gauge!("kundeforhold_record_head").set(readiness.recorder.head().sequence as f64);
    ::metrics::gauge!("kundeforhold_ready").set(if readiness.waiting_for().is_empty() {
        1.0
    } else {
        0.0
    });
    ::metrics::gauge!("kundeforhold_record_lag_entries").set(readiness.recorder.waiting() as f64);
    readiness.process.collect();
    tell_participants(&readiness.participants, &readiness.named);
    let is_writable = if readiness.store.is_writable() { 1.0 } else { 0.0 };
    ::metrics::gauge!("kundeforhold_store_writable").set(is_writable);
    tell_deliveries(&readiness.store);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(prometheus.render())
}

/// When each set was delivered to last.
fn tell_deliveries(store: &Store) {
    for (set, state) in store.sets().iter() {
        if let Some(at) = state.standing.last_delivery {
            let (bank, register) = (set.bank.to_string(), set.register.name());
            ::metrics::gauge!("kundeforhold_last_delivery_timestamp_seconds", "bank" => bank, "register" => register)
                .set(at.timestamp() as f64);
        }
    }
}

/// What banks are called, and when each register that may deliver is stale.
fn tell_participants(participants: &ParticipantsInForce, named: &Mutex<BankNames>) {
    let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
    for bank in participants.load().iter() {
        let (number, name) = (bank.organization.to_string(), bank.name.clone());
        let former = named.insert(bank.organization, name.clone());
        if let Some(former) = former.filter(|former| *former != name) {
            ::metrics::gauge!("kundeforhold_bank_info", "bank" => number.clone(), "name" => former).set(0.0);
        }
        ::metrics::gauge!("kundeforhold_bank_info", "bank" => number, "name" => name).set(1.0);
        for register in &bank.registers {
            let labels = [
                ("bank", bank.organization.to_string()),
                ("register", register.name().to_owned()),
            ];
            ::metrics::gauge!("kundeforhold_stale_after_seconds", &labels)
                .set(bank.stale_after.num_seconds() as f64);
        }
    }
}
