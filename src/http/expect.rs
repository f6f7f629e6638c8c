//! `Expect: 100-continue`: a body is asked for only of a caller whose token holds.

use super::caller::{authorization, count_refusal};
use super::error::Problem;
use super::middleware::{POLICY, add_headers};
use super::request::correlation_of;
use crate::access::authenticator::Authenticator;
use actix_http::{HttpMessage, Request, Response};
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use uuid::Uuid;

/// The request, to be answered once its body has come; or the refusal, before it comes.
///
/// # Errors
/// When the token does not hold, or there are no keys to know by.
pub async fn admit(request: Request, authenticator: &Authenticator) -> Result<Request, Response<BoxBody>> {
    let cause = match authenticator.authenticate(authorization(request.headers())).await {
        Ok(_) => return Ok(request),
        Err(cause) => cause,
    };
    count_refusal("authentication");
    let problem = match *request.method() {
        Method::GET => Problem::not_authenticated(&cause),
        _ => Problem::bank_not_authenticated(&cause),
    };
    let correlation = correlation_of(request.headers()).unwrap_or_else(Uuid::new_v4);
    let status = problem.status.as_u16();
    tracing::info!(%correlation, status, "refused before its body came");
    let mut response: HttpResponse = problem.respond(correlation, request.path().starts_with("/kar-ws/"));
    let echoed = HeaderValue::from_str(&correlation.to_string()).ok();
    add_headers(response.headers_mut(), echoed, POLICY);
    Err(response.into())
}
