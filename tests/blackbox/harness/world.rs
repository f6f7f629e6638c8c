//! The synthetic world of `fixtures/`, with its days filled in.

use chrono::{Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Europe::Oslo;
use serde_json::Value;
use std::path::PathBuf;

pub fn today() -> NaiveDate {
    Utc::now().with_timezone(&Oslo).date_naive()
}

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// No bank is paused, so that all can deliver.
pub fn participants() -> String {
    fill_in(&read("participants.toml")).replace("paused = true", "paused = false")
}

/// Who delivers for a bank: itself, or the one at the end of those that it has merged into by now.
pub fn deliverer(bank: &str) -> String {
    let file: toml::Table = participants().parse().unwrap();
    let banks = file["participant"].as_array().unwrap();
    let field = |bank: &toml::Value, name: &str| Some(bank.get(name)?.as_str()?.to_owned());
    let mut number = bank.to_owned();
    while let Some(successor) = banks
        .iter()
        .find(|bank| field(bank, "organizationID").as_deref() == Some(&number))
        .filter(|bank| field(bank, "mergedOn").is_some_and(|on| on <= today().to_string()))
        .and_then(|bank| field(bank, "successor"))
    {
        number = successor;
    }
    number
}

/// Bank, register and records of every set.
pub fn sets() -> Vec<(String, String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/relationships");
    let names = std::fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut sets: Vec<_> = names
        .map(|name| {
            let (bank, register) = name.trim_end_matches(".ndjson").split_once('-').unwrap();
            (
                bank.to_owned(),
                register.to_owned(),
                fill_in(&read(&format!("relationships/{name}"))),
            )
        })
        .collect();
    sets.sort();
    assert_eq!(sets.len(), 15);
    sets
}

/// The cases of `expected.json`.
pub fn expected() -> Vec<Value> {
    serde_json::from_str(&fill_in(&read("expected.json"))).unwrap()
}

/// Replaces the placeholders of `fixtures/README.md`; written anew here, so that the program's own reading
/// of them is tested too.
pub fn fill_in(text: &str) -> String {
    let today = today();
    let mut filled = text.replace("{lastYear}", &format!("{}", today.year() - 1));
    while let Some(start) = filled.find("{today") {
        let end = start + filled[start..].find('}').unwrap();
        let mut offset = &filled[start + "{today".len()..end];
        let mut day = today;
        if let Some((years, rest)) = offset.split_once('y') {
            day = day - Months::new(12 * years.trim_start_matches('-').parse::<u32>().unwrap());
            offset = rest;
        }
        let days: i64 = if offset.is_empty() {
            0
        } else {
            offset.parse().unwrap()
        };
        day = if days < 0 {
            day - Days::new(days.unsigned_abs())
        } else {
            day + Days::new(days.unsigned_abs())
        };
        filled.replace_range(start..=end, &day.to_string());
    }
    filled
}
