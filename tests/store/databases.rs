//! What the contract does with databases as a whole.

use crate::postgres::{Database, SERVER, connect};
use std::path::Path;
use std::process::Command;

impl Database {
    /// What it holds now, as another database. All connections to it are broken: what was under way has never been.
    pub async fn copy(&self) -> Self {
        self.shut().await;
        let copy = Self::create_of(&self.name).await;
        self.open().await;
        copy
    }

    /// Puts the state of a copy in the place of this one. All connections are broken.
    pub async fn put_back(&self, copy: &Self) {
        let of_server = connect("postgres").await;
        let (name, gone) = (&self.name, format!("{}_gone", self.name));
        let rename = |from: &str, to: &str| format!("ALTER DATABASE {from} RENAME TO {to}");
        self.shut().await;
        of_server.batch_execute(&rename(name, &gone)).await.unwrap();
        of_server.batch_execute(&rename(&copy.name, name)).await.unwrap();
    }

    /// Runs a file of SQL by `psql`, as a superuser.
    pub async fn create_by(file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let url = SERVER.url.replace("DATABASE", "postgres");
        let run = Command::new("psql")
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(path)
            .arg(url)
            .status();
        assert!(run.unwrap().success());
    }

    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// `HOST:PORT` of the server.
    pub fn address(&self) -> String {
        let (_, address) = SERVER.url.split_once('@').unwrap();
        address.split_once('/').unwrap().0.to_owned()
    }

    pub async fn run(&self, sql: &str) {
        self.connect().await.batch_execute(sql).await.unwrap();
    }
}
