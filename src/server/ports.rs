//! The two ports.

use super::tls::Tls;
use super::{Parts, StartError, listen};
use crate::config::{DeliverySettings, Settings};
use crate::http::body::{BodyLimits, DeliveryLimits};
use crate::http::meters::RequestMeters;
use crate::http::middleware::{self, Draining, HeaderLimit};
use crate::http::overload::{LookupRoom, RoomBounds};
use crate::http::request::MandateLimit;
use crate::http::routes;
use crate::http::{console, management};
use actix_web::dev::Server as ActixServer;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, PayloadConfig};
use actix_web::{App, HttpServer};
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The port of agencies and banks. `end` is cancelled when its idle connections are to be closed.
pub(super) fn bind_public(
    settings: &Settings,
    parts: &Parts,
    tls: Option<&Tls>,
    end: CancellationToken,
) -> Result<(ActixServer, SocketAddr), StartError> {
    let authenticator = parts.authenticator.clone();
    let delivery_limits = Data::new(delivery_limits(&settings.delivery));
    let header_limit = HeaderLimit(settings.server.max_header_bytes);
    let mandate_limit = MandateLimit(settings.access.max_mandate_bytes);
    let room = RoomBounds {
        most: settings.server.max_lookups_per_worker,
        lag: Duration::from_millis(settings.server.max_worker_lag_milliseconds),
    };
    let parts = parts.clone();
    let draining = Draining(Arc::clone(&parts.readiness.draining));
    let (lookup, delivery) = (Data::new(parts.lookup), Data::new(parts.delivery));
    let recorder = Data::new(parts.readiness.recorder);
    let factory = move || {
        App::new()
            .app_data(parts.rules)
            .app_data(header_limit)
            .app_data(mandate_limit)
            .app_data(LookupRoom::new(room))
            .app_data(RequestMeters::default())
            .app_data(draining.clone())
            .app_data(PayloadConfig::new(usize::MAX))
            .app_data(parts.authenticator.clone())
            .app_data(parts.scopes.clone())
            .app_data(lookup.clone())
            .app_data(delivery.clone())
            .app_data(recorder.clone())
            .app_data(parts.statistics.clone())
            .app_data(delivery_limits.clone())
            .wrap(from_fn(middleware::wrap))
            .configure(routes::configure)
    };
    listen::bind(factory, &settings.server, tls, authenticator, end)
}

fn delivery_limits(delivery: &DeliverySettings) -> DeliveryLimits {
    let of_deliveries = BodyLimits {
        max_body_bytes: delivery.max_body_bytes,
        max_line_bytes: delivery.max_line_bytes,
        max_lines: delivery.max_lines,
        pause: Duration::from_secs(delivery.pause_seconds),
        grace: Duration::from_secs(delivery.grace_seconds),
        min_bytes_per_second: delivery.min_bytes_per_second,
    };
    DeliveryLimits {
        delivery: of_deliveries,
        batch: BodyLimits {
            max_body_bytes: delivery.max_batch_bytes,
            ..of_deliveries
        },
    }
}

/// The operators' port.
pub(super) fn bind_management(
    settings: &Settings,
    parts: &Parts,
    tls: Option<&Tls>,
    prometheus: PrometheusHandle,
) -> Result<(ActixServer, SocketAddr), StartError> {
    let (readiness, prometheus) = (Data::new(parts.readiness.clone()), Data::new(prometheus));
    let console = parts.console.clone();
    let address = settings.server.management_listen;
    let factory = move || {
        App::new()
            .app_data(readiness.clone())
            .app_data(prometheus.clone())
            .app_data(console.clone())
            .wrap(from_fn(management::protect))
            .configure(management::configure)
            .configure(console::configure)
    };
    let server = HttpServer::new(factory)
        .workers(1)
        .keep_alive(Duration::from_secs(settings.server.keep_alive_seconds))
        .disable_signals();
    let server = match tls.cloned() {
        None => server.bind(address),
        Some(tls) => {
            let (handshake_timeout, config) = (tls.handshake_timeout, tls.server_config()?);
            server
                .on_connect(move |connection, data| {
                    if let Some(certificate) = tls.client_certificate(connection) {
                        data.insert(certificate);
                    }
                })
                .tls_handshake_timeout(handshake_timeout)
                .bind_rustls_0_23(address, config)
        }
    };
    let server = server.map_err(|cause| StartError::Bind { address, cause })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}
