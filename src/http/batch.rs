//! The items of a KFR batch: `ID` or `ID#YYYY-MM-DD`, the first day.

use super::bank_calls::BankRefusal;
use super::error::Detail;
use crate::domain::calendar::parse_day;
use crate::domain::delivery::{FaultCode, LineFault, Reject};
use crate::domain::identifiers::{CustomerId, IdentifierRules};
use crate::register::delivery::RefusedBatch;
use chrono::NaiveDate;

/// Reads an item; all that is wrong with it, at once.
pub fn read_item(
    item: &[u8],
    rules: &IdentifierRules,
    today: NaiveDate,
) -> Result<(CustomerId, NaiveDate), Vec<LineFault>> {
    let fault = |code, reason: String| LineFault {
        code,
        parameter: "customers".to_owned(),
        reason,
    };
    let Ok(item) = std::str::from_utf8(item) else {
        return Err(vec![fault(
            FaultCode::InvalidRecord,
            "must be UTF-8 text".to_owned(),
        )]);
    };
    let item = item.trim_start_matches('\u{feff}').trim();
    if item
        .split('#')
        .any(|part| part.trim().contains([';', '|', ' ', '\t']))
    {
        let reason = "holds more than one; items are separated by commas or line breaks";
        return Err(vec![fault(FaultCode::InvalidCustomer, reason.to_owned())]);
    }
    let (id, start) = item
        .split_once('#')
        .map_or((item, None), |(id, start)| (id, Some(start.trim())));
    let customer = CustomerId::parse(id.trim(), rules)
        .map_err(|cause| fault(FaultCode::InvalidCustomer, cause.to_string()));
    let from = match start.map_or(Some(today), parse_day) {
        Some(from) if from <= today => Ok(from),
        Some(_) => Err("must not start after today"),
        None => Err("must start on a day, YYYY-MM-DD"),
    };
    let from = from.map_err(|reason| fault(FaultCode::InvalidDate, reason.to_owned()));
    match (customer, from) {
        (Ok(customer), Ok(from)) => Ok((customer, from)),
        (customer, from) => Err(customer.err().into_iter().chain(from.err()).collect()),
    }
}

/// The refusal of a batch with bad items, or with none: a bad customer gives the code before a bad day does.
pub fn refuse(batch: &RefusedBatch) -> BankRefusal {
    let rejects = &batch.rejects;
    let mut details: Vec<Detail> = rejects.iter().flat_map(details_of).collect();
    if batch.read == 0 {
        details.push(Detail::new("customers", "holds no customer"));
        return BankRefusal::InvalidRequest(details);
    }
    if let more @ 1.. = batch.rejected.saturating_sub(rejects.len() as u64) {
        details.push(Detail::said(
            "customers",
            format!("{more} more items are not valid."),
        ));
    }
    let faults = rejects.iter().flat_map(|reject| &reject.faults);
    let any = |code| faults.clone().any(|fault| fault.code == code);
    if any(FaultCode::InvalidRecord) {
        BankRefusal::InvalidRequest(details)
    } else if any(FaultCode::InvalidCustomer) {
        BankRefusal::InvalidCustomer(details)
    } else {
        BankRefusal::InvalidDate(details)
    }
}

fn details_of(reject: &Reject) -> impl Iterator<Item = Detail> {
    let parameter = format!("customers[{}]", reject.line);
    let faults = reject.faults.iter();
    faults.map(move |fault| Detail::new(parameter.clone(), fault.reason.clone()))
}
