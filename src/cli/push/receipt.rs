//! What a bank is shown for a delivery.

use super::attempts::Answer;
use crate::cli::Failure;
use crate::cli::client::{refused, text};
use crate::cli::out;
use crate::cli::receipt::table;
use crate::text::shown;
use reqwest::StatusCode;
use serde_json::Value;

/// So many rejected lines are shown; the others are counted.
const REJECTS_SHOWN: usize = 20;

/// Shows the receipt on standard output, or that of a rejected delivery on standard error.
pub fn show(answer: &Answer, json: bool) -> Result<(), Failure> {
    let (status, body) = (answer.status, &answer.body);
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        if json {
            out::say(format_args!("{}", shown::json(body)?))?;
        }
        out::tell(format_args!("{}\n{}", table(body), rejects(body)));
        return Err(Failure::Refused(format!(
            "the delivery was rejected: {} bad lines ({})",
            rejected(body),
            text(body, "errorCode")
        )));
    }
    if !status.is_success() {
        return Err(hinted(status, body));
    }
    if body.get("deliveryID").is_none() {
        return Err(Failure::Refused(format!(
            "the answer with status {} is no receipt; is --url the service?",
            status.as_u16()
        )));
    }
    if rejected(body) > 0 {
        let (count, id) = (rejected(body), text(body, "deliveryID"));
        out::tell(format_args!(
            "{count} bad lines were left out; `kundeforhold receipts --delivery {id} --rejects` tells which"
        ));
    }
    if json {
        out::say(format_args!("{}", shown::json(body)?))?;
    } else {
        out::say(format_args!("{}", table(body)))?;
    }
    Ok(())
}

/// A refusal, with what can be done about it where that is an option of this command.
fn hinted(status: StatusCode, body: &Value) -> Failure {
    let details = body.get("details").and_then(Value::as_array);
    let is_shrunk = details
        .into_iter()
        .flatten()
        .any(|detail| text(detail, "parameter") == "confirmShrink");
    match (refused(status, body), is_shrunk) {
        (Failure::Refused(said), true) => Failure::Refused(format!(
            "{said}\nIf the set is meant to be so small, deliver it with --confirm-shrink."
        )),
        (failure, _) => failure,
    }
}

/// The first rejected lines, and how many more there are.
fn rejects(body: &Value) -> String {
    let rejects = body.get("rejects").and_then(Value::as_array);
    let shown = rejects.into_iter().flatten().take(REJECTS_SHOWN);
    let mut lines: Vec<String> = shown
        .map(|reject| {
            let faults = reject.get("faults").and_then(Value::as_array);
            let told = faults.into_iter().flatten().map(|fault| text(fault, "reason"));
            let told: Vec<String> = told.collect();
            format!("line {}: {}", text(reject, "line"), told.join("; "))
        })
        .collect();
    let others = rejected(body).saturating_sub(lines.len() as u64);
    if others > 0 {
        lines.push(format!("and {others} more"));
    }
    lines.join("\n")
}

/// How many lines were rejected.
fn rejected(receipt: &Value) -> u64 {
    receipt
        .get("rejected")
        .and_then(Value::as_u64)
        .unwrap_or_default()
}
