//! Another pseudonym key, as an operator brings it in.

use super::{PROGRAM, Service, make_key};
use std::process::{Command, Output};
use tokio::task::JoinHandle;

impl Service {
    /// Changes the configuration; in force with the next start.
    pub fn configure(&self, change: impl FnOnce(&mut toml::Table)) {
        let text = std::fs::read_to_string(self.configuration()).unwrap();
        let mut table: toml::Table = text.parse().unwrap();
        change(&mut table);
        std::fs::write(self.configuration(), table.to_string()).unwrap();
    }

    /// Makes the next key, and names it beside the present one. The record of use keeps what it was made with.
    pub fn name_next_key(&self) {
        let next = self
            .directory
            .path()
            .join(format!("{}.key", uuid::Uuid::new_v4()));
        make_key(&next);
        let first = self.directory.path().join("pseudonym.key").display().to_string();
        self.configure(|table| {
            let next = next.display().to_string();
            section(table, "pseudonym").insert("next_key_file".to_owned(), next.into());
            section(table, "record").insert("key_files".to_owned(), vec![first].into());
        });
    }

    /// Names the next key as the only one.
    pub fn name_next_key_only(&self) {
        self.configure(|table| {
            let pseudonym = section(table, "pseudonym");
            let next = pseudonym.remove("next_key_file").unwrap();
            pseudonym.insert("key_file".to_owned(), next);
        });
    }

    /// `kundeforhold rekey`, beside the service or without one. It begins at once.
    pub fn begin_rekey(&self) -> JoinHandle<Output> {
        let mut command = Command::new("timeout");
        command
            .args(["100", PROGRAM, "rekey", "--json", "--config"])
            .arg(self.configuration());
        tokio::task::spawn_blocking(move || command.output().unwrap())
    }

    /// The same, to its end.
    pub async fn rekey(&self) -> Output {
        self.begin_rekey().await.unwrap()
    }
}

pub fn section<'t>(table: &'t mut toml::Table, name: &str) -> &'t mut toml::Table {
    let section = table.entry(name).or_insert_with(|| toml::Table::new().into());
    section.as_table_mut().unwrap()
}
