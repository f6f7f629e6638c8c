//! One consumer's days: how many distinct customers and cases each had.

use super::LimitSettings;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::usage::{FormerDay, Seen, SeenWhat};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// Days that make up the usual range.
const REMEMBERED_DAYS: usize = 28;
/// Cases are counted up to this many a day; more are unusual in any case.
const MOST_CASES: usize = 1_000_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    Customers,
    Cases,
}

impl Dimension {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Cases => "cases",
        }
    }
}

/// The counts of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCounts {
    pub customers: usize,
    pub cases: usize,
}

/// What a consumer asked on a day, admitted or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Valid questions.
    pub asked: u64,
    /// Of them, those that came too fast, or after the day's customers were used up.
    pub over_limit: u64,
    /// Those outside the service terms, by the term that failed.
    pub outside_terms: BTreeMap<String, u64>,
}

/// How a consumer's day stands to those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerDay {
    pub consumer: OrganizationNumber,
    pub volume: Volume,
    pub today: DayCounts,
    /// The most of the days before.
    pub usual_most: DayCounts,
    /// The day is unusual above these.
    pub usual_range: DayCounts,
    /// The days before, oldest first.
    pub former: Vec<(NaiveDate, DayCounts)>,
}

/// The last day that was counted. Customers are told apart by pseudonyms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CountedDay {
    day: NaiveDate,
    /// Not kept by programs of former versions.
    #[serde(default)]
    volume: Volume,
    customers: HashSet<u64>,
    cases: HashSet<Uuid>,
}

/// One consumer's days.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Days {
    former: BTreeMap<NaiveDate, DayCounts>,
    last: CountedDay,
}

/// What was counted, by consumer. Names no customer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History(BTreeMap<String, Days>);

impl History {
    /// Of days that are over, and of what was seen today so far.
    pub fn of(former: &[FormerDay], seen: &[Seen], today: NaiveDate) -> Self {
        let mut consumers = BTreeMap::<String, Days>::new();
        for day in former {
            let counts = DayCounts {
                customers: day.customers,
                cases: day.cases,
            };
            let days = consumers.entry(day.consumer.to_string()).or_default();
            days.former.insert(day.day, counts);
        }
        for seen in seen {
            let last = &mut consumers.entry(seen.consumer.to_string()).or_default().last;
            last.day = today;
            match seen.what {
                SeenWhat::Customer(customer) => last.customers.insert(customer),
                SeenWhat::Case(case) => last.cases.insert(case),
            };
        }
        Self(consumers)
    }

    pub(super) fn new(consumers: Vec<(OrganizationNumber, Days)>) -> Self {
        Self(
            consumers
                .into_iter()
                .map(|(consumer, days)| (consumer.to_string(), days))
                .collect(),
        )
    }

    pub(super) fn into_consumers(self) -> impl Iterator<Item = (OrganizationNumber, Days)> {
        self.0
            .into_iter()
            .filter_map(|(consumer, days)| Some((OrganizationNumber::parse(&consumer).ok()?, days)))
    }
}

/// One consumer's use.
#[derive(Default)]
pub(super) struct Usage {
    today: NaiveDate,
    volume: Volume,
    customers: HashSet<u64>,
    cases: HashSet<Uuid>,
    former: BTreeMap<NaiveDate, DayCounts>,
    /// What left the usual range today, and was told.
    told: Vec<Dimension>,
    /// What was counted since other instances were told.
    fresh: Vec<(NaiveDate, SeenWhat)>,
}

impl Usage {
    /// Goes on where a process before this one ended, which told what was unusual then.
    pub fn after(days: Days, settings: &LimitSettings) -> Self {
        let CountedDay {
            day,
            volume,
            customers,
            cases,
        } = days.last;
        let mut usage = Self {
            today: day,
            volume,
            customers,
            cases,
            former: days.former,
            ..Self::default()
        };
        usage.told = usage
            .unusual(settings)
            .into_iter()
            .map(|(what, ..)| what)
            .collect();
        usage
    }

    /// Begins a new day, if it is one.
    pub fn turn_to(&mut self, today: NaiveDate) {
        if today <= self.today {
            return;
        }
        let counts = DayCounts {
            customers: self.customers.len(),
            cases: self.cases.len(),
        };
        if counts != DayCounts::default() {
            self.former.insert(self.today, counts);
        }
        while self.former.len() > REMEMBERED_DAYS {
            self.former.pop_first();
        }
        self.today = today;
        self.volume = Volume::default();
        self.customers.clear();
        self.cases.clear();
        self.told.clear();
    }

    /// Whether the day has room for a customer: one that was asked about before always has.
    pub fn admits(&self, customer: Option<u64>, daily_customers: usize) -> bool {
        customer.is_none_or(|customer| {
            self.customers.len() < daily_customers || self.customers.contains(&customer)
        })
    }

    /// Counts, and gives each dimension that is found to have left the usual range, with its count and the usual most.
    /// `shares`: other instances are to be told what was counted.
    pub fn count(
        &mut self,
        customer: Option<u64>,
        case: Option<Uuid>,
        settings: &LimitSettings,
        shares: bool,
    ) -> Vec<(Dimension, usize, usize)> {
        let seen = [customer.map(SeenWhat::Customer), case.map(SeenWhat::Case)];
        for what in seen.into_iter().flatten() {
            if self.insert(what) && shares && self.tells(what, settings) {
                self.fresh.push((self.today, what));
            }
        }
        let mut unusual = self.unusual(settings);
        unusual.retain(|(dimension, ..)| !self.told.contains(dimension));
        self.told.extend(unusual.iter().map(|(dimension, ..)| *dimension));
        unusual
    }

    /// Whether others are told: of cases, which callers make up, no more than show that the day is unusual.
    fn tells(&self, what: SeenWhat, settings: &LimitSettings) -> bool {
        match what {
            SeenWhat::Customer(_) => true,
            SeenWhat::Case(_) => self.cases.len() <= 2 * usual_range(self.usual_most().cases, settings),
        }
    }

    /// Whether it was not counted before.
    fn insert(&mut self, what: SeenWhat) -> bool {
        match what {
            SeenWhat::Customer(customer) => self.customers.insert(customer),
            SeenWhat::Case(case) => self.cases.len() < MOST_CASES && self.cases.insert(case),
        }
    }

    /// Counts what other instances have seen of a day.
    pub fn learn(&mut self, day: NaiveDate, what: SeenWhat) {
        self.turn_to(day);
        if day == self.today {
            self.insert(what);
        }
    }

    /// What was counted since this was asked last, each with its day.
    pub fn take_fresh(&mut self) -> Vec<(NaiveDate, SeenWhat)> {
        std::mem::take(&mut self.fresh)
    }

    /// Dimensions outside the usual range, each with its count and the usual most.
    fn unusual(&self, settings: &LimitSettings) -> Vec<(Dimension, usize, usize)> {
        let usual = self.usual_most();
        let mut counted = vec![
            (Dimension::Customers, self.customers.len(), usual.customers),
            (Dimension::Cases, self.cases.len(), usual.cases),
        ];
        counted.retain(|(_, count, usual)| *count > usual_range(*usual, settings));
        counted
    }

    /// Counts a question that is valid.
    pub fn asked(&mut self, admitted: bool) {
        self.volume.asked += 1;
        self.volume.over_limit += u64::from(!admitted);
    }

    /// Counts a question outside the service terms.
    pub fn outside_terms(&mut self, term: &'static str) {
        *self.volume.outside_terms.entry(term.to_owned()).or_default() += 1;
    }

    fn usual_most(&self) -> DayCounts {
        let most = |of: fn(&DayCounts) -> usize| self.former.values().map(of).max().unwrap_or(0);
        DayCounts {
            customers: most(|day| day.customers),
            cases: most(|day| day.cases),
        }
    }

    /// How the day stands to those before it.
    pub fn day_of(&self, consumer: OrganizationNumber, settings: &LimitSettings) -> ConsumerDay {
        let usual_most = self.usual_most();
        ConsumerDay {
            consumer,
            volume: self.volume.clone(),
            today: DayCounts {
                customers: self.customers.len(),
                cases: self.cases.len(),
            },
            usual_most,
            usual_range: DayCounts {
                customers: usual_range(usual_most.customers, settings),
                cases: usual_range(usual_most.cases, settings),
            },
            former: self.former.iter().map(|(day, counts)| (*day, *counts)).collect(),
        }
    }

    /// All that was counted.
    pub fn days(&self) -> Days {
        Days {
            former: self.former.clone(),
            last: CountedDay {
                day: self.today,
                volume: self.volume.clone(),
                // Copied as they stand: lookups of the consumer wait meanwhile.
                customers: self.customers.clone(),
                cases: self.cases.clone(),
            },
        }
    }
}

/// A day is unusual above this, if the most of the days before was `most`.
fn usual_range(most: usize, settings: &LimitSettings) -> usize {
    most.saturating_mul(settings.unusual_factor as usize)
        .max(settings.unusual_floor)
}
