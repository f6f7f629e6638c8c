//! Signing in with the operators' token, and out.

use super::Console;
use super::operator::{Form, SignIn, session_cookie};
use super::page::{html, see_other};
use super::refusal::ConsoleRefusal;
use super::session::Identity;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

const LONGEST_NAME: usize = 40;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    fault: &'static str,
}

pub async fn show(console: Data<Console>) -> HttpResponse {
    match console.gate.token() {
        Some(_) => html(StatusCode::OK, &LoginPage { fault: "" }),
        None => see_other("/console"),
    }
}

/// Begins a session under the name that the operator gives: the record of use will tell it.
pub async fn sign_in(request: HttpRequest, form: SignIn) -> Result<HttpResponse, ConsoleRefusal> {
    let (Some(token), Some(address)) = (form.console.gate.token(), form.address) else {
        return Err(ConsoleRefusal::Unknown);
    };
    let attempts = &form.console.attempts;
    if !attempts.may_try(address) {
        let fault = "Too many attempts have failed. Wait a minute.";
        return Ok(html(StatusCode::TOO_MANY_REQUESTS, &LoginPage { fault }));
    }
    if !token.is(form.field("token")) {
        attempts.failed(address);
        tracing::warn!(%address, "an attempt to sign in to the console failed");
        let fault = "That is not the operators' token.";
        return Ok(html(StatusCode::UNAUTHORIZED, &LoginPage { fault }));
    }
    let Some(name) = name_of(form.field("name")) else {
        let fault = "Give your name: letters, at most 40. The record of use will tell it.";
        return Ok(html(StatusCode::BAD_REQUEST, &LoginPage { fault }));
    };
    let session = form.console.sessions.begin(Identity::Named(name.to_owned()));
    tracing::info!(operator = session.actor(), "an operator signed in to the console");
    let cookie = session_cookie(&request, form.console.sessions.cookie(&session));
    let mut response = see_other("/console");
    response.add_cookie(&cookie).map_err(|_| ConsoleRefusal::Failed)?;
    Ok(response)
}

/// A name has no digits, so no number of anybody's gets into the record by it.
fn name_of(text: &str) -> Option<&str> {
    let is_of_name = |c: char| c.is_alphabetic() || " .-'".contains(c);
    let is_name = text.chars().any(char::is_alphabetic)
        && text.chars().all(is_of_name)
        && text.chars().count() <= LONGEST_NAME;
    is_name.then_some(text)
}

pub async fn sign_out(request: HttpRequest, form: Form) -> Result<HttpResponse, ConsoleRefusal> {
    form.operator.console.sessions.end(&form.operator.session);
    let mut response = see_other("/console/login");
    let ended = session_cookie(&request, String::new());
    response.add_cookie(&ended).map_err(|_| ConsoleRefusal::Failed)?;
    Ok(response)
}
