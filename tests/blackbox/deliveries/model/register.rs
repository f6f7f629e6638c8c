//! The register as the specification tells it: what stands of each set, and what became of each delivery.

use chrono::NaiveDate;
use std::collections::BTreeMap;

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
    /// In order; KFR calls have no id.
    publications: Vec<(Option<String>, Kind)>,
    /// Those that can be rolled back one after the other, the latest last, and what stood before them.
    whole_sets: Vec<(String, usize, Standing)>,
    pub rejected: Vec<String>,
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
            publications: Vec::new(),
            whole_sets: Vec::new(),
            rejected: Vec::new(),
        }
    }

    pub fn replace(&mut self, id: String, new: Standing) {
        let before = std::mem::replace(&mut self.standing, new);
        self.whole_sets
            .push((id.clone(), self.publications.len(), before));
        self.publications.push((Some(id), Kind::Whole));
    }

    pub fn change(&mut self, id: Option<String>, new: Standing) {
        self.standing = new;
        self.publications.push((id, Kind::Changes));
    }

    pub fn roll_back(&mut self, id: String) {
        let (_, to, before) = self.whole_sets.pop().expect("a whole set to roll back");
        self.standing = before;
        self.publications.push((Some(id), Kind::Rollback(to)));
    }

    pub fn latest_whole_set(&self) -> Option<String> {
        self.whole_sets.last().map(|(id, ..)| id.clone())
    }

    pub fn any_whole_set(&self) -> Option<String> {
        let whole = self.publications.iter().find(|(_, kind)| *kind == Kind::Whole);
        whole.and_then(|(id, _)| id.clone())
    }

    /// The deliveries with receipts, and their states.
    pub fn states(&self) -> Vec<(String, &'static str)> {
        let published = self.publications.iter().enumerate();
        let states = published.filter_map(|(at, (id, kind))| {
            let undone = |(_, later): &(_, Kind)| matches!(later, Kind::Rollback(to) if *to <= at);
            let in_force = self.latest_whole_set();
            let state = if self.publications[at + 1..].iter().any(undone) {
                "rolledBack"
            } else if *kind == Kind::Whole && in_force != *id {
                "superseded"
            } else {
                "published"
            };
            Some((id.clone()?, state))
        });
        states
            .chain(self.rejected.iter().map(|id| (id.clone(), "rejected")))
            .collect()
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

/// Registers a customer; whether it ran without an end already.
pub fn add(
    standing: &mut Standing,
    customer: usize,
    from: NaiveDate,
    today: NaiveDate,
    role: &'static str,
) -> bool {
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
        return true;
    };
    let mut row = standing.remove(&identity(present)).unwrap();
    let ended = row.to.take().is_some();
    standing.insert(identity(present.min(from)), row);
    ended
}

/// Ends all that runs of a customer; whether anything did.
pub fn end_all(standing: &mut Standing, customer: usize, to: NaiveDate, today: NaiveDate) -> bool {
    let running = running(standing, customer, today);
    for from in &running {
        let identity = (customer, Agreement::CustomerLevel, *from);
        if to < *from {
            standing.remove(&identity);
        } else {
            standing.get_mut(&identity).unwrap().to = Some(to);
        }
    }
    !running.is_empty()
}
