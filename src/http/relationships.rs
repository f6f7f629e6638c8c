//! `customerRelationships`, under both mounts.

use super::answer::{Answer, tell_coverage};
use super::caller::{CustomerRelationships, LookupCaller};
use super::docs::LookupErrors;
use super::request::{Mount, Reader, arrival_of};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::overview::OwnershipType;
use crate::record::Subject;
use crate::register::lookup::{Asked, ListedBank, Lookup, RelationshipsAnswer, RelationshipsQuestion};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// DSOP customerRelationships V2.0, the answer.
#[derive(Serialize, ToSchema)]
pub struct CustomerRelationshipsBody {
    /// In order of `organizationID`; empty when there is no relation.
    banks: Vec<BankBody>,
}

/// DSOP customerRelationships V2.0, `banks`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BankBody {
    /// Organisation number of the financial institution.
    #[serde(rename = "organizationID", serialize_with = "as_text")]
    #[schema(value_type = String, example = "210011013", pattern = "^[0-9]{9}$")]
    organization_id: OrganizationNumber,
    #[schema(example = "Blåbærlia Sparebank")]
    bank_name: String,
    /// The customer owns an account that can be credited through NICS, and `toDate` is today.
    active_account: bool,
    /// Present exactly when the request carried `onlyPrimaryOwner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ownership_type: Option<OwnershipTypeName>,
}

/// DSOP customerRelationships V2.0, `banks.ownershipType`. `unknown`: the bank holds no role history, or its records begin
/// after `fromDate`, so that the customer may have owned an account before.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum OwnershipTypeName {
    PrimaryOwner,
    NotPrimaryOwner,
    Unknown,
}

fn as_text<S: Serializer>(number: &OrganizationNumber, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

impl BankBody {
    fn new(bank: ListedBank, tells_ownership: bool) -> Self {
        let ownership = match bank.standing.ownership {
            OwnershipType::PrimaryOwner => OwnershipTypeName::PrimaryOwner,
            OwnershipType::NotPrimaryOwner => OwnershipTypeName::NotPrimaryOwner,
            OwnershipType::Unknown => OwnershipTypeName::Unknown,
        };
        Self {
            organization_id: bank.organization,
            bank_name: bank.name,
            active_account: bank.standing.active_account,
            ownership_type: tells_ownership.then_some(ownership),
        }
    }
}

impl From<RelationshipsAnswer> for CustomerRelationshipsBody {
    fn from(answer: RelationshipsAnswer) -> Self {
        let banks = answer
            .banks
            .into_iter()
            .map(|bank| BankBody::new(bank, answer.tells_ownership));
        Self {
            banks: banks.collect(),
        }
    }
}

/// Which banks the customer has or had a relationship with in a period.
#[utoipa::path(
    get,
    path = "/v2/customers/customerRelationships",
    operation_id = "getCustomerRelation",
    tag = "Lookups",
    params(super::docs::CustomerHeader, super::docs::LookupHeaders, super::docs::PeriodParameters, super::docs::OnlyPrimaryOwnerParameter),
    responses(
        (status = 200, description = "The banks; none is an empty list.", body = CustomerRelationshipsBody,
            headers(("CorrelationID" = String, description = "As sent."), ("Register-Coverage" = String, description = "`complete`, or `incomplete; stale=N; notLoaded=N; beforeCoverage=N; unknownOwnership=N; beforeRetention=1`: so many banks, and whether `fromDate` lies further back than the register keeps. Only the parts above zero."))),
        LookupErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold"]))
)]
pub async fn get(
    caller: LookupCaller<CustomerRelationships>,
    request: HttpRequest,
    lookup: Data<Lookup>,
) -> Answer {
    let recorded = lookup.relationships(&caller, ask(&request)).await;
    Answer::to_lookup(recorded, &request, |answer| {
        let coverage = answer.coverage;
        let mut response = HttpResponse::Ok().json(CustomerRelationshipsBody::from(answer));
        tell_coverage(&mut response, Mount::of(&request), &coverage);
        response
    })
}

/// The same under the path of the service in use before: most headers and both dates may be absent.
#[utoipa::path(
    get,
    path = "/kar-ws/api/v1/customers/customerRelationships",
    operation_id = "getCustomerRelationPublished",
    tag = "Lookups, older path",
    params(super::docs::CustomerHeader, super::docs::OptionalLookupHeaders, super::docs::OptionalPeriodParameters, super::docs::OnlyPrimaryOwnerParameter),
    responses(
        (status = 200, description = "The banks; none is an empty list.", body = CustomerRelationshipsBody,
            headers(("CorrelationID" = String, description = "As sent, or made here."))),
        LookupErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold"]))
)]
pub async fn get_published(
    caller: LookupCaller<CustomerRelationships>,
    request: HttpRequest,
    lookup: Data<Lookup>,
) -> Answer {
    get(caller, request, lookup).await
}

fn ask(request: &HttpRequest) -> Asked<RelationshipsQuestion> {
    let arrival = arrival_of(request);
    let mut reader = Reader::new(request, &["fromDate", "toDate", "onlyPrimaryOwner"]);
    let customer = reader.customer();
    let context = reader.legal_context();
    let period = reader.period(arrival.today, reader.mount() == Mount::KarWs);
    let only_primary_owner = reader.only_primary_owner();
    let question = customer
        .zip(period)
        .map(|(customer, period)| RelationshipsQuestion {
            customer,
            period,
            only_primary_owner,
        });
    Asked {
        arrival,
        context,
        subject: customer.map(Subject::Customer),
        question: reader.finish(question),
    }
}
