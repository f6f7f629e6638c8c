//! The OpenAPI 3.1 document, generated from the handlers, and the page to browse it. Nothing is loaded
//! from outside.

mod answers;

use answers::EveryAnswer;

use super::deliveries::receipt::RejectedBody;
use super::error::{Detail, ErrorBody};
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};
use uuid::Uuid;

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

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct CustomerHeader {
    /// Fødselsnummer, D-number or organisation number of the control object.
    #[param(
        rename = "CustomerID",
        example = "13897210066",
        pattern = "^[0-9]{9}([0-9]{2})?$"
    )]
    pub customer_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct AccountHeader {
    /// Account number, 11 digits; its check digit is not looked at.
    #[param(rename = "AccountID", example = "17101002225", pattern = "^[0-9]{11}$")]
    pub account_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct CorrelationHeader {
    /// Technical id of this request; echoed.
    #[param(rename = "CorrelationID", example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90")]
    pub correlation_id: Uuid,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct OptionalCorrelationHeader {
    /// Technical id of this request; echoed, and made when absent.
    #[param(
        rename = "CorrelationID",
        example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90",
        nullable = false
    )]
    pub correlation_id: Option<Uuid>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct ForgivingCorrelationHeader {
    /// Technical id of this request; echoed if it is a UUID, and made when it is absent or unreadable.
    #[param(
        rename = "CorrelationID",
        example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90",
        nullable = false
    )]
    pub correlation_id: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct LookupHeaders {
    /// Technical id of this request; echoed.
    #[param(rename = "CorrelationID", example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90")]
    pub correlation_id: Uuid,
    /// The legal basis, percent-encoded UTF-8.
    #[param(rename = "Legal-Mandate", example = "Arveloven%20%C2%A7%2092", min_length = 1)]
    pub legal_mandate: String,
    /// Id of the agency's case.
    #[param(
        rename = "AccountInfoRequestID",
        example = "6a0c3f1e-52b8-4a39-8a53-70f35ce0b2f1"
    )]
    pub account_info_request_id: Uuid,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct OptionalLookupHeaders {
    /// Technical id of this request; echoed, and made when absent.
    #[param(
        rename = "CorrelationID",
        example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90",
        nullable = false
    )]
    pub correlation_id: Option<Uuid>,
    /// The legal basis, percent-encoded UTF-8.
    #[param(
        rename = "Legal-Mandate",
        example = "Arveloven%20%C2%A7%2092",
        min_length = 1,
        nullable = false
    )]
    pub legal_mandate: Option<String>,
    /// Id of the agency's case.
    #[param(
        rename = "AccountInfoRequestID",
        example = "6a0c3f1e-52b8-4a39-8a53-70f35ce0b2f1",
        nullable = false
    )]
    pub account_info_request_id: Option<Uuid>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PeriodParameters {
    /// First day asked about, inclusive; not after today.
    #[param(rename = "fromDate", format = Date, example = "2026-01-01")]
    pub from_date: String,
    /// Last day asked about, inclusive.
    #[param(rename = "toDate", format = Date, example = "2026-11-20")]
    pub to_date: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OptionalPeriodParameters {
    /// First day asked about, inclusive; not after today, which is the default.
    #[param(rename = "fromDate", format = Date, example = "2026-01-01", nullable = false)]
    pub from_date: Option<String>,
    /// Last day asked about, inclusive; default today.
    #[param(rename = "toDate", format = Date, example = "2026-11-20", nullable = false)]
    pub to_date: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OnlyPrimaryOwnerParameter {
    /// `true` lists only banks where the customer is primary owner; read in any letter case. When it is
    /// sent, whatever its value, the answer tells `ownershipType`.
    #[param(
        rename = "onlyPrimaryOwner",
        pattern = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$",
        example = "true",
        nullable = false
    )]
    pub only_primary_owner: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EndDateParameter {
    /// Last day of the relationship; default yesterday.
    #[param(rename = "toDate", format = Date, example = "2026-11-19", nullable = false)]
    pub to_date: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RegisterParameter {
    /// `KAR` or `KFR`; default the bank's only one, else KAR.
    #[param(pattern = "^(KAR|KFR)$", example = "KAR", nullable = false)]
    pub register: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WholeSetParameters {
    /// Bad lines in spite of which the delivery is published; default 0.
    #[param(rename = "maxRejects", nullable = false)]
    pub max_rejects: Option<u64>,
    /// `true`: the set may have less than half as many running records as stand now.
    #[param(rename = "confirmShrink", nullable = false)]
    pub confirm_shrink: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MaxRejectsParameter {
    /// Bad lines in spite of which the delivery is published; default 0.
    #[param(rename = "maxRejects", nullable = false)]
    pub max_rejects: Option<u64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DiscardParameter {
    /// `true`: what was published after the whole set is lost with it.
    #[param(rename = "discardLaterChanges", nullable = false)]
    pub discard_later_changes: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// Receipts of a page; default 50.
    #[param(minimum = 1, maximum = 500, nullable = false)]
    pub limit: Option<u16>,
    /// Only deliveries begun before this one.
    #[param(nullable = false)]
    pub before: Option<Uuid>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct DeliveryHeaders {
    /// The same key with the same body gets the first receipt, for 7 days; with another body 409.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 200,
        pattern = "^[!-~]+$",
        nullable = false
    )]
    pub idempotency_key: Option<String>,
    /// `gzip` or `zstd`.
    #[param(rename = "Content-Encoding", pattern = "^identity$", nullable = false)]
    pub content_encoding: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct SequenceHeader {
    /// The bank's number of this delivery, from 1; a gap or repeat is 409.
    #[param(rename = "Delivery-Sequence", minimum = 1, nullable = false)]
    pub delivery_sequence: Option<u64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DeliveryPath {
    /// Organisation number of the bank.
    #[param(rename = "organizationID", example = "210099093", pattern = "^[0-9]{9}$")]
    pub organization_id: String,
    /// Id of the delivery, as its receipt has it.
    #[param(rename = "deliveryID", example = "0193a4c8-6e1a-7f7e-9d4b-2f1d3c5b7a90")]
    pub delivery_id: Uuid,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct InstitutionPath {
    /// Organisation number of the financial institution.
    #[param(example = "210099093", pattern = "^[0-9]{9}$")]
    pub fid: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OrganizationPath {
    /// Organisation number of the bank.
    #[param(rename = "organizationID", example = "210099093", pattern = "^[0-9]{9}$")]
    pub organization_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct KfrTypePath {
    /// Organisation number of the financial institution.
    #[param(example = "210099093", pattern = "^[0-9]{9}$")]
    pub fid: String,
    /// `DSOPBANK`.
    #[param(rename = "type", example = "DSOPBANK", pattern = "^DSOPBANK$")]
    pub relationship_type: String,
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

/// Errors of the agencies' operations.
#[derive(IntoResponses)]
pub enum LookupErrors {
    /// ERR-002 `CustomerID`, ERR-003 period, ERR-004 `AccountID`, ERR-005 anything else. The first of the
    /// broken rules gives the code, `details` name them all.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// ERR-001: no token, or one that fails a check.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer error=\"invalid_token\"`, and the failed claim once the signature was good.")))]
    NotAuthenticated(ErrorBody),
    /// ERR-001: the scope is missing. ERR-007, lookups only: outside the terms of the caller's DSOP services;
    /// `details` name the term that fails.
    #[response(status = 403)]
    NotAuthorized(ErrorBody),
    /// ERR-009: GET only.
    #[response(status = 405, headers(("Allow" = String, description = "What is allowed.")))]
    Method(ErrorBody),
    /// ERR-009: `Accept` does not admit JSON.
    #[response(status = 406)]
    NotAcceptable(ErrorBody),
    /// ERR-009: the headers are too large.
    #[response(status = 431)]
    TooLarge(ErrorBody),
    /// ERR-010: the consumer's rate, or its customers of the day, are used up.
    #[response(status = 429, headers(("Retry-After" = u32, description = "Seconds.")))]
    TooMany(ErrorBody),
    /// ERR-500: a defect; the log has the cause under the same correlation id.
    #[response(status = 500)]
    Defect(ErrorBody),
    /// ERR-503: index, record of use or the issuer's keys are not there.
    #[response(status = 503, headers(("Retry-After" = u32, description = "Seconds.")))]
    Unavailable(ErrorBody),
    /// ERR-504: the index did not answer in time.
    #[response(status = 504)]
    TimedOut(ErrorBody),
}

/// What only the account lookup can answer.
#[derive(IntoResponses)]
pub enum AccountErrors {
    /// ERR-006: no bank services the account, as far as `Register-Coverage` says.
    #[response(status = 404, headers(("Register-Coverage" = String, description = "`complete`, or what the register does not know.")))]
    Unknown(ErrorBody),
}

/// Errors of the banks' operations.
#[derive(IntoResponses)]
pub enum BankErrors {
    /// KFR-004 invalid request, KFR-005 invalid customer, KFR-009 invalid type, KFR-010 invalid date.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// KFR-001: no token, or one that fails a check.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer error=\"invalid_token\"`, and the failed claim once the signature was good.")))]
    NotAuthenticated(ErrorBody),
    /// KFR-002 no access, KFR-003 wrong organisation number.
    #[response(status = 403)]
    NotAuthorized(ErrorBody),
    /// ERR-009: another method.
    #[response(status = 405, headers(("Allow" = String, description = "What is allowed.")))]
    Method(ErrorBody),
    /// ERR-009: the headers are too large.
    #[response(status = 431)]
    HeadersTooLarge(ErrorBody),
    /// KFR-007: a defect.
    #[response(status = 500)]
    Defect(ErrorBody),
    /// KFR-016: nothing was acknowledged; try again.
    #[response(status = 503, headers(("Retry-After" = u32, description = "Seconds.")))]
    Unavailable(ErrorBody),
}

/// What only the ending call can answer.
#[derive(IntoResponses)]
pub enum KfrAddedErrors {
    /// KFR-008: no registration of the customer runs.
    #[response(status = 404)]
    NothingRuns(ErrorBody),
}

/// What only a batch can answer.
#[derive(IntoResponses)]
pub enum BatchErrors {
    /// KFR-014: the pause between two pieces of the body was too long.
    #[response(status = 408)]
    TooSlow(ErrorBody),
    /// KFR-013: the body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
}

/// What only a streamed delivery can answer.
#[derive(IntoResponses)]
pub enum DeliveryErrors {
    /// KFR-014: the pause between two pieces of the body was too long.
    #[response(status = 408)]
    TooSlow(ErrorBody),
    /// KFR-011: another delivery is under way, the key or sequence was used, or the set shrinks too much;
    /// `details` say which, and what to do.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// KFR-013: the body or a line is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// KFR-012: too many lines are bad; what stood stands.
    #[response(status = 422)]
    Rejected(RejectedBody),
}

/// What only calls that name a delivery can answer.
#[derive(IntoResponses)]
pub enum NotFoundErrors {
    /// KFR-008: the bank has no such delivery.
    #[response(status = 404)]
    NotFound(ErrorBody),
}

/// What only a rollback can answer.
#[derive(IntoResponses)]
pub enum ConflictErrors {
    /// KFR-011: not the latest published whole set, too long ago, or later changes would be lost; `details` say which.
    #[response(status = 409)]
    Conflict(ErrorBody),
}

/// The published errors of the reading call: ERR-001, ERR-002 and ERR-003.
#[derive(IntoResponses)]
pub enum PublishedReadErrors {
    /// ERR-002 `CustomerID`, ERR-003 period.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// ERR-001: no token, or one that fails a check.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer error=\"invalid_token\"`, and the failed claim once the signature was good.")))]
    NotAuthenticated(ErrorBody),
    /// ERR-001: the scope is missing, or the institution is another.
    #[response(status = 403)]
    NotAuthorized(ErrorBody),
    /// ERR-009: another method.
    #[response(status = 405, headers(("Allow" = String, description = "What is allowed.")))]
    Method(ErrorBody),
    /// ERR-009: the headers are too large.
    #[response(status = 431)]
    HeadersTooLarge(ErrorBody),
    /// ERR-500: a defect.
    #[response(status = 500)]
    Defect(ErrorBody),
    /// ERR-503: try again.
    #[response(status = 503, headers(("Retry-After" = u32, description = "Seconds.")))]
    Unavailable(ErrorBody),
}
