//! Reading a customer's rows, on each engine.

use super::population::{Population, mix};
use chrono::DateTime;
use criterion::Criterion;
use kundeforhold::domain::identifiers::OrganizationNumber;
use kundeforhold::domain::relationship::{Register, SetId};
use kundeforhold::index::embedded::Embedded;
use kundeforhold::index::layout::{Marker, SetState};
use kundeforhold::index::redis::{Redis, RedisOptions};
use kundeforhold::index::{Expected, Index};
use kundeforhold::pseudonym::{KeyFingerprint, Sought};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const ROWS: u64 = 200_000;
const CHUNK_ROWS: u64 = 20_000;
const KEY: KeyFingerprint = [0; 8];

pub fn embedded(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let index = Embedded::open(&folder.path().join("index.redb"), 64 << 20).unwrap();
    read("embedded", &Index::Embedded(Arc::new(index)), criterion);
}

/// A `redis-server` that ends with its handle.
struct RedisServer(Child);

impl RedisServer {
    fn start() -> (Self, String) {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let started = Command::new("redis-server")
            .args([
                "--port",
                &address.port().to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn();
        let server = Self(started.expect("redis-server is installed by tests/run.sh"));
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        (server, format!("redis://{address}/0"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn redis(criterion: &mut Criterion) {
    let (_server, url) = RedisServer::start();
    let options = RedisOptions {
        lookup_connections: 4,
        pool_connections: 2,
        connect_timeout: Duration::from_secs(1),
        lookup_timeout: Duration::from_secs(1),
        write_timeout: Duration::from_secs(10),
        user: None,
        password: None,
        ca_certificate: None,
    };
    let index = Redis::connect(&url, &options).unwrap();
    read("redis", &Index::Redis(Arc::new(index)), criterion);
}

fn read(engine: &str, index: &Index, criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let population = Population::new(ROWS);
    runtime.block_on(fill(index, population));
    let mut at = 0;
    criterion.bench_function(&format!("index read, {engine}"), |bencher| {
        bencher.iter(|| {
            at += 1;
            let customer = population.customer(mix(at) % population.customers());
            let found = runtime.block_on(index.find_relationships(&Sought::new([(KEY, customer)])));
            assert!(!found.unwrap().is_empty());
        });
    });
}

async fn fill(index: &Index, population: Population) {
    index.clear().await.unwrap();
    let set = SetId {
        bank: OrganizationNumber::parse("220000001").unwrap(),
        register: Register::Kar,
    };
    let expected = Expected {
        customers: population.customers(),
        accounts: ROWS,
    };
    let mut load = index.begin_load(set, 1, expected).await.unwrap();
    for first in (0..ROWS).step_by(CHUNK_ROWS as usize) {
        let rows = (first..first + CHUNK_ROWS).map(|n| population.row(n)).collect();
        load = load.write(rows).await.unwrap();
    }
    load.finish().await.unwrap();
    let state = SetState {
        key: KEY,
        generation: 1,
        position: 1,
        journal: uuid::Uuid::nil(),
        fence: 0,
        sequence: 0,
        running: 0,
        gap: false,
        vouched: index.lineup(),
        last_delivery: DateTime::UNIX_EPOCH,
        retired: Vec::new(),
    };
    index.write(set, 1, Vec::new(), Some(state)).await.unwrap();
    let marker = Marker {
        register_id: Uuid::nil(),
        key: KEY,
        build: 1,
    };
    index.complete(marker).await.unwrap();
}
