//! What all pages have in common.

use super::format::{Moment, clock};
use super::operator::Operator;
use super::refusal::ConsoleRefusal;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};
use askama::Template;
use chrono::Utc;

/// Everything comes from this port; nothing runs or is styled inside a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Overview,
    Banks,
    Agencies,
    Record,
}

/// What surrounds a page.
pub struct Frame {
    pub title: String,
    pub section: Section,
    pub operator: String,
    pub form_token: String,
    pub signed_in: bool,
    /// Whether the page refreshes itself.
    pub live: bool,
    pub now: Moment,
}

impl Frame {
    pub fn new(operator: &Operator, section: Section, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            operator: operator.session.identity().to_string(),
            form_token: operator.form_token(),
            signed_in: operator.signed_in(),
            live: false,
            now: clock(Utc::now()),
        }
    }

    pub fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// Marks the navigation's entry of this page.
    pub fn current(&self, section: Section) -> &'static str {
        if self.section == section { "page" } else { "false" }
    }
}

/// A page for an operator.
pub fn page(operator: &Operator, status: StatusCode, template: &impl Template) -> HttpResponse {
    let mut response = html(status, template);
    if let Some(cookie) = &operator.cookie
        && response.add_cookie(cookie).is_err()
    {
        return simple_page(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Not now",
            "The session could not begin.",
        );
    }
    response
}

/// A page of which nothing depends on who reads it.
pub fn html(status: StatusCode, template: &impl Template) -> HttpResponse {
    match template.render() {
        Ok(text) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .body(text),
        Err(cause) => {
            tracing::error!(%cause, "a page of the console could not be rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Leads the browser on after a form.
pub fn see_other(address: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, address))
        .finish()
}

#[derive(Template)]
#[template(path = "simple.html")]
struct SimplePage<'a> {
    title: &'a str,
    text: &'a str,
}

/// A title and a sentence.
pub fn simple_page(status: StatusCode, title: &str, text: &str) -> HttpResponse {
    html(status, &SimplePage { title, text })
}

pub async fn unknown(_: Operator) -> Result<HttpResponse, ConsoleRefusal> {
    Err(ConsoleRefusal::Unknown)
}

/// Headers of every answer of the console.
pub async fn protect(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ] {
        let headers = response.headers_mut();
        if !headers.contains_key(&name) {
            headers.insert(name, header::HeaderValue::from_static(value));
        }
    }
    Ok(response)
}
