//! The form of a KFR batch, read within bounds.

use super::bank_calls::BankRefusal;
use super::error::Detail;
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use std::time::Duration;

/// Bounds of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Bytes of the whole form.
    pub max_bytes: usize,
    /// Longest pause between two pieces of it.
    pub pause: Duration,
}

/// The two fields of a batch.
#[derive(Debug, Default)]
pub struct BatchForm {
    pub customer_type: String,
    pub customers: String,
}

/// Longest `customer_type`, in bytes.
const MAX_TYPE_BYTES: usize = 256;

/// Reads the form.
pub async fn read_batch(
    request: &HttpRequest,
    body: Payload,
    limits: &BatchLimits,
) -> Result<BatchForm, BankRefusal> {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary =
        content_type.and_then(|text| multer::parse_boundary(text.trim_end_matches([';', ' '])).ok());
    let boundary = boundary.filter(|text| !text.is_empty());
    let boundary =
        boundary.ok_or_else(|| invalid("Content-Type", "must be multipart/form-data with a boundary"))?;
    let body = read_body(body, limits).await?;
    let whole = futures_util::stream::once(async move { Ok::<_, std::io::Error>(body) });
    let constraints = multer::Constraints::new().allowed_fields(vec!["customer_type", "customers"]);
    let mut form = multer::Multipart::with_constraints(whole, boundary, constraints);
    let (mut customer_type, mut customers) = (None, None);
    while let Some(field) = form.next_field().await.map_err(|cause| refusal(&cause))? {
        let (slot, parameter, limit) = match field.name() {
            Some("customer_type") => (&mut customer_type, "customer_type", MAX_TYPE_BYTES),
            _ => (&mut customers, "customers", limits.max_bytes),
        };
        let bytes = field.bytes().await.map_err(|cause| refusal(&cause))?;
        let text = String::from_utf8(bytes.into())
            .ok()
            .filter(|text| text.len() <= limit);
        let text = text.ok_or_else(|| invalid(parameter, "must be UTF-8 text"))?;
        if slot
            .replace(text.trim_start_matches('\u{feff}').to_owned())
            .is_some()
        {
            return Err(invalid(parameter, "is sent more than once"));
        }
    }
    Ok(BatchForm {
        customer_type: customer_type.ok_or_else(|| invalid("customer_type", "is missing"))?,
        customers: customers.ok_or_else(|| invalid("customers", "is missing"))?,
    })
}

/// The whole body, within the bounds.
async fn read_body(mut body: Payload, limits: &BatchLimits) -> Result<Bytes, BankRefusal> {
    let mut read = BytesMut::new();
    while let Some(piece) = tokio::time::timeout(limits.pause, body.next())
        .await
        .map_err(|_| BankRefusal::TooSlow)?
    {
        read.extend_from_slice(&piece.map_err(|_| invalid("body", "ended before its end"))?);
        if read.len() > limits.max_bytes {
            return Err(BankRefusal::TooLarge);
        }
    }
    Ok(read.freeze())
}

fn refusal(cause: &multer::Error) -> BankRefusal {
    match cause {
        multer::Error::UnknownField { .. } => {
            invalid("body", "holds a field other than customer_type and customers")
        }
        _ => invalid(
            "body",
            "is not multipart/form-data with the boundary that Content-Type names",
        ),
    }
}

fn invalid(parameter: &str, reason: &str) -> BankRefusal {
    BankRefusal::InvalidRequest(vec![Detail {
        parameter: parameter.to_owned(),
        reason: reason.to_owned(),
    }])
}
