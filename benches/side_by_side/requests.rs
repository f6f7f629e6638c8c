//! The requests, made beforehand: one file for `wrk` and for the open loop, each request ended by a zero byte.

use super::settings;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Percent-encoded, as the agency of the tokens sends it.
const MANDATE: &str = "Skatteforvaltningsloven%20%C2%A7%2010-2%20f%C3%B8rste%20ledd%2C%20jf.%20%C2%A7%2010-14%2C%20jf.%20skatteforvaltningsforskriften%20%C2%A7%2010-2-1";

/// Whom each request is about, and with which token.
pub struct Questions<'q> {
    pub customers: &'q [String],
    pub tokens: &'q [String],
}

impl Questions<'_> {
    /// As the service is asked.
    pub fn for_service(&self, file: &Path) -> PathBuf {
        let today = chrono::Utc::now().date_naive();
        let from = today - chrono::Days::new(5 * 365);
        let path = format!(
            "/v2/customers/customerRelationships?fromDate={from}&toDate={today}&onlyPrimaryOwner=false"
        );
        self.write(file, |_| path.clone())
    }

    /// The very same, but for the path, in which webdis takes its commands.
    pub fn for_webdis(&self, file: &Path) -> PathBuf {
        self.write(file, |customer| format!("/HGETALL/{customer}"))
    }

    /// As many as there are customers or tokens, whichever are more.
    fn write(&self, file: &Path, path: impl Fn(&str) -> String) -> PathBuf {
        let mut out = BufWriter::new(std::fs::File::create(file).unwrap());
        let pairs = self.customers.iter().cycle().zip(self.tokens.iter().cycle());
        for (customer, token) in pairs.take(self.customers.len().max(self.tokens.len())) {
            let (correlation, case) = (Uuid::new_v4(), Uuid::new_v4());
            write!(
                out,
                "GET {} HTTP/1.1\r\nHost: kundeforhold.example\r\nUser-Agent: side-by-side/1\r\nAccept: application/json\r\n\
                 Authorization: Bearer {token}\r\nCustomerID: {customer}\r\nCorrelationID: {correlation}\r\n\
                 Legal-Mandate: {MANDATE}\r\nAccountInfoRequestID: {case}\r\n\r\n\0",
                path(customer)
            )
            .unwrap();
        }
        out.flush().unwrap();
        file.to_owned()
    }
}

/// So many of a population's customers.
pub fn customers(population: &kundeforhold::sandbox::population::Population) -> Vec<String> {
    let mut known = std::collections::HashSet::new();
    population
        .existing_customers()
        .map(|customer| customer.to_string())
        .filter(|customer| known.insert(customer.clone()))
        .take(settings::customers())
        .collect()
}
