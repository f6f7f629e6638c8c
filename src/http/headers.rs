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
/// W3C trace context.
pub static TRACEPARENT: Header = Header::new("traceparent", "traceparent");
