//! `accountServicingProvider`, under both mounts.

use super::answer::{Answer, tell_coverage};
use super::caller::{AccountServicingProvider, LookupCaller};
use super::docs::{AccountErrors, LookupErrors};
use super::request::{Mount, Reader, arrival_of};
use crate::record::Subject;
use crate::register::lookup::{AccountAnswer, AccountQuestion, Asked, Lookup};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

/// The bank that services an account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountServicingProviderBody {
    /// Organisation number of the financial institution.
    #[serde(rename = "organizationID")]
    #[schema(example = "210011013", pattern = "^[0-9]{9}$")]
    organization_id: String,
    #[schema(example = "Blåbærlia Sparebank")]
    bank_name: String,
}

/// The same as published in 1.1.2, which spells the organisation number in two ways.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedAccountServicingProviderBody {
    #[serde(rename = "organizationID")]
    #[schema(example = "210011013", pattern = "^[0-9]{9}$")]
    organization_id: String,
    #[serde(rename = "organizationId")]
    #[schema(example = "210011013", pattern = "^[0-9]{9}$")]
    organization_id_as_published: String,
    #[schema(example = "Blåbærlia Sparebank")]
    bank_name: String,
}

/// Which bank services an account.
#[utoipa::path(
    get,
    path = "/v2/customers/accountServicingProvider",
    operation_id = "getAccountServicingProvider",
    tag = "Lookups",
    params(super::docs::AccountHeader, super::docs::LookupHeaders),
    responses(
        (status = 200, description = "The bank.", body = AccountServicingProviderBody,
            headers(("CorrelationID" = String, description = "As sent."), ("Register-Coverage" = String, description = "`complete`, or `incomplete; stale=N; notLoaded=N`: so many banks. Only the parts above zero."))),
        LookupErrors, AccountErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold"]), ("maskinporten" = ["bits:kundeforhold.konto"]))
)]
pub async fn get(
    caller: LookupCaller<AccountServicingProvider>,
    request: HttpRequest,
    lookup: Data<Lookup>,
) -> Answer {
    let recorded = lookup.account(&caller, ask(&request)).await;
    Answer::to_lookup(
        recorded,
        &request,
        |AccountAnswer {
             organization,
             name,
             coverage,
         }| {
            let body = AccountServicingProviderBody {
                organization_id: organization.to_string(),
                bank_name: name,
            };
            let mut response = HttpResponse::Ok().json(body);
            tell_coverage(&mut response, Mount::of(&request), &coverage);
            response
        },
    )
}

/// The same under the path of the service in use before; an unknown account is a 400 there.
#[utoipa::path(
    get,
    path = "/kar-ws/api/v1/customers/accountServicingProvider",
    operation_id = "getAccountServicingProviderPublished",
    tag = "Lookups, older path",
    params(super::docs::AccountHeader, super::docs::OptionalLookupHeaders),
    responses(
        (status = 200, description = "The bank.", body = PublishedAccountServicingProviderBody,
            headers(("CorrelationID" = String, description = "As sent, or made here."))),
        LookupErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold"]), ("maskinporten" = ["bits:kundeforhold.konto"]))
)]
pub async fn get_published(
    caller: LookupCaller<AccountServicingProvider>,
    request: HttpRequest,
    lookup: Data<Lookup>,
) -> Answer {
    let recorded = lookup.account(&caller, ask(&request)).await;
    Answer::to_lookup(
        recorded,
        &request,
        |AccountAnswer {
             organization, name, ..
         }| {
            HttpResponse::Ok().json(PublishedAccountServicingProviderBody {
                organization_id: organization.to_string(),
                organization_id_as_published: organization.to_string(),
                bank_name: name,
            })
        },
    )
}

fn ask(request: &HttpRequest) -> Asked<AccountQuestion> {
    let mut reader = Reader::new(request, &[]);
    let account = reader.account();
    let context = reader.legal_context();
    let as_published = reader.mount() == Mount::KarWs;
    Asked {
        arrival: arrival_of(request),
        context,
        subject: account.map(Subject::Account),
        question: reader.finish(account.map(|account| AccountQuestion {
            account,
            as_published,
        })),
    }
}
