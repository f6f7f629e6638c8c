//! Authorisation as a parameter: a handler that takes an [`Operator`] or a [`Form`] cannot forget to ask.

use super::Console;
use super::certificate::ClientCertificate;
use super::gate::Gate;
use super::refusal::ConsoleRefusal;
use super::session::{Identity, LIFETIME_SECONDS, Session};
use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::web::{self, Data};
use actix_web::{FromRequest, HttpRequest};
use std::future::{Future, Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// The hidden field of every form.
const FORM_TOKEN: &str = "form_token";
/// Longest wait for what was filled in. It comes with the head, but for what the network holds up.
const LONGEST_FORM: Duration = Duration::from_secs(10);

/// Someone who may use the console.
pub struct Operator {
    pub console: Data<Console>,
    pub session: Session,
    /// To be set with the answer, for a session that begins with it.
    pub cookie: Option<Cookie<'static>>,
}

impl Operator {
    pub fn form_token(&self) -> String {
        self.console.sessions.form_token(&self.session)
    }

    /// Whether there is anything to sign out of.
    pub fn signed_in(&self) -> bool {
        matches!(self.session.identity(), Identity::Named(_))
    }
}

impl FromRequest for Operator {
    type Error = ConsoleRefusal;
    type Future = Ready<Result<Self, ConsoleRefusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admit(request))
    }
}

/// What an operator sent from a page of the same session.
pub struct Form {
    pub operator: Operator,
    fields: Vec<(String, String)>,
}

impl Form {
    /// A field without what is around it; absent, or empty: an empty text.
    pub fn field(&self, name: &str) -> &str {
        field(&self.fields, name)
    }
}

impl FromRequest for Form {
    type Error = ConsoleRefusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ConsoleRefusal>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let admitted = admit(request).and_then(|operator| check_origin(request).map(|()| operator));
        let fields = fields_of(request, payload);
        Box::pin(async move {
            let (operator, fields) = (admitted?, fields.await?);
            let token = field(&fields, FORM_TOKEN);
            if !operator.console.sessions.is_form_token(&operator.session, token) {
                return Err(ConsoleRefusal::ForeignForm);
            }
            Ok(Self { operator, fields })
        })
    }
}

/// What someone sent who may not be an operator yet.
pub struct SignIn {
    pub console: Data<Console>,
    fields: Vec<(String, String)>,
    pub address: Option<IpAddr>,
}

impl SignIn {
    pub fn field(&self, name: &str) -> &str {
        field(&self.fields, name)
    }
}

impl FromRequest for SignIn {
    type Error = ConsoleRefusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ConsoleRefusal>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let console = console_of(request).and_then(|console| check_origin(request).map(|()| console));
        let address = request.peer_addr().map(|peer| peer.ip());
        let fields = fields_of(request, payload);
        Box::pin(async move {
            Ok(Self {
                console: console?,
                fields: fields.await?,
                address,
            })
        })
    }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    let mut values = fields.iter().filter(|(key, _)| key == name);
    values.next().map_or("", |(_, value)| value.trim())
}

fn fields_of(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Vec<(String, String)>, ConsoleRefusal>> + use<> {
    let form = web::Form::<Vec<(String, String)>>::from_request(request, payload);
    async move {
        let form = tokio::time::timeout(LONGEST_FORM, form).await;
        let form = form.map_err(|_| ConsoleRefusal::TooSlow)?;
        Ok(form.map_err(|_| ConsoleRefusal::ForeignForm)?.into_inner())
    }
}

fn console_of(request: &HttpRequest) -> Result<Data<Console>, ConsoleRefusal> {
    let console = request.app_data::<Data<Console>>();
    console.cloned().ok_or(ConsoleRefusal::Failed)
}

fn admit(request: &HttpRequest) -> Result<Operator, ConsoleRefusal> {
    let console = console_of(request)?;
    let known = request
        .cookie(&cookie_name(request))
        .and_then(|cookie| console.sessions.read(cookie.value()));
    let certified = || request.conn_data::<ClientCertificate>()?.operator();
    let shown = match &console.gate {
        Gate::Closed => return Err(ConsoleRefusal::Closed),
        Gate::Loopback if !is_named_as_loopback(request) => return Err(ConsoleRefusal::ForeignHost),
        Gate::Loopback => Some(Identity::Local),
        Gate::Token(_) => None,
        Gate::Certificate { otherwise } => match (certified(), otherwise) {
            (Some(name), _) => Some(Identity::Certified(name.to_owned())),
            (None, Some(_)) => None,
            (None, None) => return Err(ConsoleRefusal::NoCertificate),
        },
    };
    let fits = |session: &Session| match &shown {
        Some(identity) => session.identity() == identity,
        None => matches!(session.identity(), Identity::Named(_)),
    };
    let (session, cookie) = match (known.filter(fits), shown) {
        (Some(session), _) => (session, None),
        (None, Some(identity)) => {
            let session = console.sessions.begin(identity);
            let cookie = session_cookie(request, console.sessions.cookie(&session));
            (session, Some(cookie))
        }
        (None, None) => {
            let reading = matches!(*request.method(), Method::GET | Method::HEAD);
            return Err(ConsoleRefusal::SignIn { reading });
        }
    };
    Ok(Operator {
        console,
        session,
        cookie,
    })
}

/// Cookies do not tell ports apart; the name does.
fn cookie_name(request: &HttpRequest) -> String {
    format!(
        "kundeforhold_console_{}",
        request.app_config().local_addr().port()
    )
}

/// The cookie of a session, for this port's console alone; an empty value ends it.
pub fn session_cookie(request: &HttpRequest, value: String) -> Cookie<'static> {
    let lifetime = if value.is_empty() { 0 } else { LIFETIME_SECONDS };
    Cookie::build(cookie_name(request), value)
        .path("/console")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(request.app_config().secure())
        .max_age(time::Duration::seconds(lifetime))
        .finish()
}

/// A page of another site, whose name was made to lead here, has its own name in `Host`.
fn is_named_as_loopback(request: &HttpRequest) -> bool {
    let Some(authority) =
        host_of(request).and_then(|host| host.parse::<actix_web::http::uri::Authority>().ok())
    else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The name that the service was asked under. HTTP/2 has it in the address.
fn host_of(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(header::HOST);
    let header = header.and_then(|host| host.to_str().ok());
    header.or_else(|| request.uri().authority().map(|authority| authority.as_str()))
}

/// Browsers say where a form comes from. What says nothing is no browser, and needs the form's token all the same.
fn check_origin(request: &HttpRequest) -> Result<(), ConsoleRefusal> {
    let told = |name| {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap_or(""))
    };
    let is_ours = |origin: &str| {
        let of = origin.split_once("://").map(|(_, authority)| authority);
        of.is_some() && of == host_of(request)
    };
    let site_is_ours = told(header::HeaderName::from_static("sec-fetch-site"))
        .is_none_or(|site| site == "same-origin" || site == "none");
    match site_is_ours && told(header::ORIGIN).is_none_or(is_ours) {
        true => Ok(()),
        false => Err(ConsoleRefusal::ForeignForm),
    }
}
