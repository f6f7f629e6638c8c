//! The participants file: loaded at start, reloaded without restart.

use crate::domain::calendar::parse_day;
use crate::domain::identifiers::{InvalidIdentifier, OrganizationNumber};
use crate::domain::participants::{Merger, Participant, Participants, ParticipantsError};
use crate::domain::relationship::{Register, Role, SetId};
use crate::store::Sets;
use arc_swap::ArcSwap;
use chrono::{NaiveDate, TimeDelta};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// Why a participants file is refused; the participants in force stay.
#[derive(Debug, thiserror::Error)]
pub enum ParticipantsFileError {
    #[error("{path} cannot be read: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("the participants file is not valid: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("participant {name:?}: {field} {cause}")]
    Number {
        name: String,
        field: &'static str,
        cause: InvalidIdentifier,
    },
    #[error("participant {0:?}: successor and mergedOn go together")]
    Merger(String),
    #[error(transparent)]
    List(#[from] ParticipantsError),
    #[error("{0} has records and may not be dropped; set `paused = true` instead")]
    Dropped(SetId),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParticipantsFile {
    #[serde(default)]
    participant: Vec<ParticipantEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ParticipantEntry {
    #[serde(rename = "organizationID")]
    organization_id: String,
    name: String,
    registers: Vec<Register>,
    #[serde(deserialize_with = "duration")]
    stale_after: TimeDelta,
    #[serde(default, deserialize_with = "day")]
    covers_from: Option<NaiveDate>,
    kfr_role: Option<KfrRole>,
    successor: Option<String>,
    #[serde(default, deserialize_with = "day")]
    merged_on: Option<NaiveDate>,
    #[serde(default)]
    paused: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum KfrRole {
    Owner,
    Unknown,
}

/// A number of hours, days or minutes: `36h`, `2d`, `90m`.
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
    let text = String::deserialize(deserializer)?;
    let minutes = match text.char_indices().last() {
        Some((at, 'm')) => text[..at].parse::<u32>().ok(),
        Some((at, 'h')) => text[..at]
            .parse::<u32>()
            .ok()
            .and_then(|hours| hours.checked_mul(60)),
        Some((at, 'd')) => text[..at]
            .parse::<u32>()
            .ok()
            .and_then(|days| days.checked_mul(24 * 60)),
        _ => None,
    };
    minutes
        .filter(|minutes| *minutes > 0)
        .map(|minutes| TimeDelta::minutes(minutes.into()))
        .ok_or_else(|| serde::de::Error::custom("must be a number of minutes, hours or days, such as 36h"))
}

/// A day, as a string `YYYY-MM-DD` or as a TOML date.
fn day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Day {
        Text(String),
        Date(toml::value::Datetime),
    }
    let text = match Day::deserialize(deserializer)? {
        Day::Text(text) => text,
        Day::Date(date) => date.to_string(),
    };
    let refused = || serde::de::Error::custom("must be a day, YYYY-MM-DD");
    parse_day(&text).map(Some).ok_or_else(refused)
}

impl ParticipantEntry {
    fn into_participant(self) -> Result<Participant, ParticipantsFileError> {
        let name = self.name;
        let number = |field, text: &str| {
            let refused = |cause| ParticipantsFileError::Number {
                name: name.clone(),
                field,
                cause,
            };
            OrganizationNumber::parse(text).map_err(refused)
        };
        let organization = number("organizationID", &self.organization_id)?;
        let successor = self
            .successor
            .map(|text| number("successor", &text))
            .transpose()?;
        let merger = match (successor, self.merged_on) {
            (None, None) => None,
            (Some(successor), Some(merged_on)) => Some(Merger { successor, merged_on }),
            _ => return Err(ParticipantsFileError::Merger(name)),
        };
        let mut registers = self.registers;
        registers.sort();
        Ok(Participant {
            organization,
            name,
            registers,
            stale_after: self.stale_after,
            covers_from: self.covers_from,
            kfr_role: match self.kfr_role {
                Some(KfrRole::Owner) => Role::Owner,
                Some(KfrRole::Unknown) | None => Role::Unknown,
            },
            merger,
            paused: self.paused,
        })
    }
}

/// Reads a participants file's text.
pub fn parse(text: &str) -> Result<Participants, ParticipantsFileError> {
    let file: ParticipantsFile = toml::from_str(text)?;
    let list = file
        .participant
        .into_iter()
        .map(ParticipantEntry::into_participant)
        .collect::<Result<_, _>>()?;
    Ok(Participants::new(list)?)
}

/// Reads a participants file.
pub fn load(path: &Path) -> Result<Participants, ParticipantsFileError> {
    let unreadable = |cause| ParticipantsFileError::Unreadable {
        path: path.display().to_string(),
        cause,
    };
    parse(&crate::text::read_file(path).map_err(unreadable)?)
}

/// A list that leaves out a bank with records, or one of its registers, would make answers disappear.
pub fn check_none_dropped(participants: &Participants, sets: &Sets) -> Result<(), ParticipantsFileError> {
    let registered = |set: &SetId| {
        participants
            .get(set.bank)
            .is_some_and(|bank| bank.registers.contains(&set.register))
    };
    let dropped = sets.iter().map(|(set, _)| set).find(|set| !registered(set));
    dropped.map_or(Ok(()), |set| Err(ParticipantsFileError::Dropped(set)))
}

/// The participants in force, shared; a request takes them once.
#[derive(Clone)]
pub struct ParticipantsInForce(Arc<ArcSwap<Participants>>);

impl ParticipantsInForce {
    pub fn new(participants: Participants) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(participants)))
    }

    pub fn load(&self) -> Arc<Participants> {
        self.0.load_full()
    }

    /// Puts another list in force, unless it drops a bank with records.
    pub fn replace(&self, participants: Participants, sets: &Sets) -> Result<(), ParticipantsFileError> {
        check_none_dropped(&participants, sets)?;
        self.0.store(Arc::new(participants));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(extra: &str) -> String {
        format!(
            "[[participant]]\norganizationID = \"988077917\"\nname = \"Bank\"\nregisters = [\"KFR\", \"KAR\"]\n\
             staleAfter = \"36h\"\n{extra}\n"
        )
    }

    #[test]
    fn a_participant_is_read_with_all_its_fields() {
        let other = entry("").replace("988077917", "123456785");
        let text = entry(
            "coversFrom = 2015-01-01\nkfrRole = \"owner\"\nsuccessor = \"123456785\"\nmergedOn = \"2026-02-01\"\npaused = true",
        );
        let participants = parse(&(text + &other)).unwrap();
        let bank = participants
            .get(OrganizationNumber::parse("988077917").unwrap())
            .unwrap();
        assert_eq!(bank.registers, [Register::Kar, Register::Kfr]);
        assert_eq!(bank.stale_after, TimeDelta::hours(36));
        assert_eq!(bank.covers_from, NaiveDate::from_ymd_opt(2015, 1, 1));
        assert_eq!(bank.kfr_role, Role::Owner);
        assert_eq!(
            bank.merger.unwrap().merged_on,
            NaiveDate::from_ymd_opt(2026, 2, 1).unwrap()
        );
        assert!(bank.paused);
    }

    #[test]
    fn a_wrong_file_is_refused_and_says_where() {
        for (text, says) in [
            (entry("stale = 1"), "line 6"),
            (entry("").replace("36h", "36"), "such as 36h"),
            (entry("").replace("988077917", "988077918"), "organizationID"),
            (entry("successor = \"123456785\""), "go together"),
            (
                entry("successor = \"123456785\"\nmergedOn = 2026-01-01"),
                "not registered",
            ),
            (entry("").repeat(2), "registered twice"),
            (entry("coversFrom = \"2015-02-29\""), "YYYY-MM-DD"),
            (entry("").replace("[\"KFR\", \"KAR\"]", "[]"), "no register"),
        ] {
            let message = parse(&text).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_cycle_of_successors_is_refused() {
        let merged = |from: &str, to: &str| {
            entry(&format!("successor = \"{to}\"\nmergedOn = 2026-01-01")).replace("988077917", from)
        };
        let cycle = merged("988077917", "123456785") + &merged("123456785", "988077917");
        assert!(parse(&cycle).unwrap_err().to_string().contains("lead back"));
        let into_cycle = merged("974761076", "123456785") + &cycle;
        assert!(parse(&into_cycle).unwrap_err().to_string().contains("lead back"));
    }
}
