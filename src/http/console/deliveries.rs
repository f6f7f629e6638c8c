//! What the pages about deliveries share: finding them, and how a receipt reads.

use super::Console;
use super::banks::kind_text;
use super::format::{Moment, moment, number};
use super::refusal::ConsoleRefusal;
use crate::domain::delivery::{DeliveryKind, DeliveryState};
use crate::domain::identifiers::OrganizationNumber;
use crate::register::delivery::BankCaller;
use crate::store::Receipt;
use std::fmt::Display;
use uuid::Uuid;

/// A delivery as a row.
pub struct DeliveryRow {
    pub id: String,
    pub kind: &'static str,
    pub register: &'static str,
    pub state: &'static str,
    pub state_text: &'static str,
    pub received: Moment,
    pub read: String,
    pub stored: String,
    pub rejected: String,
    pub has_rejects: bool,
    /// It may be one that can be rolled back.
    pub standing: bool,
}

impl DeliveryRow {
    pub fn new(receipt: &Receipt) -> Self {
        let counts = receipt.summary.counts;
        Self {
            id: receipt.delivery_id.to_string(),
            kind: kind_text(receipt.kind),
            register: receipt.set.register.name(),
            state: state_word(receipt.state),
            state_text: state_text(receipt.state),
            received: moment(receipt.received_at),
            read: number(counts.read),
            stored: number(counts.stored),
            rejected: number(counts.rejected),
            has_rejects: counts.rejected > 0,
            standing: receipt.kind == DeliveryKind::WholeSet && receipt.state == DeliveryState::Published,
        }
    }
}

fn state_word(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Published => "good",
        DeliveryState::Receiving => "busy",
        DeliveryState::Rejected => "bad",
        DeliveryState::Abandoned => "late",
        DeliveryState::RolledBack | DeliveryState::Superseded => "idle",
    }
}

fn state_text(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Published => "Published",
        DeliveryState::Receiving => "Receiving",
        DeliveryState::Rejected => "Rejected",
        DeliveryState::Abandoned => "Abandoned",
        DeliveryState::RolledBack => "Rolled back",
        DeliveryState::Superseded => "Superseded",
    }
}

/// A registered bank by its number in an address.
pub fn find_bank(
    console: &Console,
    number: &str,
) -> Result<(OrganizationNumber, BankCaller), ConsoleRefusal> {
    let number = OrganizationNumber::parse(number).map_err(|_| ConsoleRefusal::Unknown)?;
    let bank = console.delivery.of_bank(number).ok_or(ConsoleRefusal::Unknown)?;
    Ok((number, bank))
}

/// A bank's receipt by the texts in an address.
pub async fn find_receipt(
    console: &Console,
    bank: &str,
    delivery: &str,
) -> Result<(BankCaller, Receipt), ConsoleRefusal> {
    let (_, bank) = find_bank(console, bank)?;
    let id = Uuid::try_parse(delivery).map_err(|_| ConsoleRefusal::Unknown)?;
    let receipt = console
        .delivery
        .find_receipt(bank.bank(), id)
        .await
        .map_err(failed)?;
    Ok((bank, receipt.ok_or(ConsoleRefusal::Unknown)?))
}

/// Tells the log why receipts cannot be shown.
pub fn failed(cause: impl Display) -> ConsoleRefusal {
    tracing::error!(%cause, "the console could not read deliveries");
    ConsoleRefusal::Failed
}
