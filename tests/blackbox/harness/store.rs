//! The file of the store, looked at and changed as no call lets anybody.

use super::{PROGRAM, Service};
use chrono::NaiveDate;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

impl Service {
    /// A connection beside the service's own.
    pub fn open_store(&self) -> Connection {
        Connection::open(self.store()).unwrap()
    }

    /// `PRAGMA integrity_check`, of a file.
    pub fn assert_store_is_sound(&self) {
        if self.database.is_some() {
            return;
        }
        let store = self.open_store();
        let told: String = store
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(told, "ok", "{}", self.log());
    }

    /// A command on the configuration of the service, to its end.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command
            .args(["120", PROGRAM])
            .args(arguments)
            .arg("--config")
            .arg(self.configuration());
        command.output().unwrap()
    }

    /// Makes a backup, beside the service if that runs.
    pub fn back_up(&self, to: &Path) {
        let made = self.command(&["backup", to.to_str().unwrap(), "--replace"]);
        assert!(made.status.success(), "{made:?}");
    }

    /// Puts the register of a backup in the place of what stands, while the service is down.
    pub fn restore(&self, from: &Path) {
        let restored = self.command(&[
            "restore",
            from.to_str().unwrap(),
            "--only",
            "register",
            "--replace",
        ]);
        assert!(restored.status.success(), "{restored:?}");
    }

    /// The file itself and SQLite's own beside it.
    pub fn store_files(&self) -> [PathBuf; 3] {
        files_of(&self.store())
    }

    /// The same of the record of use.
    pub fn record_files(&self) -> [PathBuf; 3] {
        files_of(&self.record())
    }
}

fn files_of(file: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", file.display())))
}

/// Files that are out of the service's reach, by renaming them: root is not held by permissions.
pub struct Away([PathBuf; 3]);

impl Away {
    pub fn take(files: [PathBuf; 3]) -> Self {
        for file in &files {
            std::fs::rename(file, Self::place(file)).unwrap();
        }
        Self(files)
    }

    /// Nothing was put in their place.
    pub fn bring_back(self) {
        for file in &self.0 {
            assert!(!file.exists(), "another {} was begun", file.display());
            std::fs::rename(Self::place(file), file).unwrap();
        }
    }

    fn place(file: &Path) -> PathBuf {
        PathBuf::from(format!("{}.away", file.display()))
    }
}

/// Longest wait until what was broken off is removed.
const SWEPT_WITHIN: Duration = Duration::from_secs(20);
/// Rows of versions that were begun and never published.
const BROKEN_OFF: &str = "SELECT count(*) FROM relationships JOIN sets ON sets.id = relationships.set_id
    WHERE merging = 0 AND (since > version OR until > version)";
/// Deliveries of an instance that has ended are given up so soon.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(15);
pub const RECEIVING: &str = "SELECT count(*) FROM deliveries WHERE state = 0";
const MERGING: &str = "SELECT count(*) FROM sets WHERE merging <> 0";

impl Service {
    /// The number that a query gives.
    pub async fn count(&self, sql: &str) -> i64 {
        match &self.database {
            Some(database) => database.number(sql).await,
            None => self.open_store().query_row(sql, [], |row| row.get(0)).unwrap(),
        }
    }

    /// Waits until what a killed instance received is given up: on PostgreSQL, by whoever looks for ten seconds.
    pub async fn wait_until_given_up(&self) {
        if self.database.is_none() {
            return;
        }
        let started = Instant::now();
        while self.count(RECEIVING).await > 0 {
            assert!(started.elapsed() < GIVEN_UP_WITHIN, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing is left of what was begun and broken off. In PostgreSQL nothing ever is.
    pub async fn wait_until_swept(&self) {
        if self.database.is_some() {
            return;
        }
        let started = Instant::now();
        while self.count(MERGING).await > 0 {
            assert!(started.elapsed() < SWEPT_WITHIN, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.count(BROKEN_OFF).await, 0);
    }
}

impl Service {
    /// Waits until no record is left that ended before a day.
    pub async fn wait_until_erased(&self, day: NaiveDate) {
        let day = (day - NaiveDate::default()).num_days();
        let ended = format!("SELECT count(*) FROM relationships WHERE to_day < {day}");
        let started = Instant::now();
        while self.count(&ended).await > 0 {
            assert!(started.elapsed() < SWEPT_WITHIN, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What only time, a defect or an accident does.
impl Service {
    /// Moves a bank's last delivery in KAR back by two days, since no test can wait so long.
    pub async fn deliver_long_ago(&mut self, bank: &str) {
        const TWO_DAYS: i64 = 2 * 24 * 3_600 * 1_000;
        assert!(self.terminate().success(), "{}", self.log());
        let bank: i64 = bank.parse().unwrap();
        let move_back = format!(
            "UPDATE sets SET last_delivery = last_delivery - {TWO_DAYS} WHERE bank = {bank} AND register = 0"
        );
        assert_eq!(self.change_store(&move_back).await, 1);
        self.start_again();
        self.wait_until_ready().await;
    }

    /// Gives every record a format that no program writes.
    pub async fn spoil_records(&self) {
        assert!(self.change_store("UPDATE relationships SET terms = 0").await > 0);
    }

    /// Changes `entries` or `heads` of the record of use. Gives how many rows are changed.
    pub async fn change_record(&self, sql: &str) -> u64 {
        if self.database.is_some() {
            let of_schema = sql
                .replace("entries", "record.entries")
                .replace("heads", "record.heads");
            return self.change_store(&of_schema).await;
        }
        let record = Connection::open(self.record()).unwrap();
        record.execute(sql, []).unwrap() as u64
    }

    /// Gives how many rows are changed.
    pub async fn change_store(&self, sql: &str) -> u64 {
        match &self.database {
            Some(database) => database.connect().await.execute(sql, &[]).await.unwrap(),
            None => self.open_store().execute(sql, []).unwrap() as u64,
        }
    }
}
