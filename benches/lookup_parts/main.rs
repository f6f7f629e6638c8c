//! What the parts of a lookup take: `cargo bench --bench lookup_parts`.

mod access;
mod index;
#[path = "../embedded_load/population.rs"]
mod population;
mod rest;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    parts,
    access::tokens,
    access::terms,
    rest::pseudonym,
    rest::rules,
    rest::encoding,
    rest::audit,
    index::embedded,
    index::redis
);
criterion_main!(parts);
