//! Many records into a table: binary `COPY`.

use super::rows::terms;
use super::transaction::Transaction;
use crate::store::format::day_number;
use crate::store::{KeyId, SealedRecord, StoreError};
use std::pin::pin;
use tokio::runtime::Handle;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

/// Records that are made ready on this thread, before they are sent.
const RECORDS_AT_ONCE: usize = 2_000;

/// Where records go.
pub(super) enum Table {
    /// Those of a whole set, to be compared with what stands.
    Delivered,
    /// A set that has none yet.
    Relationships { set_id: i32, version: u64, key: KeyId },
}

impl Table {
    fn sql(&self) -> &'static str {
        match self {
            Self::Delivered => {
                "COPY delivered (subject, agreement, from_day, terms, to_day) FROM STDIN (FORMAT binary)"
            }
            Self::Relationships { .. } => {
                "COPY relationships (subject, agreement, from_day, terms, to_day, set_id, since, key)
                 FROM STDIN (FORMAT binary)"
            }
        }
    }

    fn types(&self) -> &'static [Type] {
        const OF_ALL: [Type; 8] = [
            Type::BYTEA,
            Type::BYTEA,
            Type::INT4,
            Type::INT2,
            Type::INT4,
            Type::INT4,
            Type::INT8,
            Type::INT2,
        ];
        match self {
            Self::Delivered => &OF_ALL[..5],
            Self::Relationships { .. } => &OF_ALL,
        }
    }

    async fn write(
        &self,
        writer: std::pin::Pin<&mut BinaryCopyInWriter>,
        record: &SealedRecord,
    ) -> Result<(), tokio_postgres::Error> {
        let (customer, agreement) = (record.customer.as_bytes(), record.agreement.as_bytes());
        let from_day = day_number(record.relationship.interval().from());
        let (terms, to_day) = terms(record);
        match self {
            Self::Delivered => {
                writer
                    .write(&[&customer, &agreement, &from_day, &terms, &to_day])
                    .await
            }
            Self::Relationships { set_id, version, key } => {
                let (version, key) = (version.cast_signed(), i16::from(key.0));
                let row: super::transaction::Parameters<'_> = &[
                    &customer, &agreement, &from_day, &terms, &to_day, set_id, &version, &key,
                ];
                writer.write(row).await
            }
        }
    }
}

/// Copies records as they come. Not for threads that answer.
pub(super) fn copy<E: From<StoreError>>(
    runtime: &Handle,
    transaction: &Transaction,
    table: &Table,
    mut next: impl FnMut() -> Result<Option<SealedRecord>, E>,
) -> Result<(), E> {
    let failed = |cause: tokio_postgres::Error| StoreError::from(cause);
    let sink = runtime
        .block_on(transaction.client()?.copy_in(table.sql()))
        .map_err(failed)?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, table.types()));
    loop {
        let mut records = Vec::with_capacity(RECORDS_AT_ONCE);
        while records.len() < RECORDS_AT_ONCE
            && let Some(record) = next()?
        {
            records.push(record);
        }
        let sent = runtime.block_on(async {
            for record in &records {
                table.write(writer.as_mut(), record).await?;
            }
            match records.len() < RECORDS_AT_ONCE {
                true => writer.as_mut().finish().await.map(Some),
                false => Ok(None),
            }
        });
        if sent.map_err(failed)?.is_some() {
            return Ok(());
        }
    }
}
