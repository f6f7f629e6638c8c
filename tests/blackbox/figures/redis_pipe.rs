//! As many rows into Redis with `redis-cli --pipe`: the same commands that the service sends.

use super::population::{Population, ROWS_PER_CUSTOMER};
use crate::harness::redis::RedisServer;
use kundeforhold::domain::identifiers::OrganizationNumber;
use kundeforhold::domain::relationship::{Register, SetId};
use kundeforhold::index::layout::{encode_account_field, encode_account_value, encode_field, encode_value};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Loads so many rows, and gives the time it took.
pub fn load(rows: u64, scratch: &Path) -> Duration {
    let file = scratch.join("commands");
    write_commands(rows, &file);
    let redis = RedisServer::start();
    let port = redis
        .url()
        .rsplit_once(':')
        .unwrap()
        .1
        .trim_end_matches("/0")
        .to_owned();
    let began = Instant::now();
    let piped = Command::new("redis-cli")
        .args(["-p", &port, "--pipe"])
        .stdin(File::open(&file).unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let took = began.elapsed();
    assert!(piped.success());
    std::fs::remove_file(file).unwrap();
    took
}

fn write_commands(rows: u64, file: &Path) {
    let set = SetId {
        bank: OrganizationNumber::parse("220000001").unwrap(),
        register: Register::Kar,
    };
    let population = Population::new(rows);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file).unwrap());
    for customer in 0..population.customers() {
        let rows = (0..ROWS_PER_CUSTOMER).map(|n| population.row(customer * ROWS_PER_CUSTOMER + n));
        let rows: Vec<_> = rows.collect();
        let mut command = vec![
            b"HSET".to_vec(),
            key(rows[0].customer.0[0], b'c', &rows[0].customer.0[1..]),
        ];
        for row in &rows {
            command.push(encode_field(set, 1, row).to_vec());
            command.push(encode_value(&row.relationship).to_vec());
        }
        write_command(&mut out, &command);
        for row in &rows {
            let account = row.account.unwrap().0;
            let bucket = key(account[0], b'a', &[account[1], account[2] >> 6]);
            let field = [&account[2..], &encode_account_field(set, 1, row)].concat();
            let value = encode_account_value(&row.relationship).to_vec();
            write_command(&mut out, &[b"HSET".to_vec(), bucket, field, value]);
        }
    }
    out.flush().unwrap();
}

fn key(group: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = format!("{{{group:02x}}}").into_bytes();
    key.push(kind);
    key.extend_from_slice(rest);
    key
}

fn write_command(out: &mut impl Write, parts: &[Vec<u8>]) {
    write!(out, "*{}\r\n", parts.len()).unwrap();
    for part in parts {
        write!(out, "${}\r\n", part.len()).unwrap();
        out.write_all(part).unwrap();
        out.write_all(b"\r\n").unwrap();
    }
}
