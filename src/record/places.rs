//! Numbers by which tables keep chains and batches apart.

use super::index::BatchId;

/// Bits of a place that are the sequence number.
const SEQUENCE_BITS: u32 = 40;

/// Where an entry, or a batch, of a chain is.
pub(super) fn place(chain: u32, sequence: u64) -> i64 {
    (i64::from(chain) << SEQUENCE_BITS) | sequence.cast_signed()
}

pub(super) fn chain_of(place: i64) -> u32 {
    u32::try_from(place >> SEQUENCE_BITS).unwrap_or(u32::MAX)
}

pub(super) fn sequence_of(place: i64) -> u64 {
    (place & ((1 << SEQUENCE_BITS) - 1)).cast_unsigned()
}

pub(super) fn batch_place(batch: BatchId) -> i64 {
    place(batch.chain, batch.number)
}

pub(super) fn batch_of(place: i64) -> BatchId {
    BatchId {
        chain: chain_of(place),
        number: sequence_of(place),
    }
}
