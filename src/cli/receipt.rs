//! A receipt as a table.

use super::call;
use super::client::text;
use comfy_table::Table;
use serde_json::Value;

/// The fields of a receipt that are shown, in this order.
const FIELDS: [&str; 19] = [
    "deliveryID",
    "kind",
    "register",
    "state",
    "reason",
    "receivedAt",
    "publishedAt",
    "day",
    "calls",
    "read",
    "stored",
    "ended",
    "removed",
    "rejected",
    "customers",
    "accounts",
    "sha256",
    "deliverySequence",
    "discardedDeliveries",
];

/// A line a field, as far as the receipt has it.
pub fn table(receipt: &Value) -> Table {
    let mut table = call::table();
    let present = FIELDS.iter().filter(|name| receipt.get(**name).is_some());
    table.add_rows(present.map(|name| vec![(*name).to_owned(), text(receipt, name)]));
    table
}
