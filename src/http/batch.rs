//! The items of a KFR batch: `ID` or `ID#YYYY-MM-DD`, the first day.

use super::bank_calls::BankRefusal;
use super::error::Detail;
use crate::domain::calendar::parse_day;
use crate::domain::identifiers::{CustomerId, IdentifierRules};
use crate::journal::{Reject, RejectCode, Summary};
use chrono::NaiveDate;

/// Reads an item; all that is wrong with it, at once.
pub fn read_item(
    position: u64,
    item: &[u8],
    rules: &IdentifierRules,
    today: NaiveDate,
) -> Result<(CustomerId, NaiveDate), Vec<Reject>> {
    let reject = |code, reason: String| Reject {
        line: position,
        code,
        parameter: "customers".to_owned(),
        reason,
    };
    let Ok(item) = std::str::from_utf8(item) else {
        return Err(vec![reject(
            RejectCode::InvalidRecord,
            "must be UTF-8 text".to_owned(),
        )]);
    };
    let item = item.trim_start_matches('\u{feff}').trim();
    let (id, start) = item
        .split_once('#')
        .map_or((item, None), |(id, start)| (id, Some(start.trim())));
    let customer = CustomerId::parse(id.trim(), rules)
        .map_err(|cause| reject(RejectCode::InvalidCustomer, cause.to_string()));
    let from = match start.map_or(Some(today), parse_day) {
        Some(from) if from <= today => Ok(from),
        Some(_) => Err("must not start after today"),
        None => Err("must start on a day, YYYY-MM-DD"),
    };
    let from = from.map_err(|reason| reject(RejectCode::InvalidDate, reason.to_owned()));
    match (customer, from) {
        (Ok(customer), Ok(from)) => Ok((customer, from)),
        (customer, from) => Err(customer.err().into_iter().chain(from.err()).collect()),
    }
}

/// The refusal of a batch with bad items, or with none: a bad customer gives the code before a bad day does.
pub fn refuse(summary: &Summary) -> BankRefusal {
    let mut details: Vec<Detail> = summary.rejects.iter().map(detail_of).collect();
    if summary.counts.read == 0 {
        details.push(Detail::new("customers", "holds no customer"));
        return BankRefusal::InvalidRequest(details);
    }
    let mut named: Vec<u64> = summary.rejects.iter().map(|reject| reject.line).collect();
    named.dedup();
    if let more @ 1.. = summary.counts.rejected - named.len() as u64 {
        let reason = format!("and {more} more items are not valid");
        details.push(Detail::new("customers", reason));
    }
    let any = |code| summary.rejects.iter().any(|reject| reject.code == code);
    if any(RejectCode::InvalidRecord) {
        BankRefusal::InvalidRequest(details)
    } else if any(RejectCode::InvalidCustomer) {
        BankRefusal::InvalidCustomer(details)
    } else {
        BankRefusal::InvalidDate(details)
    }
}

fn detail_of(reject: &Reject) -> Detail {
    Detail::new(format!("customers[{}]", reject.line), reject.reason.clone())
}
