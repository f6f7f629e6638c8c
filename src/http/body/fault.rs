//! Why a body is not taken, in the sentence that the bank is told and that stands in the receipt.

use super::decode::Undecoded;
use super::shape::Shape;
use crate::http::bank_calls::BankRefusal;
use crate::http::error::Detail;
use crate::register::delivery::DeliveryError;
use std::io;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    #[error("The pause between two pieces of the body was longer than {0} seconds.")]
    Paused(u64),
    #[error("The body came at less than {0} bytes a second.")]
    TooSlow(u64),
    #[error("The body is larger than {0} bytes.")]
    BodyTooLarge(u64),
    #[error("Line {number} is longer than {most} bytes.")]
    LineTooLong { number: u64, most: usize },
    #[error("An item is longer than {0} bytes; items are separated by commas or line breaks.")]
    ItemTooLong(usize),
    #[error("The body has more than {0} lines.")]
    TooManyLines(u64),
    #[error("The connection was broken off before the end of the body.")]
    Cut,
    #[error(transparent)]
    Undecoded(Undecoded),
    #[error(transparent)]
    Misshapen(Shape),
    #[error("The body is not multipart/form-data with the boundary that Content-Type names.")]
    NotAForm,
    #[error("A part of the body has more than 32 header fields, or one that cannot be read.")]
    PartHeaders,
    #[error("There are more than {0} bytes in the body outside its list of customers.")]
    OutsideTooLarge(usize),
    #[error("The lines could not be sorted.")]
    Store(io::Error),
    #[error("The reader of the body failed.")]
    Panicked,
}

impl From<BodyFault> for BankRefusal {
    fn from(fault: BodyFault) -> Self {
        let details = vec![Detail::said("body", fault.to_string())];
        match fault {
            BodyFault::Paused(_) | BodyFault::TooSlow(_) => Self::TooSlow(details),
            BodyFault::BodyTooLarge(_)
            | BodyFault::LineTooLong { .. }
            | BodyFault::ItemTooLong(_)
            | BodyFault::TooManyLines(_) => Self::TooLarge(details),
            BodyFault::Cut
            | BodyFault::Undecoded(_)
            | BodyFault::Misshapen(_)
            | BodyFault::NotAForm
            | BodyFault::PartHeaders
            | BodyFault::OutsideTooLarge(_) => Self::InvalidRequest(details),
            BodyFault::Store(cause) => Self::Failed(cause.into()),
            BodyFault::Panicked => Self::Failed(DeliveryError::Panicked),
        }
    }
}
