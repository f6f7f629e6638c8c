//! What is kept of a call.

use super::ListedBanks;
use crate::domain::calendar::Period;
use crate::domain::identifiers::{AccountNumber, CustomerId, OrganizationNumber};
use crate::pseudonym::Pseudonyms;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// First byte of every entry. An entry of another version is refused.
const FORMAT_VERSION: u8 = 1;

/// The operations that are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    CustomerRelationships,
    AccountServicingProvider,
    Participants,
    KfrAdd,
    KfrEnd,
    KfrBatch,
    KfrRead,
    WholeSet,
    Services,
}

/// Whom or what a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Customer(CustomerId),
    Account(AccountNumber),
}

/// A call that passed authentication.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it arrived.
    pub at: DateTime<Utc>,
    pub endpoint: Endpoint,
    pub consumer: OrganizationNumber,
    pub supplier: Option<OrganizationNumber>,
    /// The token's `jti` and `client_amr`.
    pub token_id: Option<String>,
    pub client_amr: Option<String>,
    pub correlation: Uuid,
    pub case: Option<Uuid>,
    pub legal_mandate: Option<String>,
    pub subject: Option<Subject>,
    pub period: Option<Period>,
    pub only_primary_owner: Option<bool>,
    /// The DSOP service that a lookup fits; outside all terms, the closest one.
    pub service: Option<String>,
    /// The term that a lookup fails. With status 403 it was refused for it; with another one it was let through,
    /// since the terms were only observed.
    pub outside_terms: Option<&'static str>,
}

/// What a call ended in, as far as the record keeps it. Implemented beside the one map of errors to statuses.
pub trait Conclusion {
    /// The HTTP status that will be answered.
    fn status(&self) -> u16;
    fn banks(&self) -> ListedBanks;
}

#[derive(Serialize, Deserialize)]
enum Entry {
    Call(Box<StoredCall>),
    /// Written to find out whether the log can be written.
    Probe {
        at: DateTime<Utc>,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredCall {
    at: DateTime<Utc>,
    endpoint: Endpoint,
    consumer: u32,
    supplier: Option<u32>,
    token_id: Option<String>,
    client_amr: Option<String>,
    correlation: Uuid,
    case: Option<Uuid>,
    legal_mandate: Option<String>,
    /// As its pseudonym.
    subject: Option<StoredSubject>,
    period: Option<(NaiveDate, NaiveDate)>,
    only_primary_owner: Option<bool>,
    status: u16,
    banks: Vec<u32>,
    service: Option<String>,
    outside_terms: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum StoredSubject {
    Customer(Vec<u8>),
    Account(Vec<u8>),
}

pub(super) fn encode(call: &Call, conclusion: &impl Conclusion, pseudonyms: &Pseudonyms) -> Vec<u8> {
    to_bytes(&Entry::Call(Box::new(StoredCall {
        at: call.at,
        endpoint: call.endpoint,
        consumer: call.consumer.as_u32(),
        supplier: call.supplier.map(OrganizationNumber::as_u32),
        token_id: call.token_id.clone(),
        client_amr: call.client_amr.clone(),
        correlation: call.correlation,
        case: call.case,
        legal_mandate: call.legal_mandate.as_deref().map(mask_long_numbers),
        subject: call.subject.as_ref().map(|subject| match subject {
            Subject::Customer(id) => StoredSubject::Customer(pseudonyms.customer(id).as_bytes().to_vec()),
            Subject::Account(number) => {
                StoredSubject::Account(pseudonyms.account(number).as_bytes().to_vec())
            }
        }),
        period: call.period.map(|period| (period.from(), period.to())),
        only_primary_owner: call.only_primary_owner,
        status: conclusion.status(),
        banks: conclusion
            .banks()
            .into_iter()
            .map(OrganizationNumber::as_u32)
            .collect(),
        service: call.service.clone(),
        outside_terms: call.outside_terms.map(str::to_owned),
    })))
}

pub(super) fn probe() -> Vec<u8> {
    to_bytes(&Entry::Probe { at: Utc::now() })
}

fn to_bytes(entry: &Entry) -> Vec<u8> {
    postcard::to_extend(entry, vec![FORMAT_VERSION])
        .expect("a vector grows as needed, and every field has a known length")
}

/// A mandate is the caller's own text. Should somebody write an identifier into it, it is not kept.
fn mask_long_numbers(text: &str) -> String {
    const LONGEST_KEPT: usize = 8;
    let digits_after = |at: usize| text[at..].bytes().take_while(u8::is_ascii_digit).count();
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        match digits_after(at) {
            0 => {
                masked.push(next);
                at += next.len_utf8();
            }
            digits => {
                let kept = if digits > LONGEST_KEPT {
                    "(masked)"
                } else {
                    &text[at..at + digits]
                };
                masked.push_str(kept);
                at += digits;
            }
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_in_a_mandate_is_not_kept() {
        assert_eq!(
            mask_long_numbers("§ 10-2 om 17912099997, æ"),
            "§ 10-2 om (masked), æ"
        );
        assert_eq!(mask_long_numbers("123456785"), "(masked)");
        assert_eq!(mask_long_numbers("Lov 20240101"), "Lov 20240101");
    }
}
