//! The table of contents of the API.

use super::answer::{Answer, respond_to};
use super::error::Problem;
use super::request::Mount;
use super::{account, deliveries, docs, kfr, participants, relationships, services};
use actix_web::dev::HttpServiceFactory;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Route, Scope, guard};
use std::borrow::Cow;

/// The two lookups, at both mounts.
const LOOKUPS: [&str; 4] = [
    "/v2/customers/customerRelationships",
    "/v2/customers/accountServicingProvider",
    "/kar-ws/api/v1/customers/customerRelationships",
    "/kar-ws/api/v1/customers/accountServicingProvider",
];

/// The route of one of the two lookups, if a path, decoded, is that of one.
pub fn lookup_route(path: &str) -> Option<&'static str> {
    LOOKUPS.into_iter().find(|route| *route == path)
}

/// The pattern of a request's route, which tells nothing of what its path may hold.
pub fn pattern_of(request: &HttpRequest) -> Cow<'static, str> {
    // A lookup's is its path, and need not be looked for.
    match lookup_route(request.match_info().as_str()) {
        Some(lookup) => lookup.into(),
        None => request.match_pattern().map_or("unknown".into(), Cow::Owned),
    }
}

/// All routes of the public port.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(current())
        .service(published())
        .configure(docs::configure)
        .default_service(web::to(unknown_resource));
}

fn current() -> impl HttpServiceFactory {
    let lookups = web::scope("/v2")
        .app_data(Mount::V2)
        .service(resource(
            "/customers/customerRelationships",
            "GET",
            [get(relationships::get)],
        ))
        .service(resource(
            "/customers/accountServicingProvider",
            "GET",
            [get(account::get)],
        ))
        .service(resource("/participants", "GET", [get(participants::list)]))
        .service(resource("/services", "GET", [get(services::list)]));
    deliveries_of_banks(lookups).default_service(web::to(unknown_resource))
}

fn deliveries_of_banks(scope: Scope) -> Scope {
    scope
        .service(resource(
            "/financialInstitutions/{institution}/relationships",
            "GET, PUT",
            [
                get(deliveries::history::own_records),
                put(deliveries::put_whole_set),
            ],
        ))
        .service(resource(
            "/financialInstitutions/{institution}/relationships/changes",
            "POST",
            [post(deliveries::post_changes)],
        ))
        .service(resource(
            "/financialInstitutions/{institution}/deliveries",
            "GET",
            [get(deliveries::history::list)],
        ))
        .service(resource(
            "/financialInstitutions/{institution}/deliveries/{delivery}",
            "GET",
            [get(deliveries::history::get)],
        ))
        .service(resource(
            "/financialInstitutions/{institution}/deliveries/{delivery}/rejects",
            "GET",
            [get(deliveries::history::rejects)],
        ))
        .service(resource(
            "/financialInstitutions/{institution}/deliveries/{delivery}/rollback",
            "POST",
            [post(deliveries::history::roll_back)],
        ))
}

fn published() -> impl HttpServiceFactory {
    web::scope("/kar-ws/api/v1")
        .app_data(Mount::KarWs)
        .service(resource(
            "/customers/customerRelationships",
            "GET",
            [get(relationships::get_published)],
        ))
        .service(resource(
            "/customers/accountServicingProvider",
            "GET",
            [get(account::get_published)],
        ))
        .service(resource(
            "/customers/financialInstitutions/{institution}/relationshipType/{type}",
            "POST, DELETE",
            [post(kfr::add), delete(kfr::end)],
        ))
        .service(resource(
            "/customers/financialInstitutions/{institution}/batch",
            "POST",
            [post(kfr::add_list)],
        ))
        .service(resource(
            "/customers/financialInstitutions/{institution}/",
            "GET",
            [get(kfr::read)],
        ))
        .service(resource(
            "/customers/financialInstitutions/{institution}",
            "GET",
            [get(kfr::read)],
        ))
        .default_service(web::to(unknown_resource))
}

fn resource<const N: usize>(path: &str, allow: &'static str, routes: [Route; N]) -> Resource {
    let refuse = move |request: HttpRequest| async move { method_not_allowed(&request, allow) };
    routes
        .into_iter()
        .fold(web::resource(path), Resource::route)
        .default_service(web::to(refuse))
}

/// A handler of an authenticated call: it can only return an [`Answer`], and an answer is always recorded.
fn recorded<F, Args>(route: Route, handler: F) -> Route
where
    F: Handler<Args, Output = Answer>,
    Args: FromRequest + 'static,
{
    route.to(handler)
}

fn get<F: Handler<Args, Output = Answer>, Args: FromRequest + 'static>(handler: F) -> Route {
    // `web::get()` would answer HEAD too in some routers; the contract is GET only.
    recorded(web::route().guard(guard::Get()), handler)
}

/// GET, and HEAD, which is answered the same without a body: what monitors and link checkers ask with.
pub fn reading() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

fn post<F: Handler<Args, Output = Answer>, Args: FromRequest + 'static>(handler: F) -> Route {
    recorded(web::post(), handler)
}

fn put<F: Handler<Args, Output = Answer>, Args: FromRequest + 'static>(handler: F) -> Route {
    recorded(web::put(), handler)
}

fn delete<F: Handler<Args, Output = Answer>, Args: FromRequest + 'static>(handler: F) -> Route {
    recorded(web::delete(), handler)
}

async fn unknown_resource(request: HttpRequest) -> HttpResponse {
    respond_to(&request, Problem::UNKNOWN_RESOURCE)
}

fn method_not_allowed(request: &HttpRequest, allow: &'static str) -> HttpResponse {
    let mut response = respond_to(request, Problem::METHOD);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_pattern_tells_nothing_of_a_path_that_is_no_lookups() {
        for (path, pattern) in [
            (
                "/v2/customers/customer%52elationships?fromDate=17912099997",
                LOOKUPS[0],
            ),
            ("/kar-ws/api/v1/customers/accountServicingProvider", LOOKUPS[3]),
            ("/v2/customers/customerRelationships/17912099997", "unknown"),
            ("/17912099997", "unknown"),
        ] {
            assert_eq!(
                pattern_of(&TestRequest::with_uri(path).to_http_request()),
                pattern
            );
        }
    }
}
