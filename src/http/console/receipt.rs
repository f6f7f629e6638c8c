//! A delivery's receipt.

use super::deliveries::{DeliveryRow, failed, find_receipt};
use super::format::{Moment, moment, number};
use super::operator::Operator;
use super::page::{Frame, Section, page};
use super::refusal::ConsoleRefusal;
use crate::http::deliveries::receipt::{ReceiptBody, RejectBody};
use crate::store::Receipt;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use askama::Template;

/// Rejected lines that are shown; the bank can fetch more.
const SHOWN_REJECTS: usize = 100;

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    frame: Frame,
    bank: String,
    name: String,
    delivery: DeliveryRow,
    published: Option<Moment>,
    reason: Option<String>,
    sequence: Option<u64>,
    sha256: Option<String>,
    counts: Vec<(&'static str, String)>,
    discarded: Vec<String>,
    rejects: Vec<RejectBody>,
    more_rejects: bool,
}

pub async fn show(operator: Operator, path: Path<(String, String)>) -> Result<HttpResponse, ConsoleRefusal> {
    let (bank, receipt) = find_receipt(&operator.console, &path.0, &path.1).await?;
    let participants = operator.console.delivery.participants().load();
    let name = participants.get(bank.bank()).map_or("", |bank| &bank.name);
    let body = ReceiptBody::from(&receipt);
    let rejects = operator
        .console
        .delivery
        .rejects(receipt.delivery_id)
        .await
        .map_err(failed)?;
    let rejects = rejects.iter().take(SHOWN_REJECTS);
    let view = ReceiptPage {
        frame: Frame::new(&operator, Section::Banks, format!("A delivery of {name}")),
        bank: bank.bank().to_string(),
        name: name.to_owned(),
        delivery: DeliveryRow::new(&receipt),
        published: receipt.published_at.map(moment),
        reason: body.reason,
        sequence: receipt.summary.sequence,
        sha256: body.sha256,
        counts: counts(&receipt),
        discarded: receipt
            .summary
            .discarded
            .iter()
            .map(ToString::to_string)
            .collect(),
        more_rejects: receipt.summary.counts.rejected > SHOWN_REJECTS as u64,
        rejects: rejects.map(RejectBody::from).collect(),
    };
    Ok(page(&operator, StatusCode::OK, &view))
}

fn counts(receipt: &Receipt) -> Vec<(&'static str, String)> {
    let counts = receipt.summary.counts;
    let all = [
        ("Lines read", counts.read),
        ("Records stored", counts.stored),
        ("Records ended", counts.ended),
        ("Records removed", counts.removed),
        ("Lines rejected", counts.rejected),
        ("Customers", counts.customers),
        ("Accounts", counts.accounts),
    ];
    all.map(|(name, count)| (name, number(count))).into()
}
