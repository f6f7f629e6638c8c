//! Agencies that ask without pause, and a bank that calls without pause; what they were told is held against the truth.

use super::GRANSKAUEN;
use crate::harness::{Service, world};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Where a running service is asked, without holding on to it: it is killed and started again meanwhile.
#[derive(Clone)]
pub struct Questions {
    truths: Arc<Vec<(RequestBuilder, Value)>>,
}

#[derive(Debug, Default, Clone)]
pub struct Figures {
    pub right: u64,
    pub wrong: Vec<String>,
    /// 503 or 504: no answer, and never a wrong one.
    pub refused: u64,
    /// The service was down.
    pub unreachable: u64,
    pub longest: Duration,
}

impl Figures {
    pub fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong.extend(other.wrong);
        self.refused += other.refused;
        self.unreachable += other.unreachable;
        self.longest = self.longest.max(other.longest);
    }
}

impl Questions {
    /// Asks once what is rightly answered, now.
    pub async fn about(service: &Service, customers: &[String], accounts: &[String]) -> Self {
        let today = world::today().to_string();
        let asked = customers.iter().map(|customer| {
            let request = service.relationships(customer, &today, &today);
            request.query(&[("onlyPrimaryOwner", "false")])
        });
        let asked = asked.chain(accounts.iter().map(|account| service.account(account)));
        let mut truths = Vec::new();
        for request in asked {
            let response = request.try_clone().unwrap().send().await.unwrap();
            assert_eq!(response.status(), 200);
            truths.push((request, response.json().await.unwrap()));
        }
        Self {
            truths: Arc::new(truths),
        }
    }

    /// Asks all of them once.
    pub async fn all_are_right(&self) -> bool {
        let mut figures = Figures::default();
        for (request, right) in self.truths.iter() {
            ask(request, right, &mut figures).await;
        }
        figures.right == self.truths.len() as u64
    }

    /// Asks until told to stop, from one task.
    pub fn ask_on(&self, from: usize, stop: &Arc<AtomicBool>) -> JoinHandle<Figures> {
        let (truths, stop) = (Arc::clone(&self.truths), Arc::clone(stop));
        tokio::spawn(async move {
            let mut figures = Figures::default();
            for (request, right) in truths.iter().cycle().skip(from) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                ask(request, right, &mut figures).await;
            }
            figures
        })
    }
}

async fn ask(request: &RequestBuilder, right: &Value, figures: &mut Figures) {
    let started = Instant::now();
    let Ok(response) = request.try_clone().unwrap().send().await else {
        figures.unreachable += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        return;
    };
    let status = response.status().as_u16();
    let Ok(body) = response.json::<Value>().await else {
        figures.unreachable += 1;
        return;
    };
    figures.longest = figures.longest.max(started.elapsed());
    match status {
        200 if body == *right => figures.right += 1,
        503 | 504 => figures.refused += 1,
        _ => figures.wrong.push(format!("{status} {body} instead of {right}")),
    }
}

/// Registers one customer after another at Granskauen.
pub struct Calls {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<Duration>,
}

impl Calls {
    pub fn start(service: &Service, customers: impl Iterator<Item = String> + Send + 'static) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stopped, done): (_, Arc<Mutex<Vec<String>>>) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let call = service.kfr(Method::POST, GRANSKAUEN, "customer");
        let task = tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            for customer in customers {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let started = Instant::now();
                let mut request = call.try_clone().unwrap().build().unwrap();
                request
                    .headers_mut()
                    .insert("CustomerID", customer.parse().unwrap());
                let answered = reqwest::Client::new().execute(request).await;
                if answered.is_ok_and(|response| response.status() == 201) {
                    longest = longest.max(started.elapsed());
                    done.lock().unwrap().push(customer);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            longest
        });
        Self {
            stop,
            acknowledged,
            task,
        }
    }

    /// The customers that were acknowledged, and the longest that a call waited.
    pub async fn stop(self) -> (Vec<String>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.task.await.unwrap();
        (std::mem::take(&mut *self.acknowledged.lock().unwrap()), longest)
    }
}
