//! Keys and commands of rows in Redis.

use super::batch::Batch;
use super::topology::Group;
use crate::domain::relationship::SetId;
use crate::index::layout::{
    ACCOUNT_FIELD_BYTES, FIELD_BYTES, Field, Generation, Row, RowWrite, Side, VALUE_BYTES, Value,
    decode_account, decode_row, encode_account_field, encode_account_value, encode_field, encode_value,
};
use crate::index::{IndexError, ScannedRow};
use crate::pseudonym::{AccountKey, CustomerKey};
use redis::Cmd;
use std::collections::BTreeMap;

/// Rows in one pipeline.
pub(super) const PIPELINE_ROWS: usize = 1_000;
/// Of an account, what its bucket leaves open.
const ACCOUNT_REST_BYTES: usize = 8;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Of the command's name and a key.
const HEAD_BYTES: usize = 4 + 5 + 15;

/// `{b}` names the slot group, which all keys that are read together share.
pub(super) fn group_key(group: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let digit = |value: u8| HEX_DIGITS[usize::from(value)];
    let mut key = Vec::with_capacity(5 + rest.len());
    key.extend([b'{', digit(group >> 4), digit(group & 0xf), b'}', kind]);
    key.extend_from_slice(rest);
    key
}

pub(super) fn customer_key(customer: &CustomerKey) -> Vec<u8> {
    group_key(customer.0[0], b'c', &customer.0[1..])
}

/// 2¹⁸ buckets keep the hashes small enough for Redis's compact encoding at 25 million accounts.
/// Gives the bucket's key, and what the fields of the account begin with.
pub(super) fn account_bucket(account: &AccountKey) -> (Vec<u8>, [u8; ACCOUNT_REST_BYTES]) {
    let [group, second, third, ..] = account.0;
    let mut rest = [0; ACCOUNT_REST_BYTES];
    rest.copy_from_slice(&account.0[2..]);
    (group_key(group, b'a', &[second, third >> 6]), rest)
}

/// Puts rows of a whole set, a customer's side by side: one command a customer, and one an account.
pub(super) fn put_rows(set: SetId, generation: Generation, rows: &[Row]) -> Batch {
    let mut batch = Batch::with_capacity(2 * rows.len());
    for of_customer in rows.chunk_by(|a, b| a.customer == b.customer) {
        let customer = &of_customer[0].customer;
        let mut put = hset(customer_key(customer), of_customer.len());
        for row in of_customer {
            put.arg(&encode_field(set, generation, row));
            put.arg(&encode_value(&row.relationship));
        }
        batch.add(Group::Rows(customer.0[0]), put);
    }
    for row in rows {
        put_account(set, generation, row, &mut batch);
    }
    batch
}

/// A command with room for so many fields, so that it is not moved as it grows: a set has millions of them.
fn hset(key: Vec<u8>, fields: usize) -> Cmd {
    let field_bytes = ACCOUNT_REST_BYTES + FIELD_BYTES + VALUE_BYTES;
    let mut command = Cmd::with_capacity(2 + 2 * fields, HEAD_BYTES + fields * field_bytes);
    command.arg("HSET").arg(key);
    command
}

/// An account's field in its bucket.
fn account_field(
    rest: [u8; ACCOUNT_REST_BYTES],
    set: SetId,
    generation: Generation,
    row: &Row,
) -> [u8; ACCOUNT_REST_BYTES + ACCOUNT_FIELD_BYTES] {
    let mut field = [0; ACCOUNT_REST_BYTES + ACCOUNT_FIELD_BYTES];
    field[..ACCOUNT_REST_BYTES].copy_from_slice(&rest);
    field[ACCOUNT_REST_BYTES..].copy_from_slice(&encode_account_field(set, generation, row));
    field
}

fn put_account(set: SetId, generation: Generation, row: &Row, batch: &mut Batch) {
    let Some(account) = &row.account else { return };
    let (bucket, rest) = account_bucket(account);
    let mut put = hset(bucket, 1);
    put.arg(&account_field(rest, set, generation, row))
        .arg(&encode_account_value(&row.relationship));
    batch.add(Group::Rows(account.0[0]), put);
}

pub(super) fn write_accounts(set: SetId, generation: Generation, writes: &[RowWrite]) -> Batch {
    let mut batch = Batch::with_capacity(writes.len());
    for write in writes {
        match write {
            RowWrite::Put(row) => put_account(set, generation, row, &mut batch),
            RowWrite::Delete(row) => {
                let Some(account) = &row.account else { continue };
                let (bucket, rest) = account_bucket(account);
                let mut delete = redis::cmd("HDEL");
                delete.arg(bucket).arg(&account_field(rest, set, generation, row));
                batch.add(Group::Rows(account.0[0]), delete);
            }
        }
    }
    batch
}

/// The fields of a customer's hash that change: to a value, or to nothing.
type FieldWrites = BTreeMap<Field, Option<Value>>;

/// Batches of about [`PIPELINE_ROWS`]. All rows of a customer are in one step, however many there are.
pub(super) fn write_customers(set: SetId, generation: Generation, writes: &[RowWrite]) -> Vec<Batch> {
    let mut by_customer: BTreeMap<CustomerKey, FieldWrites> = BTreeMap::new();
    for write in writes {
        let value = match write {
            RowWrite::Put(row) => Some(encode_value(&row.relationship)),
            RowWrite::Delete(_) => None,
        };
        let fields = by_customer.entry(write.row().customer).or_default();
        // The last write of a row stands.
        fields.insert(encode_field(set, generation, write.row()), value);
    }
    let (mut batches, mut batch, mut rows) = (Vec::new(), Batch::default(), 0);
    for (customer, fields) in by_customer {
        rows += fields.len();
        write_customer(&customer, fields, &mut batch);
        if rows >= PIPELINE_ROWS {
            batches.push(std::mem::take(&mut batch));
            rows = 0;
        }
    }
    batches.push(batch);
    batches
}

/// One command if rows are only put or only deleted, else both together.
fn write_customer(customer: &CustomerKey, fields: FieldWrites, batch: &mut Batch) {
    let (group, key) = (Group::Rows(customer.0[0]), customer_key(customer));
    let (mut put, mut delete) = (redis::cmd("HSET"), redis::cmd("HDEL"));
    put.arg(&key);
    delete.arg(&key);
    let (mut puts, mut deletes) = (0, 0);
    for (field, value) in fields {
        match value {
            Some(value) => {
                puts += 1;
                put.arg(field.as_slice()).arg(value.as_slice());
            }
            None => {
                deletes += 1;
                delete.arg(field.as_slice());
            }
        }
    }
    match (deletes, puts) {
        (0, _) => batch.add(group, put),
        (_, 0) => batch.add(group, delete),
        _ => batch.add_atomic(group, vec![delete, put]),
    }
}

/// The group that a key of rows is in.
pub(super) fn group_of(key: &[u8]) -> Result<Group, IndexError> {
    let text = std::str::from_utf8(key.get(1..3).unwrap_or_default()).unwrap_or_default();
    let group = u8::from_str_radix(text, 16).map_err(|_| IndexError::Format("key"))?;
    Ok(Group::Rows(group))
}

/// The side that a field stands on, by the generation in it.
pub(super) fn side_of_field(key: &[u8], field: &[u8]) -> Option<Side> {
    // Fields of accounts begin with what the bucket leaves open of the account.
    let row = match key.get(4) {
        Some(b'a') => field.get(8..)?,
        _ => field,
    };
    let generation = row.get(4..8)?.try_into().ok()?;
    Some(Side::of(u32::from_be_bytes(generation)))
}

pub(super) fn scanned_row(key: &[u8], field: &[u8], value: &[u8]) -> Result<ScannedRow, IndexError> {
    let Group::Rows(group) = group_of(key)? else {
        return Err(IndexError::Format("key"));
    };
    match (key.get(4), key.get(5..)) {
        (Some(b'c'), Some(rest)) if rest.len() == 15 => {
            let mut customer = [group; 16];
            customer[1..].copy_from_slice(rest);
            Ok(ScannedRow::Relationship(
                CustomerKey(customer),
                decode_row(field, value)?,
            ))
        }
        (Some(b'a'), Some([second, _])) => {
            let (rest, field) = field
                .split_first_chunk::<8>()
                .ok_or(IndexError::Format("account key"))?;
            let mut account = [group; 10];
            account[1] = *second;
            account[2..].copy_from_slice(rest);
            Ok(ScannedRow::Account(
                AccountKey(account),
                decode_account(field, value)?,
            ))
        }
        _ => Err(IndexError::Format("key")),
    }
}
