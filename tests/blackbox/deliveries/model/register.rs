//! The register as the specification tells it: what stands of each set, and what became of each delivery.

use chrono::{Days, NaiveDate};
use std::collections::{BTreeMap, BTreeSet};

/// Customer, agreement as on the wire, and first day.
pub type Identity = (usize, Agreement, NaiveDate);
pub type Standing = BTreeMap<Identity, Row>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    CustomerLevel,
    Account(String),
    Reference(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub role: &'static str,
    pub creditable: bool,
    pub holds_funds: bool,
    pub to: Option<NaiveDate>,
}

/// A bank's set in a register.
pub struct Set {
    pub bank: &'static str,
    pub register: &'static str,
    pub kfr_role: &'static str,
    pub standing: Standing,
    /// What is not in it is no relationship.
    pub is_loaded: bool,
    /// In order; KFR calls and batches have no id here.
    publications: Vec<(Option<String>, Kind)>,
    /// Those that can be rolled back one after the other, the latest last.
    whole_sets: Vec<Whole>,
    pub rejected: Vec<String>,
    pub abandoned: Vec<String>,
}

/// A whole set, and how the set stood before it.
struct Whole {
    id: String,
    /// So many publications were before it.
    at: usize,
    before: Standing,
    was_loaded: bool,
    /// A call was made while it was put in force: nobody knows which of them came first.
    is_raced: bool,
}

/// What can be done about the latest whole set.
pub enum Latest {
    /// Roll back this one.
    Known(String),
    /// Before this one the set was not loaded.
    First(String),
    /// What stood before it is not known here.
    Raced,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Changed,
    /// It stood already.
    Stood,
    /// Nothing of that customer runs.
    Nothing,
    /// It would end before it began.
    TooEarly,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Changes,
    /// To what stood after so many publications.
    Rollback(usize),
}

impl Set {
    pub fn new(bank: &'static str, register: &'static str, kfr_role: &'static str) -> Self {
        Self {
            bank,
            register,
            kfr_role,
            standing: Standing::new(),
            is_loaded: false,
            publications: Vec::new(),
            whole_sets: Vec::new(),
            rejected: Vec::new(),
            abandoned: Vec::new(),
        }
    }

    pub fn replace(&mut self, id: String, new: Standing, is_raced: bool) {
        let before = std::mem::replace(&mut self.standing, new);
        self.whole_sets.push(Whole {
            id: id.clone(),
            at: self.publications.len(),
            before,
            was_loaded: std::mem::replace(&mut self.is_loaded, true),
            is_raced,
        });
        self.publications.push((Some(id), Kind::Whole));
    }

    pub fn change(&mut self, id: Option<String>, new: Standing) {
        self.standing = new;
        self.publications.push((id, Kind::Changes));
    }

    pub fn roll_back(&mut self, id: String) {
        let whole = self.whole_sets.pop().expect("a whole set to roll back");
        self.standing = whole.before;
        self.publications.push((Some(id), Kind::Rollback(whole.at)));
    }

    /// What ended before a day is gone from all that stood, with what the record was before.
    pub fn erase(&mut self, day: NaiveDate) {
        let ended = |row: &Row| row.to.is_some_and(|to| to < day);
        let standing = self.standing.iter().filter(|(_, row)| ended(row));
        let gone: BTreeSet<Identity> = standing.map(|(identity, _)| identity.clone()).collect();
        let before = self.whole_sets.iter_mut().map(|whole| &mut whole.before);
        for records in before.chain([&mut self.standing]) {
            records.retain(|identity, row| !ended(row) && !gone.contains(identity));
        }
    }

    pub fn latest(&self) -> Option<Latest> {
        let whole = self.whole_sets.last()?;
        Some(match whole {
            Whole { is_raced: true, .. } => Latest::Raced,
            Whole {
                was_loaded: false,
                id,
                ..
            } => Latest::First(id.clone()),
            Whole { id, .. } => Latest::Known(id.clone()),
        })
    }

    /// The deliveries with receipts, and their states.
    pub fn states(&self) -> Vec<(String, &'static str)> {
        let published = self.publications.iter().enumerate();
        let states = published.filter_map(|(at, (id, kind))| {
            let undone = |(_, later): &(_, Kind)| matches!(later, Kind::Rollback(to) if *to <= at);
            let in_force = self.whole_sets.last().map(|whole| whole.id.clone());
            let state = if self.publications[at + 1..].iter().any(undone) {
                "rolledBack"
            } else if *kind == Kind::Whole && in_force != *id {
                "superseded"
            } else {
                "published"
            };
            Some((id.clone()?, state))
        });
        let refused = self.rejected.iter().map(|id| (id.clone(), "rejected"));
        let abandoned = self.abandoned.iter().map(|id| (id.clone(), "abandoned"));
        states.chain(refused).chain(abandoned).collect()
    }
}

/// What runs at customer level, earliest first.
fn running(standing: &Standing, customer: usize, on: NaiveDate) -> Vec<NaiveDate> {
    let of_customer = standing
        .iter()
        .filter(|((of, agreement, _), _)| *of == customer && *agreement == Agreement::CustomerLevel);
    let running = of_customer.filter(|((.., from), row)| *from <= on && row.to.is_none_or(|to| to >= on));
    running.map(|((.., from), _)| *from).collect()
}

/// Registers a customer.
pub fn add(
    standing: &mut Standing,
    customer: usize,
    from: NaiveDate,
    today: NaiveDate,
    role: &'static str,
) -> Outcome {
    let identity = |from| (customer, Agreement::CustomerLevel, from);
    let running = running(standing, customer, today);
    let endless = running
        .iter()
        .find(|from| standing[&identity(**from)].to.is_none());
    let Some(present) = endless.or(running.first()).copied() else {
        let row = Row {
            role,
            creditable: false,
            holds_funds: role == "owner",
            to: None,
        };
        standing.insert(identity(from), row);
        return Outcome::Changed;
    };
    let mut row = standing.remove(&identity(present)).unwrap();
    let ended = row.to.take().is_some();
    standing.insert(identity(present.min(from)), row);
    if ended { Outcome::Changed } else { Outcome::Stood }
}

/// Ends all that runs of a customer: yesterday, unless a day is named.
pub fn end_all(
    standing: &mut Standing,
    customer: usize,
    named: Option<NaiveDate>,
    today: NaiveDate,
) -> Outcome {
    let running = running(standing, customer, today);
    if running.is_empty() {
        return Outcome::Nothing;
    }
    if named.is_some_and(|to| running.iter().any(|from| to < *from)) {
        return Outcome::TooEarly;
    }
    let to = named.unwrap_or(today - Days::new(1));
    for from in running {
        let identity = (customer, Agreement::CustomerLevel, from);
        if to < from {
            standing.remove(&identity);
        } else {
            standing.get_mut(&identity).unwrap().to = Some(to);
        }
    }
    Outcome::Changed
}
