//! The OpenAPI 3.1 document, generated from the handlers, and the page to browse it. Nothing is loaded
//! from outside.

mod answers;
mod bodies;
mod errors;
#[cfg(test)]
mod examples;
mod older;
mod parameters;

use answers::EveryAnswer;
use bodies::{Lines, Servers};
pub use errors::*;
pub use parameters::*;

use super::answer::respond_to;
use super::deliveries::receipt::RejectedBody;
use super::error::{Detail, ErrorBody, Problem};
use super::routes::reading;
use actix_web::http::header::{self, ContentType};
use actix_web::web::{Bytes, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::LazyLock;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::Config;

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
    modifiers(&Maskinporten, &EveryAnswer, &Lines, &Servers),
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

/// The same in OpenAPI 3.0, as `kundeforhold openapi --v3.0` and `/openapi-3.0.json` give it.
pub fn document_3_0() -> Value {
    older::rendered(json!(document()))
}

/// Made once: every answer shares it.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| bytes_of(&document()));
static DOCUMENT_3_0: LazyLock<Bytes> = LazyLock::new(|| bytes_of(&document_3_0()));

fn bytes_of(document: &impl Serialize) -> Bytes {
    serde_json::to_vec(document).unwrap_or_default().into()
}

/// Whether a path is one of those of the document and its page.
pub fn is_document(path: &str) -> bool {
    matches!(path, DOCUMENT_PATH | DOCUMENT_3_0_PATH) || path.starts_with("/docs")
}

const DOCUMENT_PATH: &str = "/openapi.json";
const DOCUMENT_3_0_PATH: &str = "/openapi-3.0.json";

/// The document, and the page to browse it.
pub fn configure(config: &mut ServiceConfig) {
    let page = Config::new([DOCUMENT_PATH])
        .validator_url("none")
        .use_base_layout();
    config
        .app_data(Data::new(page))
        .route(DOCUMENT_PATH, reading().to(async || json_of(&DOCUMENT)))
        .route(DOCUMENT_3_0_PATH, reading().to(async || json_of(&DOCUMENT_3_0)))
        .route(
            "/docs",
            reading().to(async || {
                HttpResponse::Found()
                    .insert_header((header::LOCATION, "/docs/"))
                    .finish()
            }),
        )
        .route("/docs/{file:.*}", reading().to(show));
}

fn json_of(document: &LazyLock<Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(Bytes::clone(document))
}

/// A file of the page. All but a small one are parts of the program, which answers share.
async fn show(request: HttpRequest, file: Path<String>, page: Data<Config<'static>>) -> HttpResponse {
    let Ok(Some(file)) = utoipa_swagger_ui::serve(&file, page.into_inner()) else {
        return respond_to(&request, Problem::UNKNOWN_RESOURCE);
    };
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    response.content_type(file.content_type).body(match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    })
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
