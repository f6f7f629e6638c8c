//! The synthetic world of `fixtures/`: banks, customers and relationships, with days relative to today.

use super::issuer::{Client, Issuer, IssuerError};
use crate::access::terms;
use crate::domain::calendar::{oslo_day, years_before};
use crate::domain::identifiers::{InvalidIdentifier, OrganizationNumber};
use crate::domain::participants::Participants;
use crate::register::participants::{self, ParticipantsFileError};
use chrono::{Datelike, Days, NaiveDate, Utc};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// The bank that the demo's `bank` token belongs to: it takes part in both registers.
pub const DEMO_BANK: &str = "210099093";
/// The agency whose terms admit any mandate, customer and period.
const SANDBOX_AGENCY: &str = "310500003";
/// The agencies whose terms ship with the service.
const AGENCIES: [(&str, &str); 4] = [
    ("sandbox", SANDBOX_AGENCY),
    ("skatt", "974761076"),
    ("politi", "915429785"),
    ("srf", "986186999"),
];
const TIMEOUT: Duration = Duration::from_secs(30);

const PARTICIPANTS: &str = include_str!("../../fixtures/participants.toml");
/// Bank, register and records.
const SETS: [(&str, &str, &str); 15] = [
    (
        "210011013",
        "KAR",
        include_str!("../../fixtures/relationships/210011013-KAR.ndjson"),
    ),
    (
        "210022023",
        "KAR",
        include_str!("../../fixtures/relationships/210022023-KAR.ndjson"),
    ),
    (
        "210033033",
        "KAR",
        include_str!("../../fixtures/relationships/210033033-KAR.ndjson"),
    ),
    (
        "210044043",
        "KAR",
        include_str!("../../fixtures/relationships/210044043-KAR.ndjson"),
    ),
    (
        "210055053",
        "KAR",
        include_str!("../../fixtures/relationships/210055053-KAR.ndjson"),
    ),
    (
        "210066063",
        "KAR",
        include_str!("../../fixtures/relationships/210066063-KAR.ndjson"),
    ),
    (
        "210077073",
        "KAR",
        include_str!("../../fixtures/relationships/210077073-KAR.ndjson"),
    ),
    (
        "210088083",
        "KAR",
        include_str!("../../fixtures/relationships/210088083-KAR.ndjson"),
    ),
    (
        "210099093",
        "KAR",
        include_str!("../../fixtures/relationships/210099093-KAR.ndjson"),
    ),
    (
        "210099093",
        "KFR",
        include_str!("../../fixtures/relationships/210099093-KFR.ndjson"),
    ),
    (
        "210110100",
        "KAR",
        include_str!("../../fixtures/relationships/210110100-KAR.ndjson"),
    ),
    (
        "210110100",
        "KFR",
        include_str!("../../fixtures/relationships/210110100-KFR.ndjson"),
    ),
    (
        "210121110",
        "KAR",
        include_str!("../../fixtures/relationships/210121110-KAR.ndjson"),
    ),
    (
        "210132120",
        "KFR",
        include_str!("../../fixtures/relationships/210132120-KFR.ndjson"),
    ),
    (
        "210143130",
        "KFR",
        include_str!("../../fixtures/relationships/210143130-KFR.ndjson"),
    ),
];

/// Why the world could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error(transparent)]
    Participants(#[from] ParticipantsFileError),
    #[error(transparent)]
    Number(#[from] InvalidIdentifier),
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    #[error("the service cannot be reached: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the set {set} was not taken: {answer}")]
    Refused { set: String, answer: String },
}

/// The world as it is on one day.
pub struct World {
    today: NaiveDate,
    participants: Participants,
}

impl World {
    /// The world of a day; the fixtures are part of the program and tested to be valid.
    pub fn on(today: NaiveDate) -> Result<Self, WorldError> {
        Ok(Self {
            today,
            participants: participants::parse(&fill_in(PARTICIPANTS, today))?,
        })
    }

    /// The world of today, in Oslo.
    pub fn today() -> Result<Self, WorldError> {
        Self::on(oslo_day(Utc::now()))
    }

    pub fn day(&self) -> NaiveDate {
        self.today
    }

    pub fn banks(&self) -> Vec<OrganizationNumber> {
        self.participants.iter().map(|bank| bank.organization).collect()
    }

    pub fn participants(&self) -> &Participants {
        &self.participants
    }

    /// The participants file.
    pub fn participants_file(&self) -> String {
        fill_in(PARTICIPANTS, self.today)
    }

    /// The same before any bank was paused, so that every bank can deliver once.
    pub fn participants_before_pauses(&self) -> String {
        self.participants_file()
            .replace("paused = true", "paused = false")
    }

    /// Who delivers for a bank: itself, or the one that it has merged into.
    fn deliverer(&self, bank: &str) -> String {
        let number = OrganizationNumber::parse(bank).ok();
        let deliverer = number.and_then(|number| self.participants.answering_for(number, self.today));
        deliverer.map_or_else(|| bank.to_owned(), |bank| bank.organization.to_string())
    }

    /// Delivers every bank's sets to a service, the way banks do.
    pub async fn deliver(
        &self,
        service: &str,
        issuer: &Issuer,
        token_lifetime: Duration,
    ) -> Result<(), WorldError> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let deliveries = SETS.iter().map(|(bank, register, records)| {
            let client = client.clone();
            async move {
                let token = issuer.token(&client_name(&self.deliverer(bank)), token_lifetime)?;
                let response = client
                    .put(format!(
                        "{service}/v2/financialInstitutions/{bank}/relationships?register={register}"
                    ))
                    .bearer_auth(token)
                    .header("Content-Type", "application/x-ndjson")
                    .body(fill_in(records, self.today))
                    .send()
                    .await?;
                if response.status().is_success() {
                    return Ok(());
                }
                Err(WorldError::Refused {
                    set: format!("{bank}/{register}"),
                    answer: response.text().await?,
                })
            }
        });
        futures_util::future::try_join_all(deliveries).await.map(|_| ())
    }
}

/// The terms that ship with the service, and those of the sandbox agency, which admit anything.
pub fn service_terms() -> String {
    format!(
        "{}\n[[service]]\nname = \"Sandbox\"\nconsumer = \"{SANDBOX_AGENCY}\"\n\
         endpoints = [\"customerRelationships\", \"accountServicingProvider\"]\nmandate = \"*\"\n\
         customer = \"any\"\nperiod = \"any\"\nonly_primary_owner = \"either\"\n",
        terms::DEFAULT
    )
}

/// The issuer's clients: the agencies, a bank of both registers, and every bank by its number.
pub fn clients(banks: &[OrganizationNumber]) -> Result<Vec<Client>, InvalidIdentifier> {
    const READ: [&str; 1] = ["bits:kundeforhold"];
    const WRITE: [&str; 1] = ["bits:kundeforhold.write"];
    let agency =
        |(name, number): (&str, &str)| Ok(Client::new(name, OrganizationNumber::parse(number)?, &READ));
    let mut clients: Vec<Client> = AGENCIES.into_iter().map(agency).collect::<Result<_, _>>()?;
    clients.push(Client::new("bank", OrganizationNumber::parse(DEMO_BANK)?, &WRITE));
    clients.extend(
        banks
            .iter()
            .map(|bank| Client::new(&client_name(&bank.to_string()), *bank, &WRITE)),
    );
    Ok(clients)
}

fn client_name(bank: &str) -> String {
    format!("bank-{bank}")
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())
}

/// Replaces `{lastYear}` and `{today…}`, such as `{today-1}` or `{today-10y+1}`; see `fixtures/README.md`.
fn fill_in(text: &str, today: NaiveDate) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, from_brace) = rest.split_at(start);
        filled.push_str(before);
        let placeholder = from_brace
            .find('}')
            .and_then(|end| Some((end, day_of(&from_brace[1..end], today)?)));
        match placeholder {
            Some((end, day)) => {
                filled.push_str(&day);
                rest = &from_brace[end + 1..];
            }
            None => {
                filled.push('{');
                rest = &from_brace[1..];
            }
        }
    }
    filled + rest
}

fn day_of(placeholder: &str, today: NaiveDate) -> Option<String> {
    if placeholder == "lastYear" {
        return Some(format!("{:04}", today.year() - 1));
    }
    let offset = placeholder.strip_prefix("today")?;
    let (years, days) = match offset.split_once('y') {
        Some((years, days)) => (years.strip_prefix('-')?.parse().ok()?, days),
        None => (0, offset),
    };
    let day = years_before(today, years);
    let days: i64 = if days.is_empty() { 0 } else { days.parse().ok()? };
    let shifted = if days < 0 {
        day.checked_sub_days(Days::new(days.unsigned_abs()))
    } else {
        day.checked_add_days(Days::new(days.unsigned_abs()))
    };
    Some(shifted?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_days() {
        let today = "2028-02-29".parse().unwrap();
        let text = r#"{"a": "{today}", "b": "{today-1} {today+2}", "c": "{lastYear}-01-01", "d": "{today-10y-1}", "e": "{x}"}"#;
        let filled = r#"{"a": "2028-02-29", "b": "2028-02-28 2028-03-02", "c": "2027-01-01", "d": "2018-02-27", "e": "{x}"}"#;
        assert_eq!(fill_in(text, today), filled);
    }

    #[test]
    fn the_world_is_whole_on_any_day() {
        for day in ["2026-11-20", "2027-01-01", "2028-02-29"] {
            let world = World::on(day.parse().unwrap()).unwrap();
            let sets: usize = world.participants().iter().map(|bank| bank.registers.len()).sum();
            assert_eq!(sets, SETS.len());
            assert!(clients(&world.banks()).is_ok());
        }
    }
}
