//! One bank: its sets and its deliveries.

use super::arrival;
use super::banks::BankRow;
use super::deliveries::{DeliveryRow, failed, find_bank};
use super::operator::Operator;
use super::page::{Frame, Section, page};
use super::refusal::ConsoleRefusal;
use crate::register::oversight;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Path, Query};
use askama::Template;
use serde::Deserialize;
use uuid::Uuid;

/// Deliveries of a page.
const PAGE: usize = 25;

#[derive(Template)]
#[template(path = "bank.html")]
struct BankPage {
    frame: Frame,
    bank: BankRow,
    deliveries: Vec<DeliveryRow>,
    /// Whether this is not the first page.
    later: bool,
    next: Option<Uuid>,
}

/// Which page of the deliveries.
#[derive(Deserialize)]
pub struct Paging {
    before: Option<Uuid>,
}

pub async fn show(
    operator: Operator,
    path: Path<String>,
    paging: Query<Paging>,
) -> Result<HttpResponse, ConsoleRefusal> {
    let console = &operator.console;
    let (number, bank) = find_bank(console, &path)?;
    let standing = oversight::bank(&console.lookup, &console.delivery, &arrival(), number).await;
    let standing = standing.map_err(failed)?.ok_or(ConsoleRefusal::Unknown)?;
    let (receipts, next) = console
        .delivery
        .receipts(&bank, PAGE, paging.before)
        .await
        .map_err(failed)?;
    let view = BankPage {
        frame: Frame::new(&operator, Section::Banks, &standing.status.name).live(),
        bank: BankRow::new(&standing),
        deliveries: receipts.iter().map(DeliveryRow::new).collect(),
        later: paging.before.is_some(),
        next,
    };
    Ok(page(&operator, StatusCode::OK, &view))
}
