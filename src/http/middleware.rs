//! What every request gets: a moment of arrival, a correlation id, headers, one log line, its metrics,
//! and a 500 in our own form if something panics.

use super::answer::respond_to;
use super::caller::{Admitted, NotedConsumer};
use super::connection::{Unsent, Watched};
use super::error::Problem;
use super::headers::CORRELATION_ID;
use super::meters::RequestMeters;
use super::overload;
use super::request::correlation_of;
use super::routes::{lookup_route, pattern_of};
use super::trace::{Trace, caller_trace, continue_trace};
use crate::domain::identifiers::OrganizationNumber;
use crate::register::lookup::Arrival;
use crate::register::statistics::{Outcome, Statistics};
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use chrono::Utc;
use futures_util::FutureExt;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

/// Bytes of a request's address and of all its header names and values.
#[derive(Debug, Clone, Copy)]
pub struct HeaderLimit(pub usize);

/// Header fields of a request, over HTTP/2 as over HTTP/1.
const MOST_FIELDS: usize = 96;

/// Set when shutdown begins: connections are then closed after their answer, so that clients go elsewhere.
#[derive(Debug, Clone)]
pub struct Draining(pub Arc<AtomicBool>);

/// Only the documentation page loads anything, and only from this service.
const DOCS_POLICY: &str =
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";
pub const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// What every answer has, beside a policy of its contents.
pub static HEADERS_OF_ALL: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
];

/// Wraps every route of the public port.
pub async fn wrap(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    if let Some(connection) = request.request().conn_data::<Unsent>() {
        connection.answered(false);
    }
    let sent = correlation_of(request.headers());
    let id = sent.unwrap_or_else(Uuid::new_v4);
    let echoed = sent.and_then(|_| request.headers().get(&CORRELATION_ID.name).cloned());
    let correlation = echoed.or_else(|| HeaderValue::from_str(&id.to_string()).ok());
    let Ok(_place) = overload::admit(&request) else {
        return Ok(watched(
            shed(request, id, correlation, started).map_into_right_body(),
        ));
    };
    let arrival = Arrival::new(Utc::now(), id);
    request.extensions_mut().insert(arrival);
    let limit = request
        .app_data::<HeaderLimit>()
        .map_or(usize::MAX, |limit| limit.0);
    let is_docs = request.path().starts_with("/docs");
    let draining = request.app_data::<Draining>().cloned();
    let span = tracing::error_span!(
        "request",
        correlation = %arrival.correlation,
        otel.kind = "server",
        http.request.method = Empty,
        http.route = Empty,
        http.response.status_code = Empty,
        consumer = Empty,
    );
    let trace = continue_trace(&span, caller_trace(request.headers()));

    let is_too_large = head_bytes(&request) > limit || request.headers().len() > MOST_FIELDS;
    let mut response = if is_too_large {
        let refusal = respond_to(request.request(), Problem::HEADERS_TOO_LARGE);
        request.into_response(refusal).map_into_right_body()
    } else {
        // Nothing may hold on to the request here: the router needs it for itself.
        match AssertUnwindSafe(next.call(request).instrument(span.clone()))
            .catch_unwind()
            .await
        {
            Ok(answered) => answered?.map_into_left_body(),
            Err(_) => return Err(Panicked::new(arrival, correlation, started).into()),
        }
    };
    add_headers(
        response.headers_mut(),
        correlation,
        if is_docs { DOCS_POLICY } else { POLICY },
    );
    close_if(draining, &mut response);
    tell(&response, &arrival, started, &span, &trace);
    Ok(watched(response))
}

/// An answer of an HTTP/2 connection is counted until its client has taken it.
fn watched<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
) -> ServiceResponse<EitherBody<B, Watched>> {
    let request = response.request();
    let is_http2 = request.version() == Version::HTTP_2;
    let connection = request.conn_data::<Unsent>();
    if let Some(connection) = connection {
        let has_body = request.headers().contains_key(header::CONTENT_LENGTH)
            || request.headers().contains_key(header::TRANSFER_ENCODING);
        connection.answered(has_body && !is_http2);
    }
    match connection.filter(|_| is_http2).cloned() {
        Some(unsent) => response.map_body(|_, body| EitherBody::right(Watched::new(body.boxed(), &unsent))),
        None => response.map_body(|_, body| EitherBody::left(body)),
    }
}

/// The answer to a lookup for which there is no room. It is counted, and has no log line of its own.
fn shed(
    request: ServiceRequest,
    id: Uuid,
    correlation: Option<HeaderValue>,
    started: Instant,
) -> ServiceResponse {
    let refusal = Problem::UNAVAILABLE.respond(id, false);
    let draining = request.app_data::<Draining>().cloned();
    let mut response = request.into_response(refusal);
    add_headers(response.headers_mut(), correlation, POLICY);
    close_if(draining, &mut response);
    let (request, elapsed) = (response.request(), started.elapsed());
    let (route, status) = (request.match_info().as_str(), response.status().as_u16());
    count(request, route, status, None, elapsed);
    count_lookup(request, route, status, elapsed);
    response
}

fn close_if<B>(draining: Option<Draining>, response: &mut ServiceResponse<B>) {
    if draining.is_some_and(|draining| draining.0.load(Ordering::Relaxed)) {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
}

/// A handler panicked: a defect, answered as one.
#[derive(Debug)]
struct Panicked {
    arrival: Arrival,
    correlation: Option<HeaderValue>,
}

impl Panicked {
    fn new(arrival: Arrival, correlation: Option<HeaderValue>, started: Instant) -> Self {
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        tracing::error!(correlation = %arrival.correlation, status = 500, milliseconds, "a handler met a defect");
        metrics::counter!("kundeforhold_requests_total", "endpoint" => "unknown", "status" => "500", "consumer" => "")
            .increment(1);
        Self { arrival, correlation }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handler met a defect")
    }
}

impl ResponseError for Panicked {
    fn status_code(&self) -> StatusCode {
        Problem::DEFECT.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = Problem::DEFECT.respond(self.arrival.correlation, false);
        add_headers(response.headers_mut(), self.correlation.clone(), POLICY);
        response
    }
}

/// Bytes of the address and of all header names and values.
fn head_bytes(request: &ServiceRequest) -> usize {
    let address = request
        .uri()
        .path_and_query()
        .map_or(0, |address| address.as_str().len());
    let headers = request.headers().iter();
    headers.fold(address, |sum, (name, value)| {
        sum + name.as_str().len() + value.len()
    })
}

pub fn add_headers(headers: &mut HeaderMap, correlation: Option<HeaderValue>, policy: &'static str) {
    if let Some(correlation) = correlation {
        headers.insert(CORRELATION_ID.name.clone(), correlation);
    }
    for (name, value) in &HEADERS_OF_ALL {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
}

/// The name of a standard method. Another one is the caller's own text, and could hold anything.
fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::CONNECT => method.as_str(),
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE => method.as_str(),
        _ => "unknown",
    }
}

/// For the operators' console.
fn count_lookup(request: &HttpRequest, route: &str, status: u16, took: Duration) {
    if lookup_route(route).is_some()
        && let Some(statistics) = request.app_data::<Data<Statistics>>()
    {
        statistics.count(Outcome::of_status(status), took);
    }
}

/// One log line, the request's metrics and what its span says. The route's pattern stands for the path, which could
/// hold anything.
fn tell(
    response: &ServiceResponse<impl MessageBody>,
    arrival: &Arrival,
    started: Instant,
    span: &Span,
    trace: &Trace,
) {
    let status = response.status().as_u16();
    let request = response.request();
    let route = pattern_of(request);
    let method = method_name(request.method());
    let consumer = consumer_of(request);
    let elapsed = started.elapsed();
    count(request, &route, status, consumer, elapsed);
    let consumer = consumer.map(|consumer| consumer.to_string()).unwrap_or_default();
    count_lookup(request, &route, status, elapsed);
    // The log lines of a span parse and write all its fields anew for each that is added.
    if trace.is_exported {
        span.record("http.request.method", method)
            .record("http.route", &*route)
            .record("http.response.status_code", status)
            .record("consumer", &consumer);
    }
    tracing::info!(
        correlation = %arrival.correlation,
        trace = trace.id.map(tracing::field::display),
        method,
        route = &*route,
        status,
        consumer,
        milliseconds = elapsed.as_secs_f64() * 1e3,
        "request"
    );
}

fn consumer_of(request: &HttpRequest) -> Option<OrganizationNumber> {
    let extensions = request.extensions();
    extensions.get::<NotedConsumer>().map(|noted| noted.0)
}

fn count(
    request: &HttpRequest,
    route: &str,
    status: u16,
    consumer: Option<OrganizationNumber>,
    took: Duration,
) {
    let admitted = request.extensions().get::<Admitted>().is_some();
    if let Some(meters) = request.app_data::<RequestMeters>() {
        meters.count(route, status, consumer.filter(|_| admitted), took);
    }
}
