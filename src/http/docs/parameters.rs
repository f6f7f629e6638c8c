//! Headers, path and query parameters, as the document shows them. A UUID in a header is a text with a pattern: clients that
//! are generated cannot send another type there.

use utoipa::IntoParams;
use uuid::Uuid;

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
    #[param(
        rename = "CorrelationID",
        example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90",
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
    )]
    pub correlation_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct OptionalCorrelationHeader {
    /// Technical id of this request; echoed, and made when absent.
    #[param(
        rename = "CorrelationID",
        example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90",
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
        nullable = false
    )]
    pub correlation_id: Option<String>,
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
    #[param(
        rename = "CorrelationID",
        example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90",
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
    )]
    pub correlation_id: String,
    /// The legal basis, percent-encoded UTF-8.
    #[param(rename = "Legal-Mandate", example = "Arveloven%20%C2%A7%2092", min_length = 1)]
    pub legal_mandate: String,
    /// Id of the agency's case.
    #[param(
        rename = "AccountInfoRequestID",
        example = "6a0c3f1e-52b8-4a39-8a53-70f35ce0b2f1",
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
    )]
    pub account_info_request_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct OptionalLookupHeaders {
    /// Technical id of this request; echoed, and made when absent.
    #[param(
        rename = "CorrelationID",
        example = "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90",
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
        nullable = false
    )]
    pub correlation_id: Option<String>,
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
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
        nullable = false
    )]
    pub account_info_request_id: Option<String>,
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
    #[param(rename = "maxRejects", maximum = 1000000000, nullable = false)]
    pub max_rejects: Option<u64>,
    /// `true`: the set may have less than half as many running records as stand now.
    #[param(rename = "confirmShrink", nullable = false)]
    pub confirm_shrink: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MaxRejectsParameter {
    /// Bad lines in spite of which the delivery is published; default 0.
    #[param(rename = "maxRejects", maximum = 1000000000, nullable = false)]
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
    /// `gzip` or `zstd`; `identity` when absent.
    #[param(
        rename = "Content-Encoding",
        pattern = "^(identity|gzip|zstd)$",
        nullable = false
    )]
    pub content_encoding: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct SequenceHeader {
    /// The bank's number of this delivery, from 1; a gap or repeat is 409.
    #[param(
        rename = "Delivery-Sequence",
        minimum = 1,
        maximum = 9223372036854775807_i64,
        nullable = false
    )]
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
