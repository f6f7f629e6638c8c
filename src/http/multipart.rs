//! The form of a KFR batch, streamed.

use super::bank_calls::BankRefusal;
use super::body::{BodyFault, sendable};
use super::error::Detail;
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::{Stream, TryStreamExt};
use multer::{Constraints, Field, Multipart, SizeLimit};

/// Longest `customer_type`, in bytes.
const MAX_TYPE_BYTES: u64 = 256;

/// A form whose fields come one after the other.
pub struct BatchForm(Multipart<'static>);

/// A field of the form.
pub enum BatchField {
    CustomerType(String),
    Customers(Box<Field<'static>>),
}

impl BatchForm {
    /// Begins to read a form; a malformed boundary is told.
    pub fn new(
        request: &HttpRequest,
        pieces: impl Stream<Item = Result<Bytes, BodyFault>> + 'static,
    ) -> Result<Self, BankRefusal> {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let boundary =
            content_type.and_then(|text| multer::parse_boundary(text.trim_end_matches([';', ' '])).ok());
        let boundary = boundary.filter(|text| !text.is_empty());
        let boundary =
            boundary.ok_or_else(|| invalid("Content-Type", "must be multipart/form-data with a boundary"))?;
        let constraints = Constraints::new()
            .allowed_fields(vec!["customer_type", "customers"])
            .size_limit(SizeLimit::new().for_field("customer_type", MAX_TYPE_BYTES));
        Ok(Self(Multipart::with_constraints(
            sendable(pieces),
            boundary,
            constraints,
        )))
    }

    /// The next field; `None` at the end.
    pub async fn next_field(&mut self) -> Result<Option<BatchField>, BankRefusal> {
        let Some(field) = self.0.next_field().await.map_err(refusal)? else {
            return Ok(None);
        };
        if field.name() != Some("customer_type") {
            return Ok(Some(BatchField::Customers(Box::new(field))));
        }
        let text = field.text().await.map_err(refusal)?;
        Ok(Some(BatchField::CustomerType(
            text.trim_start_matches('\u{feff}').to_owned(),
        )))
    }
}

/// The pieces of a field's content.
pub fn content_of(field: Field<'static>) -> impl Stream<Item = Result<Bytes, BodyFault>> {
    field.map_err(fault)
}

/// What stopped the body, or the form in it.
fn fault(cause: multer::Error) -> BodyFault {
    match cause {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<BodyFault>() {
            Ok(fault) => *fault,
            Err(_) => BodyFault::Cut,
        },
        _ => BodyFault::NotAForm,
    }
}

fn refusal(cause: multer::Error) -> BankRefusal {
    match cause {
        multer::Error::UnknownField { .. } => {
            invalid("body", "holds a field other than customer_type and customers")
        }
        multer::Error::FieldSizeExceeded { .. } => invalid("customer_type", "is too long"),
        cause => fault(cause).into(),
    }
}

pub fn invalid(parameter: &str, reason: &str) -> BankRefusal {
    BankRefusal::InvalidRequest(vec![Detail {
        parameter: parameter.to_owned(),
        reason: reason.to_owned(),
    }])
}
