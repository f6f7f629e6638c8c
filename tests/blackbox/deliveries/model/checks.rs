//! Steps in the terms of the register and of the wire, and whether the two agree.

use super::history::{self, Call, Change, Identity, Record};
use super::register::{self, Agreement, Outcome, Row, Standing};
use super::{ACCOUNTS, STEP_DAYS, World};
use crate::deliveries::{is_of_calls, own, receipts};
use crate::harness::ask::Ask;
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    pub fn tail(&self, at: usize, path: &str, more: &str) -> String {
        format!("{path}?register={}{more}", self.sets[at].register)
    }

    fn identity(&self, at: usize, identity: &Identity) -> register::Identity {
        let agreement = match identity.agreement {
            history::Agreement::None => Agreement::CustomerLevel,
            history::Agreement::Account(number) => {
                Agreement::Account(self.accounts[at * ACCOUNTS + number].clone())
            }
            history::Agreement::Reference(number) => Agreement::Reference(format!("loan {number}")),
        };
        (identity.customer, agreement, self.day(identity.from))
    }

    fn identity_line(&self, at: usize, identity: &Identity) -> Value {
        let (customer, agreement, from) = self.identity(at, identity);
        let mut line = json!({"customerID": self.who[customer], "fromDate": from.to_string()});
        match agreement {
            Agreement::CustomerLevel => {}
            Agreement::Account(account) => line["accountID"] = json!(account),
            Agreement::Reference(reference) => line["agreementID"] = json!(reference),
        }
        line
    }

    pub fn record(&self, at: usize, record: &Record) -> Value {
        let mut line = self.identity_line(at, &record.identity);
        line["role"] = json!(record.role);
        if let Some(creditable) = record.creditable {
            line["creditable"] = json!(creditable && self.sets[at].register == "KAR");
        }
        if let Some(holds_funds) = record.holds_funds {
            line["holdsFunds"] = json!(holds_funds);
        }
        if let Some(length) = record.length {
            line["toDate"] =
                json!((self.day(record.identity.from) + Days::new(length * STEP_DAYS)).to_string());
        }
        line
    }

    pub fn put(&self, at: usize, standing: &mut Standing, record: &Record) {
        let identity = self.identity(at, &record.identity);
        let kar = self.sets[at].register == "KAR";
        let by_default = kar && matches!(identity.1, Agreement::Account(_));
        let row = Row {
            role: record.role,
            creditable: record
                .creditable
                .map_or(by_default, |creditable| creditable && kar),
            holds_funds: record
                .holds_funds
                .unwrap_or(["owner", "secondaryOwner"].contains(&record.role)),
            to: record
                .length
                .map(|length| identity.2 + Days::new(length * STEP_DAYS)),
        };
        standing.insert(identity, row);
    }

    pub fn change_line(&self, at: usize, change: &Change) -> Value {
        match change {
            Change::Put(record) => json!({"put": self.record(at, record)}),
            Change::End(identity, length) => {
                let mut line = self.identity_line(at, identity);
                line["toDate"] = json!((self.day(identity.from) + Days::new(length * STEP_DAYS)).to_string());
                json!({"end": line})
            }
            Change::Remove(identity) => json!({"remove": self.identity_line(at, identity)}),
        }
    }

    /// Whether the change can be made.
    pub fn take_change(&self, at: usize, standing: &mut Standing, change: &Change) -> bool {
        match change {
            Change::Put(record) => self.put(at, standing, record),
            Change::End(identity, length) => {
                let identity = self.identity(at, identity);
                let to = identity.2 + Days::new(length * STEP_DAYS);
                match standing.get_mut(&identity) {
                    Some(row) => row.to = Some(to),
                    None => return false,
                }
            }
            Change::Remove(identity) => drop(standing.remove(&self.identity(at, identity))),
        }
        true
    }

    pub fn take_call(&self, at: usize, standing: &mut Standing, call: &Call) -> Outcome {
        let (today, role) = (self.today, self.sets[at].kfr_role);
        match call {
            Call::Add { customer } => register::add(standing, *customer, today, today, role),
            Call::End { customer, days_ago } => {
                let named = days_ago.map(|days_ago| self.day(days_ago));
                register::end_all(standing, *customer, named, today)
            }
            Call::Batch(customers) => {
                for (customer, days_ago) in customers {
                    register::add(standing, *customer, self.day(*days_ago), today, role);
                }
                Outcome::Changed
            }
        }
    }

    /// Every customer on a day or period that differs from step to step, and a few other questions.
    pub async fn check_some(&self, number: usize) {
        let period = [(0, 0), (11, 11), (5, 1), (8, 0)][number % 4];
        for customer in 0..self.who.len() {
            let (from, to) = (self.day(period.0), self.day(period.1));
            self.check_listed(customer, from, to).await;
        }
        let bank = self.sets[number % self.sets.len()].bank;
        self.check_own(bank, (number + 1) % self.who.len()).await;
        self.check_account(number % self.accounts.len()).await;
        self.check_loaded().await;
    }

    /// The state of a bank is known once all of its sets are loaded.
    async fn check_loaded(&self) {
        let told = Ask::participants(&self.service).send().await.body();
        for set in &self.sets {
            let banks = told["participants"].as_array().unwrap();
            let bank = banks.iter().find(|told| told["organizationID"] == set.bank);
            let of_bank = || self.sets.iter().filter(|other| other.bank == set.bank);
            let state = if of_bank().all(|set| set.is_loaded) {
                "current"
            } else {
                "notLoaded"
            };
            assert_eq!(bank.unwrap()["state"], state, "{}", set.bank);
        }
    }

    pub async fn check_all(&self) {
        let banks: BTreeSet<&str> = self.sets.iter().map(|set| set.bank).collect();
        for customer in 0..self.who.len() {
            for (from, to) in [(0, 0), (11, 0), (6, 4)] {
                self.check_listed(customer, self.day(from), self.day(to)).await;
            }
            for bank in &banks {
                self.check_own(bank, customer).await;
            }
        }
        for account in 0..self.accounts.len() {
            self.check_account(account).await;
        }
        for bank in banks {
            self.check_receipts(bank).await;
        }
    }

    async fn check_receipts(&self, bank: &str) {
        let found = receipts(&self.service, bank).await;
        let (of_calls, found): (Vec<_>, Vec<_>) = found.iter().partition(|receipt| is_of_calls(receipt));
        let text = |receipt: &Value, name: &str| receipt[name].as_str().unwrap().to_owned();
        let found: BTreeMap<_, _> = found
            .iter()
            .map(|receipt| (text(receipt, "deliveryID"), text(receipt, "state")))
            .collect();
        let sets = self.sets.iter().filter(|set| set.bank == bank);
        let expected = sets
            .flat_map(|set| set.states())
            .map(|(id, state)| (id, state.to_owned()));
        let expected: BTreeMap<_, _> = expected.collect();
        assert_eq!(found, expected, "receipts of {bank}");
        let calls: u64 = of_calls
            .iter()
            .filter_map(|receipt| receipt["calls"].as_u64())
            .sum();
        let batches = of_calls
            .iter()
            .filter(|receipt| receipt["kind"] == "batch")
            .count();
        let made = self.made.get(bank).copied().unwrap_or_default();
        assert_eq!((calls, batches), made, "calls and batches of {bank}");
    }

    fn rows(&self, bank: &str, customer: usize) -> Vec<(&'static str, NaiveDate, &Row)> {
        let sets = self.sets.iter().filter(|set| set.bank == bank);
        let rows = sets.flat_map(|set| {
            set.standing
                .iter()
                .map(|((of, _, from), row)| (set.register, *of, *from, row))
        });
        rows.filter(|(_, of, ..)| *of == customer)
            .map(|(register, _, from, row)| (register, from, row))
            .collect()
    }

    async fn check_listed(&self, customer: usize, from: NaiveDate, to: NaiveDate) {
        let banks: BTreeSet<&str> = self.sets.iter().map(|set| set.bank).collect();
        let mut expected = Vec::new();
        for bank in banks {
            let rows = self.rows(bank, customer);
            let runs =
                |begin: NaiveDate, row: &Row, from, to| begin <= to && row.to.is_none_or(|end| end >= from);
            let overlapping: Vec<_> = rows
                .iter()
                .filter(|(_, begin, row)| runs(*begin, row, from, to))
                .collect();
            if overlapping.is_empty() {
                continue;
            }
            let any = |judge: &dyn Fn(&Row) -> bool| overlapping.iter().any(|(.., row)| judge(row));
            let ownership = if any(&|row| row.role == "owner" && row.holds_funds) {
                "primaryOwner"
            } else if any(&|row| row.role == "unknown") {
                "unknown"
            } else {
                "notPrimaryOwner"
            };
            let active = rows.iter().any(|(_, begin, row)| {
                ["owner", "secondaryOwner"].contains(&row.role)
                    && row.creditable
                    && runs(*begin, row, self.today, self.today)
            });
            expected.push((bank.to_owned(), to == self.today && active, ownership.to_owned()));
        }
        let (first, last) = (from.to_string(), to.to_string());
        for time in 0..self.cache.times_asked() {
            let found = self
                .service
                .listed_between(&self.who[customer], &first, &last)
                .await;
            let text = |bank: &Value, name: &str| bank[name].as_str().unwrap().to_owned();
            let told = |bank: &Value| {
                let active = bank["activeAccount"].as_bool().unwrap();
                (text(bank, "organizationID"), active, text(bank, "ownershipType"))
            };
            let found: Vec<_> = found.as_array().unwrap().iter().map(told).collect();
            assert_eq!(
                found, expected,
                "customer {customer} from {from} to {to}, asked {time} times before"
            );
        }
    }

    async fn check_own(&self, bank: &str, customer: usize) {
        let told = |(register, from, row): &(&str, NaiveDate, &Row)| {
            let mut told = json!({"register": register, "role": row.role, "creditable": row.creditable,
                "holdsFunds": row.holds_funds, "fromDate": from.to_string()});
            if let Some(to) = row.to {
                told["toDate"] = json!(to.to_string());
            }
            told.to_string()
        };
        let mut expected: Vec<String> = self.rows(bank, customer).iter().map(told).collect();
        let found = own(&self.service, bank, &self.who[customer]).await;
        let mut found: Vec<String> = found.iter().map(ToString::to_string).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "own records of {bank}, customer {customer}");
    }

    /// The set's bank, as long as any record carries the account.
    async fn check_account(&self, number: usize) {
        let (set, account) = (&self.sets[number / ACCOUNTS], &self.accounts[number]);
        let carried =
            |(_, agreement, _): &register::Identity| *agreement == Agreement::Account(account.clone());
        for _ in 0..self.cache.times_asked() {
            let response = self.service.account(account).send().await.unwrap();
            if set.standing.keys().any(carried) {
                let body: Value = response.json().await.unwrap();
                assert_eq!(body["organizationID"], set.bank, "account {number}");
            } else {
                assert_eq!(response.status(), 404, "account {number}");
            }
        }
    }
}
