//! Agencies that ask at a steady rate, whatever the answers take.

use crate::harness::Service;
use kundeforhold::sandbox::population::Population;
use reqwest::Client;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Customers that are asked about.
const CUSTOMERS: usize = 10_000;

/// What was asked so far.
#[derive(Default)]
pub struct Asked {
    pub milliseconds: Vec<f64>,
    pub failed: u64,
}

impl Asked {
    /// The time within which so many of a hundred were answered.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.milliseconds.sort_by(f64::total_cmp);
        let at = self.milliseconds.len() * percent / 100;
        self.milliseconds.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// Asks until [`stop`](Self::stop).
pub struct Lookups {
    stop: watch::Sender<bool>,
    asking: JoinHandle<()>,
    asked: Arc<Mutex<Asked>>,
}

impl Lookups {
    pub fn start(service: &Service, population: &Population, rate: u64) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let asked = Arc::<Mutex<Asked>>::default();
        let customers = population.existing_customers().take(CUSTOMERS);
        let customers: Vec<String> = customers.map(|customer| customer.to_string()).collect();
        let (url, token) = (
            service.url("/v2/customers/customerRelationships?fromDate=2020-01-01&toDate=2026-06-30"),
            long_token(service),
        );
        let client = Client::builder().pool_max_idle_per_host(256).build().unwrap();
        let ledger = Arc::clone(&asked);
        let asking = tokio::spawn(async move {
            let mut turn = tokio::time::interval(Duration::from_nanos(1_000_000_000 / rate));
            for customer in customers.iter().cycle() {
                tokio::select! {
                    _ = turn.tick() => {}
                    _ = stopped.changed() => return,
                }
                let request = client
                    .get(&url)
                    .bearer_auth(&token)
                    .header("CustomerID", customer);
                tokio::spawn(ask(request, Arc::clone(&ledger)));
            }
        });
        Self { stop, asking, asked }
    }

    pub async fn stop(self) -> Asked {
        self.stop.send(true).unwrap();
        self.asking.await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn ask(request: reqwest::RequestBuilder, ledger: Arc<Mutex<Asked>>) {
    let began = Instant::now();
    let request = request
        .header("CorrelationID", uuid::Uuid::new_v4().to_string())
        .header("AccountInfoRequestID", uuid::Uuid::new_v4().to_string())
        .header("Legal-Mandate", "Test%20%C2%A7%201");
    let right = match request.send().await {
        Ok(response) if response.status() == 200 => response.bytes().await.is_ok(),
        _ => false,
    };
    let mut asked = ledger.lock().unwrap();
    asked.milliseconds.push(began.elapsed().as_secs_f64() * 1_000.0);
    asked.failed += u64::from(!right);
}

/// A token that outlives the measurement.
pub fn long_token(service: &Service) -> String {
    let mut claims = service
        .issuer
        .claims(crate::harness::issuer::AGENCY, "bits:kundeforhold");
    claims["exp"] = (chrono::Utc::now().timestamp() + 7_200).into();
    service.issuer.sign(&claims)
}
