//! The OpenAPI 3.1 document, generated from the handlers, and the page to browse it. Nothing is loaded
//! from outside.

mod answers;
mod errors;
mod parameters;

use answers::EveryAnswer;
pub use errors::*;
pub use parameters::*;

use super::deliveries::receipt::RejectedBody;
use super::error::{Detail, ErrorBody};
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "DSOP Customer Relations Overview",
        description = "Which banks has a person or organisation had a relationship with in a period, and which bank services an account. Agencies ask, banks deliver.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        super::relationships::get,
        super::account::get,
        super::participants::list,
        super::services::list,
        super::relationships::get_published,
        super::account::get_published,
        super::kfr::add,
        super::kfr::end,
        super::kfr::add_list,
        super::kfr::read,
        super::deliveries::put_whole_set,
        super::deliveries::post_changes,
        super::deliveries::history::list,
        super::deliveries::history::get,
        super::deliveries::history::rejects,
        super::deliveries::history::roll_back,
        super::deliveries::history::own_records,
    ),
    components(schemas(ErrorBody, Detail, RejectedBody)),
    modifiers(&Maskinporten, &EveryAnswer),
    tags(
        (name = "Lookups", description = "For agencies."),
        (name = "Lookups, older path", description = "The same under the path of the service in use before."),
        (name = "KFR calls", description = "For banks: registrations at customer level, as used today."),
        (name = "Deliveries", description = "For banks: whole sets of relationships, changes, and what became of them."),
    )
)]
struct Document;

struct Maskinporten;

impl Modify for Maskinporten {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token from Maskinporten."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("maskinporten", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI document as `kundeforhold openapi` and `/openapi.json` give it.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `/openapi.json` and `/docs`.
pub fn configure(config: &mut ServiceConfig) {
    let page = Config::new(["/openapi.json"])
        .validator_url("none")
        .use_base_layout();
    config
        .route(
            "/openapi.json",
            web::get().to(async || HttpResponse::Ok().json(document())),
        )
        .route(
            "/docs",
            web::get().to(async || {
                HttpResponse::Found()
                    .insert_header((header::LOCATION, "/docs/"))
                    .finish()
            }),
        )
        .service(SwaggerUi::new("/docs/{_:.*}").config(page));
}

/// A list of customers.
#[derive(ToSchema)]
pub struct BatchBody {
    /// `DSOPBANK`.
    #[schema(example = "DSOPBANK")]
    pub customer_type: String,
    /// `ID` or `ID#YYYY-MM-DD` (the first day), separated by commas or line breaks.
    #[schema(example = "13897210066,06894169867#2020-01-31")]
    pub customers: String,
}
