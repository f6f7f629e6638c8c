//! Headers of requests, as they are compared and as the specification writes them. A name that is parsed anew for
//! each request costs more than to find the header.

use actix_web::http::header::HeaderName;

/// The name of a header.
pub struct Header {
    pub name: HeaderName,
    /// As the specification writes it.
    pub written: &'static str,
}

impl Header {
    /// As it is compared and as it is written.
    const fn new(name: &'static str, written: &'static str) -> Self {
        Self {
            name: HeaderName::from_static(name),
            written,
        }
    }
}

pub static CORRELATION_ID: Header = Header::new("correlationid", "CorrelationID");
pub static CUSTOMER_ID: Header = Header::new("customerid", "CustomerID");
pub static ACCOUNT_ID: Header = Header::new("accountid", "AccountID");
pub static LEGAL_MANDATE: Header = Header::new("legal-mandate", "Legal-Mandate");
pub static ACCOUNT_INFO_REQUEST_ID: Header = Header::new("accountinforequestid", "AccountInfoRequestID");
pub static IDEMPOTENCY_KEY: Header = Header::new("idempotency-key", "Idempotency-Key");
pub static DELIVERY_SEQUENCE: Header = Header::new("delivery-sequence", "Delivery-Sequence");
/// Headers of the operations; one of these in a query is in the wrong place.
const ALL: [&Header; 7] = [
    &CORRELATION_ID,
    &CUSTOMER_ID,
    &ACCOUNT_ID,
    &LEGAL_MANDATE,
    &ACCOUNT_INFO_REQUEST_ID,
    &IDEMPOTENCY_KEY,
    &DELIVERY_SEQUENCE,
];

/// The header of a name in any letter case.
pub fn find(name: &str) -> Option<&'static Header> {
    ALL.into_iter()
        .find(|header| header.written.eq_ignore_ascii_case(name))
}

/// The query parameter of a header's name, which is in lower case: such a header is in the wrong place.
pub fn misplaced_parameter(header: &HeaderName) -> Option<&'static str> {
    Some(match header.as_str() {
        "fromdate" => "fromDate",
        "todate" => "toDate",
        "onlyprimaryowner" => "onlyPrimaryOwner",
        "register" => "register",
        "maxrejects" => "maxRejects",
        "confirmshrink" => "confirmShrink",
        "discardlaterchanges" => "discardLaterChanges",
        _ => return None,
    })
}

/// W3C trace context.
pub static TRACEPARENT: Header = Header::new("traceparent", "traceparent");
