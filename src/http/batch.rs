//! The items of a KFR batch.

use super::bank_calls::BankRefusal;
use super::error::Detail;
use crate::domain::calendar::parse_day;
use crate::domain::identifiers::{CustomerId, IdentifierRules};
use crate::register::delivery::AddedCustomer;
use chrono::NaiveDate;

/// Items that are named one by one; a file of a million bad ones is told by its beginning.
const NAMED_ITEMS: usize = 1_000;

/// What is wrong with one item.
enum BadItem {
    Customer(String),
    Start(&'static str),
}

/// `ID` or `ID#YYYY-MM-DD`, separated by commas or line breaks; one bad item rejects all, named by position.
pub fn read_items(
    text: &str,
    rules: &IdentifierRules,
    today: NaiveDate,
) -> Result<Vec<AddedCustomer>, BankRefusal> {
    let items = text
        .split([',', '\n', '\r'])
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let (mut customers, mut bad) = (Vec::new(), Vec::new());
    for (at, item) in items.enumerate() {
        match read_item(item, rules, today) {
            Ok(customer) => customers.push(customer),
            Err(faults) => bad.extend(faults.into_iter().map(|fault| (at + 1, fault))),
        }
    }
    if bad.is_empty() && customers.is_empty() {
        let reason = "holds no customer".to_owned();
        return Err(BankRefusal::InvalidRequest(vec![Detail {
            parameter: "customers".to_owned(),
            reason,
        }]));
    }
    if bad.is_empty() {
        Ok(customers)
    } else {
        Err(refuse(&bad))
    }
}

/// All that is wrong with an item, at once.
fn read_item(item: &str, rules: &IdentifierRules, today: NaiveDate) -> Result<AddedCustomer, Vec<BadItem>> {
    let (id, start) = item
        .split_once('#')
        .map_or((item, None), |(id, start)| (id, Some(start.trim())));
    let customer = CustomerId::parse(id.trim(), rules).map_err(|cause| BadItem::Customer(cause.to_string()));
    let from = match start.map_or(Some(today), parse_day) {
        Some(from) if from <= today => Ok(from),
        Some(_) => Err(BadItem::Start("must not start after today")),
        None => Err(BadItem::Start("must start on a day, YYYY-MM-DD")),
    };
    match (customer, from) {
        (Ok(customer), Ok(from)) => Ok(AddedCustomer { customer, from }),
        (customer, from) => Err(customer.err().into_iter().chain(from.err()).collect()),
    }
}

/// A bad customer gives the code before a bad day does.
fn refuse(bad: &[(usize, BadItem)]) -> BankRefusal {
    let named = bad.iter().take(NAMED_ITEMS).map(|(position, fault)| Detail {
        parameter: format!("customers[{position}]"),
        reason: match fault {
            BadItem::Customer(reason) => reason.clone(),
            BadItem::Start(reason) => (*reason).to_owned(),
        },
    });
    let mut details: Vec<Detail> = named.collect();
    if let more @ 1.. = bad.len() - details.len() {
        let reason = format!("and {more} more items are not valid");
        details.push(Detail {
            parameter: "customers".to_owned(),
            reason,
        });
    }
    if bad.iter().any(|(_, fault)| matches!(fault, BadItem::Customer(_))) {
        BankRefusal::InvalidCustomer(details)
    } else {
        BankRefusal::InvalidDate(details)
    }
}
