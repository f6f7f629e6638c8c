//! The form of a KFR batch, streamed.

use super::bank_calls::BankRefusal;
use super::body::{BodyFault, sendable};
use actix_web::HttpRequest;
use actix_web::http::header::{self, ContentDisposition};
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use multer::{Field, Multipart};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Longest `customer_type`, in bytes.
const MAX_TYPE_BYTES: usize = 256;
/// Most bytes that multer is given at a time.
const MAX_PORTION_BYTES: usize = 64 << 10;
/// Most bytes up to the list of customers, and after it: multer holds them, and searches all of them anew with each
/// portion, for a boundary or the end of a part's headers.
const MAX_OUTSIDE_BYTES: usize = 4 * MAX_PORTION_BYTES;

/// A form whose fields come one after the other.
pub struct BatchForm {
    fields: Multipart<'static>,
    room: Room,
}

/// How many bytes may still come outside the list of customers; that has its bound as a body.
#[derive(Clone)]
struct Room(Arc<AtomicUsize>);

impl Room {
    fn outside() -> Self {
        Self(Arc::new(AtomicUsize::new(MAX_OUTSIDE_BYTES)))
    }

    fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> Result<(), BodyFault> {
        let take = |room: usize| room.checked_sub(bytes);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken
            .map(|_| ())
            .map_err(|_| BodyFault::OutsideTooLarge(MAX_OUTSIDE_BYTES))
    }
}

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
        let headers = request.headers();
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(BankRefusal::invalid(
                "Content-Encoding",
                "is not taken of a batch, which has to be sent uncompressed",
            ));
        }
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let boundary =
            content_type.and_then(|text| multer::parse_boundary(text.trim_end_matches([';', ' '])).ok());
        let boundary = boundary.filter(|text| !text.is_empty());
        let boundary = boundary.ok_or_else(|| {
            BankRefusal::invalid("Content-Type", "must be multipart/form-data with a boundary")
        })?;
        let room = Room::outside();
        let portions = one_by_one(sendable(pieces), room.clone());
        let fields = Multipart::new(portions, boundary);
        Ok(Self { fields, room })
    }

    /// The next field; `None` at the end.
    pub async fn next_field(&mut self) -> Result<Option<BatchField>, BankRefusal> {
        self.room.set(MAX_OUTSIDE_BYTES);
        let Some(field) = self.fields.next_field().await.map_err(fault)? else {
            return Ok(None);
        };
        let part = |name| field.headers().get(name).map(|value| value.as_bytes());
        check_transfer_encoding(part("content-transfer-encoding"))?;
        match name_of(part("content-disposition"))?.as_str() {
            "customer_type" => Ok(Some(BatchField::CustomerType(customer_type(field).await?))),
            "customers" => {
                self.room.set(usize::MAX);
                Ok(Some(BatchField::Customers(Box::new(field))))
            }
            _ => Err(BankRefusal::invalid(
                "body",
                "holds a field other than customer_type and customers",
            )),
        }
    }
}

/// The field that a part is, by its `Content-Disposition`.
fn name_of(disposition: Option<&[u8]>) -> Result<String, BankRefusal> {
    let disposition = disposition
        .and_then(|bytes| header::HeaderValue::from_bytes(bytes).ok())
        .and_then(|value| ContentDisposition::from_raw(&value).ok());
    let name = disposition.as_ref().and_then(ContentDisposition::get_name);
    let name = name.map(str::to_owned);
    name.ok_or_else(|| {
        BankRefusal::invalid(
            "body",
            "has a part without Content-Disposition: form-data; name=\"...\"",
        )
    })
}

/// Parts come as they are.
fn check_transfer_encoding(encoding: Option<&[u8]>) -> Result<(), BankRefusal> {
    let is_plain = |encoding: &[u8]| {
        let plain = ["7bit", "8bit", "binary"];
        plain
            .iter()
            .any(|plain| encoding.trim_ascii().eq_ignore_ascii_case(plain.as_bytes()))
    };
    match encoding.is_none_or(is_plain) {
        true => Ok(()),
        false => Err(BankRefusal::invalid(
            "Content-Transfer-Encoding",
            "of a part must be 7bit, 8bit or binary",
        )),
    }
}

async fn customer_type(mut field: Field<'static>) -> Result<String, BankRefusal> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(fault)? {
        if text.len() + piece.len() > MAX_TYPE_BYTES {
            return Err(BankRefusal::invalid("customer_type", "is too long"));
        }
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8_lossy(&text);
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// The pieces in portions, as far as there is room. Whoever polls gets one, and is polled again for the next: multer,
/// which takes all that is ready before it looks at it, never holds much more than it has looked at. The end comes
/// alone too, since multer does not look for its first boundary in what came with the end.
fn one_by_one(
    pieces: impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static,
    room: Room,
) -> impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static {
    let portions = pieces.map_ok(|piece| stream::iter(portions_of(piece).map(Ok::<_, BodyFault>)));
    let portions = Box::pin(portions.try_flatten());
    stream::unfold((portions, room), |(mut portions, room)| async move {
        tokio::task::yield_now().await;
        let portion = portions.next().await?;
        let portion = portion.and_then(|portion| room.take(portion.len()).map(|()| portion));
        Some((portion, (portions, room)))
    })
}

fn portions_of(mut piece: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = piece.len().min(MAX_PORTION_BYTES);
        (length > 0).then(|| piece.split_to(length))
    })
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
        multer::Error::ReadHeaderFailed(_)
        | multer::Error::DecodeHeaderName { .. }
        | multer::Error::DecodeHeaderValue { .. } => BodyFault::PartHeaders,
        _ => BodyFault::NotAForm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use std::cell::Cell;
    use std::rc::Rc;

    const PIECE_BYTES: usize = 4 << 10;

    fn begin(pieces: impl Stream<Item = Bytes> + 'static) -> BatchForm {
        let content_type = ("Content-Type", "multipart/form-data; boundary=b");
        let request = TestRequest::default()
            .insert_header(content_type)
            .to_http_request();
        BatchForm::new(&request, pieces.map(Ok)).unwrap()
    }

    /// A field's name and content.
    async fn read(form: &mut BatchForm) -> Option<(&'static str, String)> {
        match form.next_field().await.unwrap()? {
            BatchField::CustomerType(text) => Some(("customer_type", text)),
            BatchField::Customers(field) => {
                let pieces: Vec<Bytes> = content_of(*field).try_collect().await.unwrap();
                Some(("customers", String::from_utf8(pieces.concat()).unwrap()))
            }
        }
    }

    fn part(name: &str, content: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n{content}\r\n")
    }

    /// A beginning and then nothing that means anything; and how much of it was taken.
    fn endless(beginning: String) -> (Rc<Cell<usize>>, impl Stream<Item = Bytes>) {
        let taken = Rc::new(Cell::new(0));
        let count = Rc::clone(&taken);
        let rest = stream::repeat(Bytes::from_static(&[b'x'; PIECE_BYTES]));
        let pieces = stream::iter([Bytes::from(beginning)])
            .chain(rest.take(4 * MAX_OUTSIDE_BYTES / PIECE_BYTES))
            .inspect(move |piece| count.set(count.get() + piece.len()));
        (taken, pieces)
    }

    #[actix_web::test]
    async fn what_never_becomes_a_field_is_refused_before_much_of_it_is_held() {
        let headers = "--b\r\nContent-Disposition: form-data; name=customers\r\nX: ";
        let later = format!("{}--b\r\n", part("customers", "06894169867"));
        for (beginning, fields) in [("", 0), (headers, 0), (later.as_str(), 1)] {
            let (taken, pieces) = endless(beginning.to_owned());
            let mut form = begin(pieces);
            for _ in 0..fields {
                read(&mut form).await.unwrap();
            }
            let refused = form.next_field().await.err().unwrap();
            assert!(matches!(refused, BankRefusal::InvalidRequest(_)), "{refused:?}");
            // Some pieces wait their turn.
            let taken = taken.get();
            assert!(
                taken < MAX_OUTSIDE_BYTES + 32 * PIECE_BYTES,
                "{taken} after {beginning:?}"
            );
        }
    }

    #[actix_web::test]
    async fn a_form_is_read_however_it_is_cut_and_whatever_stands_around_it() {
        for (around, items) in [(0, 1), (MAX_OUTSIDE_BYTES / 2, MAX_OUTSIDE_BYTES / 4)] {
            let (around, customers) = ("x".repeat(around), "06894169867,".repeat(items));
            let fields = [
                part("customer_type", "DSOPBANK"),
                part("customers", &customers),
                part("customer_type", "DSOPBANK"),
            ];
            let whole = format!("{around}{}--b--\r\n{around}", fields.concat());
            for cut in [997, PIECE_BYTES, 3 * MAX_PORTION_BYTES, whole.len()] {
                let pieces: Vec<Bytes> = whole.as_bytes().chunks(cut).map(Bytes::copy_from_slice).collect();
                let mut form = begin(stream::iter(pieces));
                let of_type = Some(("customer_type", "DSOPBANK".to_owned()));
                assert_eq!(read(&mut form).await, of_type, "cut at {cut}");
                let list = read(&mut form).await;
                assert!(list == Some(("customers", customers.clone())), "cut at {cut}");
                assert_eq!(read(&mut form).await, of_type);
                assert_eq!(read(&mut form).await, None);
            }
        }
    }
}
