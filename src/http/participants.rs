//! `GET /v2/participants`.

use super::answer::Answer;
use super::caller::{ListParticipants, LookupCaller};
use super::docs::LookupErrors;
use super::request::{Reader, arrival_of};
use crate::domain::relationship::Register;
use crate::register::lookup::{Asked, LegalContext, Lookup, ParticipantState, ParticipantStatus};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

/// The banks that the register covers.
#[derive(Serialize, ToSchema)]
pub struct ParticipantsBody {
    /// In order of `organizationID`.
    participants: Vec<ParticipantBody>,
}

/// A bank, and how fresh its records are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ParticipantBody {
    #[serde(rename = "organizationID")]
    #[schema(example = "210011013", pattern = "^[0-9]{9}$")]
    organization_id: String,
    #[schema(example = "Blåbærlia Sparebank")]
    bank_name: String,
    registers: Vec<RegisterName>,
    state: StateName,
    /// When the bank last delivered; of its registers, the one that is longest ago. Absent until it has delivered to
    /// each.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-20T05:00:00Z")]
    last_delivery: Option<String>,
    /// The bank's records reach back to this day; absent: all the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Date, example = "2015-01-01")]
    covers_from: Option<String>,
}

/// KAR: account level. KFR: customer level.
#[derive(Serialize, ToSchema)]
enum RegisterName {
    #[serde(rename = "KAR")]
    Kar,
    #[serde(rename = "KFR")]
    Kfr,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum StateName {
    Current,
    Stale,
    NotLoaded,
    Merged,
    Paused,
}

impl From<ParticipantStatus> for ParticipantBody {
    fn from(status: ParticipantStatus) -> Self {
        let register = |register: &Register| match register {
            Register::Kar => RegisterName::Kar,
            Register::Kfr => RegisterName::Kfr,
        };
        Self {
            organization_id: status.organization.to_string(),
            bank_name: status.name,
            registers: status.registers.iter().map(register).collect(),
            state: match status.state {
                ParticipantState::Current => StateName::Current,
                ParticipantState::Stale => StateName::Stale,
                ParticipantState::NotLoaded => StateName::NotLoaded,
                ParticipantState::Merged => StateName::Merged,
                ParticipantState::Paused => StateName::Paused,
            },
            last_delivery: status
                .last_delivery
                .map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            covers_from: status.covers_from.map(|day| day.to_string()),
        }
    }
}

/// Which banks the register covers and how fresh each is.
#[utoipa::path(
    get,
    path = "/v2/participants",
    operation_id = "listParticipants",
    tag = "Lookups",
    params(super::docs::OptionalCorrelationHeader),
    responses(
        (status = 200, description = "The banks.", body = ParticipantsBody,
            headers(("CorrelationID" = String, description = "As sent, or made here."))),
        LookupErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold"]))
)]
pub async fn list(
    caller: LookupCaller<ListParticipants>,
    request: HttpRequest,
    lookup: Data<Lookup>,
) -> Answer {
    let mut reader = Reader::new(&request, &[]);
    reader.correlation(true);
    let asked = Asked {
        arrival: arrival_of(&request),
        context: LegalContext::default(),
        subject: None,
        question: reader.finish(Some(())),
    };
    let recorded = lookup.participants(&caller, asked).await;
    Answer::to_lookup(recorded, &request, |participants| {
        HttpResponse::Ok().json(ParticipantsBody {
            participants: participants.into_iter().map(Into::into).collect(),
        })
    })
}
