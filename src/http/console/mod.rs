//! The operators' console: pages on the management port, rendered here, that load nothing from elsewhere.
//!
//! A page is a view model, filled from what the service knows, and a template of the same name. No view model has a
//! field for a customer, an account or a pseudonym.

mod agencies;
mod assets;
mod bank;
mod banks;
mod certificate;
mod chart;
mod deliveries;
mod format;
mod gate;
mod login;
mod operator;
mod overview;
mod page;
mod receipt;
mod record;
mod refusal;
mod rollback;
mod session;
mod verifier;

pub use certificate::ClientCertificate;
pub use gate::Gate;

use super::management::Readiness;
use super::routes::reading;
use crate::register::delivery::Delivery;
use crate::register::lookup::{Arrival, Lookup};
use crate::register::statistics::Statistics;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use chrono::Utc;
use gate::Attempts;
use session::Sessions;
use std::sync::Arc;
use tokio::sync::Semaphore;
use uuid::Uuid;
use verifier::Verifier;

/// What the pages show and do.
pub struct Console {
    pub lookup: Lookup,
    pub delivery: Delivery,
    pub readiness: Readiness,
    pub statistics: Data<Statistics>,
    gate: Gate,
    sessions: Sessions,
    attempts: Attempts,
    verifier: Verifier,
    /// One search of the record at a time.
    searches: Arc<Semaphore>,
}

impl Console {
    pub fn new(
        lookup: &Lookup,
        delivery: &Delivery,
        readiness: &Readiness,
        statistics: &Data<Statistics>,
        gate: Gate,
    ) -> Self {
        Self {
            lookup: lookup.clone(),
            delivery: delivery.clone(),
            readiness: readiness.clone(),
            statistics: statistics.clone(),
            gate,
            sessions: Sessions::new(),
            attempts: Attempts::default(),
            verifier: Verifier::default(),
            searches: Arc::new(Semaphore::new(1)),
        }
    }
}

/// The moment that a page is of.
fn arrival() -> Arrival {
    Arrival::new(Utc::now(), Uuid::new_v4())
}

/// All routes of the console.
pub fn configure(config: &mut ServiceConfig) {
    config.service(
        web::scope("/console")
            .wrap(from_fn(page::protect))
            .route("", reading().to(overview::show))
            .route("/", reading().to(overview::show))
            .route("/banks", reading().to(banks::show))
            .route("/banks/{bank}", reading().to(bank::show))
            .route("/banks/{bank}/deliveries/{delivery}", reading().to(receipt::show))
            .route(
                "/banks/{bank}/deliveries/{delivery}/rollback",
                reading().to(rollback::confirm),
            )
            .route(
                "/banks/{bank}/deliveries/{delivery}/rollback",
                web::post().to(rollback::roll_back),
            )
            .route("/agencies", reading().to(agencies::show))
            .route("/record", reading().to(record::show))
            .route("/record/search", web::post().to(record::search))
            .route("/record/verify", web::post().to(record::verify))
            .route("/login", reading().to(login::show))
            .route("/login", web::post().to(login::sign_in))
            .route("/logout", web::post().to(login::sign_out))
            .route("/assets/{name}", reading().to(assets::get))
            .default_service(web::to(page::unknown)),
    );
}
