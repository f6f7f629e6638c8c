//! Going back to the state before a whole set: shown first, then confirmed, recorded and done.

use super::Console;
use super::deliveries::{DeliveryRow, find_receipt};
use super::operator::{Form, Operator};
use super::page::{Frame, Section, page, see_other};
use super::refusal::ConsoleRefusal;
use crate::domain::calendar::oslo_day;
use crate::record::{Deed, OperatorAct};
use crate::register::delivery::{BankCaller, Conflict, DeliveryRefusal, Discard};
use crate::store::Receipt;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use askama::Template;
use chrono::Utc;
use uuid::Uuid;

#[derive(Template)]
#[template(path = "rollback.html")]
struct RollbackPage {
    frame: Frame,
    bank: String,
    name: String,
    delivery: DeliveryRow,
    /// Why it cannot be done, or was not.
    refusal: Option<String>,
    /// What would be undone, newest first.
    undone: Vec<DeliveryRow>,
    /// Comes back with the form, so that nothing else is undone than was shown.
    shown: String,
}

/// Shows what would be undone.
pub async fn confirm(
    operator: Operator,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ConsoleRefusal> {
    let (bank, receipt) = find_receipt(&operator.console, &path.0, &path.1).await?;
    show(&operator, &bank, &receipt, None).await
}

/// Does it, unless more would be undone by now than was shown.
pub async fn roll_back(form: Form, path: Path<(String, String)>) -> Result<HttpResponse, ConsoleRefusal> {
    let console = &form.operator.console;
    let (bank, receipt) = find_receipt(console, &path.0, &path.1).await?;
    let mut act = act(&form.operator, &bank, &receipt);
    record(console, &act).await?;
    let shown = Discard::Only(ids_in(form.field("shown")));
    let done = console
        .delivery
        .roll_back(&bank, receipt.delivery_id, shown, oslo_day(Utc::now()))
        .await;
    act.status = status_of(&done).as_u16();
    // That it was about to be done is recorded already.
    if record(console, &act).await.is_err() {
        tracing::error!(
            operator = act.operator,
            "the outcome of a rollback could not be recorded"
        );
    }
    match done {
        Ok(Some(rollback)) => Ok(see_other(&address(&bank, rollback.delivery_id))),
        Ok(None) => Err(ConsoleRefusal::Unknown),
        Err(refusal) => show(&form.operator, &bank, &receipt, Some(sentence(&refusal))).await,
    }
}

async fn show(
    operator: &Operator,
    bank: &BankCaller,
    receipt: &Receipt,
    told: Option<String>,
) -> Result<HttpResponse, ConsoleRefusal> {
    let console = &operator.console;
    let would = console
        .delivery
        .would_undo(receipt.set, receipt.delivery_id)
        .await;
    let (undone, refusal) = match &would {
        Ok(ids) => (ids.as_slice(), told),
        Err(refusal) => (&[][..], told.or_else(|| Some(sentence(refusal)))),
    };
    let mut rows = Vec::with_capacity(undone.len());
    for id in undone.iter().rev() {
        let receipt = console.delivery.find_receipt(bank.bank(), *id).await;
        rows.extend(receipt.ok().flatten().map(|receipt| DeliveryRow::new(&receipt)));
    }
    let participants = console.delivery.participants().load();
    let name = participants.get(bank.bank()).map_or("", |bank| &bank.name);
    let status = if refusal.is_some() {
        StatusCode::CONFLICT
    } else {
        StatusCode::OK
    };
    let view = RollbackPage {
        frame: Frame::new(operator, Section::Banks, format!("Roll back {name}")),
        bank: bank.bank().to_string(),
        name: name.to_owned(),
        delivery: DeliveryRow::new(receipt),
        refusal,
        undone: rows,
        shown: joined(undone),
    };
    Ok(page(operator, status, &view))
}

fn joined(ids: &[Uuid]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn ids_in(shown: &str) -> Vec<Uuid> {
    shown
        .split(' ')
        .filter_map(|id| Uuid::try_parse(id).ok())
        .collect()
}

fn address(bank: &BankCaller, delivery: Uuid) -> String {
    format!("/console/banks/{}/deliveries/{delivery}", bank.bank())
}

fn act(operator: &Operator, bank: &BankCaller, receipt: &Receipt) -> OperatorAct {
    OperatorAct {
        at: Utc::now(),
        operator: operator.session.actor(),
        correlation: Uuid::new_v4(),
        deed: Deed::Rollback {
            bank: bank.bank(),
            delivery: receipt.delivery_id,
        },
        status: StatusCode::ACCEPTED.as_u16(),
    }
}

async fn record(console: &Console, act: &OperatorAct) -> Result<(), ConsoleRefusal> {
    let recorded = console.readiness.recorder.record_act(act, ()).await;
    recorded.map(|_| ()).map_err(|cause| {
        tracing::error!(%cause, "a rollback could not be recorded");
        ConsoleRefusal::Unrecorded
    })
}

fn status_of(done: &Result<Option<Receipt>, DeliveryRefusal>) -> StatusCode {
    match done {
        Ok(Some(_)) => StatusCode::OK,
        Ok(None) => StatusCode::NOT_FOUND,
        Err(DeliveryRefusal::Conflict(_) | DeliveryRefusal::Rejected(..)) => StatusCode::CONFLICT,
        Err(DeliveryRefusal::Busy(_) | DeliveryRefusal::Failed(_)) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn sentence(refusal: &DeliveryRefusal) -> String {
    match refusal {
        DeliveryRefusal::Conflict(conflict) => of_conflict(conflict).to_owned(),
        DeliveryRefusal::Rejected(..) => "The delivery was rejected.".to_owned(),
        DeliveryRefusal::Busy(_) => {
            "As many deliveries are under way as are taken at once. Try again.".to_owned()
        }
        DeliveryRefusal::Failed(cause) => format!("It failed: {cause}."),
    }
}

fn of_conflict(conflict: &Conflict) -> &'static str {
    match conflict {
        Conflict::Running(_) => "Another delivery to this set is under way. Wait until it has ended.",
        Conflict::NotLatest => "Only the latest published whole set of a register can be rolled back.",
        Conflict::NothingBefore => "It is the first that was loaded, so there is nothing to go back to.",
        Conflict::RollbackTimeOver => "The time within which a whole set can be rolled back is over.",
        Conflict::LaterChanges(_) => "Something was delivered meanwhile. This is what would be undone now.",
        Conflict::KeyReused(_) | Conflict::Sequence { .. } | Conflict::Shrink { .. } => {
            "It is at odds with another delivery."
        }
    }
}
