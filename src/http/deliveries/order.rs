//! How a bank asks for its delivery to be taken: parameters and headers.

use crate::domain::delivery::DeliveryKind;
use crate::domain::relationship::{Register, SetId};
use crate::http::bank_calls::BankRefusal;
use crate::http::bank_request::{AdmittedBank, BankOperation};
use crate::http::body::Encoding;
use crate::http::error::Detail;
use crate::http::headers::{DELIVERY_SEQUENCE, IDEMPOTENCY_KEY};
use crate::http::request::Reader;
use crate::register::delivery::Order;
use actix_web::http::header::{self, HeaderMap};
use sha2::{Digest, Sha256};

/// Greatest `maxRejects`: more lines than any delivery has.
const MOST_REJECTS: u64 = 1_000_000_000;
/// Greatest `Delivery-Sequence`: what any reader of JSON holds.
const GREATEST_SEQUENCE: u64 = i64::MAX as u64;
/// What NDJSON is sent as; clients that are generated know no other type for a file than the second.
const MEDIA_TYPES: [&str; 2] = ["application/x-ndjson", "application/octet-stream"];
/// Longest `Idempotency-Key`, in bytes.
const MAX_KEY_BYTES: usize = 200;

/// Reads `register`, `maxRejects`, `confirmShrink`, `Idempotency-Key`, `Delivery-Sequence`, `Content-Type` and
/// `Content-Encoding`; all faults at once.
pub fn read_order<O: BankOperation>(
    bank: &AdmittedBank<O>,
    kind: DeliveryKind,
) -> Result<(Order, Encoding), BankRefusal> {
    let known: &[&str] = match kind {
        DeliveryKind::WholeSet => &["register", "maxRejects", "confirmShrink"],
        _ => &["register", "maxRejects"],
    };
    let mut reader = Reader::new(bank.request(), known);
    reader.correlation(true);
    let mut faults = Vec::new();
    let set = read_set(bank, &mut reader, &mut faults);
    let max_rejects = match reader.parameter("maxRejects").as_deref().map(str::parse) {
        None => 0,
        Some(Ok(number @ 0..=MOST_REJECTS)) => number,
        Some(_) => fault(&mut faults, "maxRejects", "must be a number from 0 to 1000000000"),
    };
    let confirm_shrink = flag(&mut reader, "confirmShrink", &mut faults);
    let headers = bank.request().headers();
    let order = Order {
        // Without a set there is a fault.
        set: set.unwrap_or(SetId {
            bank: bank.bank().bank(),
            register: Register::Kar,
        }),
        kind,
        idempotency: read_key(headers, &mut faults),
        max_rejects,
        confirm_shrink,
        sequence: match kind {
            DeliveryKind::Changes => read_sequence(headers, &mut faults),
            _ => None,
        },
        body_bytes: content_length(headers),
    };
    let encoding = read_encoding(headers, &mut faults);
    let of_reader = reader.into_faults().into_iter().map(Detail::from);
    let details: Vec<Detail> = of_reader.chain(faults).collect();
    match details.is_empty() {
        true => Ok((order, encoding)),
        false => Err(BankRefusal::InvalidRequest(details)),
    }
}

/// A length that is wrong is the server's to refuse.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The set that `register` names, by default the bank's only one, else KAR.
fn read_set<O: BankOperation>(
    bank: &AdmittedBank<O>,
    reader: &mut Reader<'_>,
    faults: &mut Vec<Detail>,
) -> Option<SetId> {
    let register = match reader.parameter("register").as_deref() {
        None => Some(None),
        Some("KAR") => Some(Some(Register::Kar)),
        Some("KFR") => Some(Some(Register::Kfr)),
        Some(_) => None,
    };
    let set = register.and_then(|register| bank.bank().set(register));
    if set.is_none() {
        faults.push(Detail::new(
            "register",
            "must be KAR or KFR, and one that the bank takes part in",
        ));
    }
    set
}

/// A parameter that is `true` or `false`, by default false.
pub fn flag(reader: &mut Reader<'_>, name: &'static str, faults: &mut Vec<Detail>) -> bool {
    match reader.parameter(name).as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => fault(faults, name, "must be true or false"),
    }
}

fn read_key(headers: &HeaderMap, faults: &mut Vec<Detail>) -> Option<[u8; 32]> {
    let mut keys = headers.get_all(&IDEMPOTENCY_KEY.name);
    let key = keys.next()?.as_bytes();
    let printable = key.iter().all(|byte| (0x20..0x7f).contains(byte));
    if keys.next().is_some() || key.is_empty() || key.len() > MAX_KEY_BYTES || !printable {
        let reason = "must be 1 to 200 printable ASCII characters, once";
        return fault(faults, IDEMPOTENCY_KEY.written, reason);
    }
    Some(Sha256::digest(key).into())
}

fn read_sequence(headers: &HeaderMap, faults: &mut Vec<Detail>) -> Option<u64> {
    let mut sequences = headers.get_all(&DELIVERY_SEQUENCE.name);
    let number = sequences.next()?.to_str().ok().and_then(|text| text.parse().ok());
    let fits = |number: &u64| (1..=GREATEST_SEQUENCE).contains(number);
    match number.filter(|number| fits(number) && sequences.next().is_none()) {
        Some(number) => Some(number),
        None => fault(
            faults,
            DELIVERY_SEQUENCE.written,
            "must be a number from 1 on, once",
        ),
    }
}

fn read_encoding(headers: &HeaderMap, faults: &mut Vec<Detail>) -> Encoding {
    // One that is sent twice is none that is known.
    let text = |name| {
        let mut values = headers.get_all(name);
        let first = values.next()?.to_str().unwrap_or("?");
        let only = if values.next().is_none() { first } else { "?" };
        Some(only.trim().to_ascii_lowercase())
    };
    let media = text(header::CONTENT_TYPE);
    let media = media
        .as_deref()
        .and_then(|text| text.split(';').next())
        .unwrap_or_default()
        .trim();
    if !media.is_empty() && !MEDIA_TYPES.contains(&media) {
        faults.push(Detail::new("Content-Type", "must be application/x-ndjson"));
    }
    match content_encoding(headers) {
        Ok(encoding) => encoding,
        Err(reason) => {
            faults.push(Detail::new("Content-Encoding", reason));
            Encoding::Identity
        }
    }
}

/// How the body is encoded, or what is wrong with `Content-Encoding`.
fn content_encoding(headers: &HeaderMap) -> Result<Encoding, &'static str> {
    let values = headers.get_all(header::CONTENT_ENCODING);
    let values: Vec<String> = values
        .map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase())
        .collect();
    let names = values.iter().flat_map(|value| value.split(',')).map(str::trim);
    let mut names = names.filter(|name| *name != "identity");
    match (names.next().map(Encoding::parse), names.next()) {
        (None, _) => Ok(Encoding::Identity),
        (Some(_), Some(_)) => Err("names more than one encoding, and one is taken"),
        (Some(encoding), None) => encoding.ok_or("must be gzip or zstd"),
    }
}

fn fault<T: Default>(faults: &mut Vec<Detail>, parameter: &str, reason: &str) -> T {
    faults.push(Detail::new(parameter, reason));
    T::default()
}
