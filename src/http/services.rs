//! `GET /v2/services`.

use super::answer::Answer;
use super::caller::{ListServices, LookupCaller};
use super::docs::LookupErrors;
use super::request::{Reader, arrival_of};
use crate::access::caller::Scope;
use crate::access::terms::{
    CustomerRule, LookupEndpoint, Mandate, Mandates, OwnershipRule, PeriodRule, Service, Today,
};
use crate::domain::identifiers::CustomerKind;
use crate::register::lookup::{Asked, LegalContext, Lookup, OwnServices};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::NaiveDate;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

/// What `encodeURIComponent` leaves as it is, as the published examples do.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The caller's own DSOP services.
#[derive(Serialize, ToSchema)]
pub struct ServicesBody {
    /// A lookup must fit one of them in every term.
    services: Vec<ServiceBody>,
}

/// What a DSOP service may ask. `customers`, the dates and `onlyPrimaryOwner` bind `customerRelationships`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServiceBody {
    #[schema(example = "Vergekontroll")]
    name: String,
    endpoints: Vec<EndpointName>,
    /// Any one of them is to be sent. Empty: any mandate will do.
    mandates: Vec<MandateBody>,
    customers: Vec<CustomerKindName>,
    dates: DatesBody,
    only_primary_owner: OnlyPrimaryOwnerName,
    /// The organisation that must call for the consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "974761076", pattern = "^[0-9]{9}$")]
    supplier: Option<String>,
    /// The scope that the token must have in the place of the general one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "bits:kundeforhold.fi.utlegg.an")]
    scope: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum EndpointName {
    CustomerRelationships,
    AccountServicingProvider,
}

/// A legal basis.
#[derive(Serialize, ToSchema)]
struct MandateBody {
    #[schema(example = "Arveloven § 92")]
    text: String,
    /// Ready to send as `Legal-Mandate`.
    #[schema(example = "Arveloven%20%C2%A7%2092")]
    encoded: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum CustomerKindName {
    /// Fødselsnummer or D-number.
    Person,
    Organization,
}

/// The dates that are admitted today, all inclusive; an absent one is no bound.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DatesBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Date, example = "2025-01-01")]
    earliest_from_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Date, example = "2025-12-31")]
    latest_from_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Date, example = "2025-01-01")]
    earliest_to_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Date, example = "2025-12-31")]
    latest_to_date: Option<String>,
}

/// What the parameter must be; `either`: it may also be absent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum OnlyPrimaryOwnerName {
    True,
    Either,
}

impl ServiceBody {
    fn new(service: Service, today: NaiveDate) -> Self {
        let endpoint = |endpoint: &LookupEndpoint| match endpoint {
            LookupEndpoint::CustomerRelationships => EndpointName::CustomerRelationships,
            LookupEndpoint::AccountServicingProvider => EndpointName::AccountServicingProvider,
        };
        Self {
            name: service.name,
            endpoints: service.endpoints.iter().map(endpoint).collect(),
            mandates: match &service.mandates {
                Mandates::Any => Vec::new(),
                Mandates::Listed(listed) => listed.iter().map(MandateBody::new).collect(),
            },
            customers: match service.customer {
                CustomerRule::Any => vec![CustomerKindName::Person, CustomerKindName::Organization],
                CustomerRule::Only(CustomerKind::Person) => vec![CustomerKindName::Person],
                CustomerRule::Only(CustomerKind::Organization) => vec![CustomerKindName::Organization],
            },
            dates: DatesBody::new(service.period, today),
            only_primary_owner: match service.only_primary_owner {
                OwnershipRule::Either => OnlyPrimaryOwnerName::Either,
                OwnershipRule::TrueOnly => OnlyPrimaryOwnerName::True,
            },
            supplier: service.supplier.map(|supplier| supplier.to_string()),
            scope: service.scope.as_ref().map(Scope::as_str).map(str::to_owned),
        }
    }
}

impl MandateBody {
    fn new(mandate: &Mandate) -> Self {
        Self {
            text: mandate.text().to_owned(),
            encoded: utf8_percent_encode(mandate.text(), KEPT).to_string(),
        }
    }
}

impl DatesBody {
    /// Without the days of grace, which are for clocks that differ.
    fn new(period: PeriodRule, today: NaiveDate) -> Self {
        let dates = period.dates_on(Today {
            day: today,
            grace_days: 0,
        });
        let text = |day: Option<NaiveDate>| day.map(|day| day.to_string());
        Self {
            earliest_from_date: text(dates.earliest_from),
            latest_from_date: text(dates.latest_from),
            earliest_to_date: text(dates.earliest_to),
            latest_to_date: text(dates.latest_to),
        }
    }
}

/// The caller's own DSOP service terms: what may be asked today, and how to write it.
#[utoipa::path(
    get,
    path = "/v2/services",
    operation_id = "listServices",
    tag = "Lookups",
    params(super::docs::OptionalCorrelationHeader),
    responses(
        (status = 200, description = "The services; none is an empty list.", body = ServicesBody,
            headers(("CorrelationID" = String, description = "As sent, or made here."))),
        LookupErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold"]))
)]
pub async fn list(caller: LookupCaller<ListServices>, request: HttpRequest, lookup: Data<Lookup>) -> Answer {
    let mut reader = Reader::new(&request, &[]);
    reader.correlation(true);
    let asked = Asked {
        arrival: arrival_of(&request),
        context: LegalContext::default(),
        subject: None,
        question: reader.finish(Some(())),
    };
    let recorded = lookup.services(&caller, asked).await;
    Answer::to_lookup(recorded, &request, |OwnServices { services, today }| {
        let services = services
            .into_iter()
            .map(|service| ServiceBody::new(service, today));
        HttpResponse::Ok().json(ServicesBody {
            services: services.collect(),
        })
    })
}
