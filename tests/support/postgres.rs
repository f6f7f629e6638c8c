//! A PostgreSQL for a test binary, started by `deploy/local-postgres.sh`, with a database for each test. It stops with the
//! binary, even where that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::{Client, NoTls};

pub static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
static DATABASES: AtomicU32 = AtomicU32::new(0);

pub struct Server {
    /// Its stdin ends with this process.
    _script: Child,
    /// Of a database that is called `DATABASE`.
    pub url: String,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further options of the script.
    pub fn start_with(options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local-postgres.sh");
        let mut script = Command::new(script)
            .arg("--until-stdin-ends")
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut told = BufReader::new(script.stdout.take().unwrap());
        told.read_line(&mut url).unwrap();
        assert!(url.contains("DATABASE"), "PostgreSQL did not come up");
        Self {
            _script: script,
            url: url.trim().to_owned(),
        }
    }
}

/// A database of its own, as the settings name it.
#[derive(Debug, Clone)]
pub struct Database {
    pub name: String,
}

impl Database {
    /// An empty one.
    pub async fn create() -> Self {
        Self::create_of("template0").await
    }

    pub async fn create_of(template: &str) -> Self {
        let name = format!("register_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let of_server = connect("postgres").await;
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        of_server.batch_execute(&create).await.unwrap();
        Self { name }
    }

    /// Takes no connections from now on, and ends those that there are.
    pub async fn shut(&self) {
        let of_server = connect("postgres").await;
        let shut = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name);
        of_server.batch_execute(&shut).await.unwrap();
        self.break_connections().await;
    }

    /// Takes connections again.
    pub async fn open(&self) {
        let of_server = connect("postgres").await;
        let open = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name);
        of_server.batch_execute(&open).await.unwrap();
    }

    /// Ends the server's side of every connection to it.
    pub async fn break_connections(&self) {
        let of_server = connect("postgres").await;
        let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
        let left = "SELECT 1 FROM pg_stat_activity WHERE datname = $1";
        of_server.query(others, &[&self.name]).await.unwrap();
        while !of_server.query(left, &[&self.name]).await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    pub fn url(&self) -> String {
        SERVER.url.replace("DATABASE", &self.name)
    }

    pub async fn connect_to(url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A connection to it.
    pub async fn connect(&self) -> Client {
        connect(&self.name).await
    }

    /// Gives the first column of the first row.
    pub async fn number(&self, sql: &str) -> i64 {
        self.connect().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

/// A connection to a database of that name.
pub async fn connect(database: &str) -> Client {
    Database::connect_to(&SERVER.url.replace("DATABASE", database)).await
}
