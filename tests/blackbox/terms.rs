//! DSOP service terms on the wire: with the table that is built in, and with files that change.

mod listing;
mod observing;
mod reloading;
mod walk_through;

use crate::harness::{Caching, Service, world};
use chrono::Datelike;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use std::time::{Duration, Instant};

const GENERAL: &str = "bits:kundeforhold";
const SRF: &str = "986186999";
const POLITI: &str = "915429785";
const SKATT: &str = "974761076";
/// A customer of the fixtures, and an organisation.
const MARIT: &str = "01856867389";
const ORGANIZATION: &str = "310104566";
/// As Vergekontroll's published description has it, `<br>` included.
const VERGE_MANDATE: &str = "Vergem%C3%A5lsloven%20%C2%A7%2054%20(2)%2C%20jf.<br>%20vergem%C3%A5lsforskriften%20%C2%A720a%20(2)%2C%20jf.<br>%20vergem%C3%A5lsforskriften%20%C2%A720a%20(1)%20a";
const POLITI_MANDATE: &str = "Straffeprosessloven%20%C2%A7210%20(3)%20f%C3%B8rste%20punktum";
const RELATIONSHIPS: &str = "/v2/customers/customerRelationships";
const ACCOUNT: &str = "/v2/customers/accountServicingProvider";

/// A service with the terms that are built in, and the fixtures delivered.
async fn start(caching: Caching) -> Service {
    start_with(caching, "services_file = \"\"").await
}

async fn start_with(caching: Caching, access: &str) -> Service {
    let service = Service::start_with(caching, &format!("[access]\n{access}\n")).await;
    service.deliver_world().await;
    service
}

/// SRF's yearly question, right in every term; a test makes it wrong.
#[derive(Clone)]
struct Ask {
    consumer: &'static str,
    supplier: Option<&'static str>,
    scope: &'static str,
    path: &'static str,
    mandate: Option<&'static str>,
    customer: &'static str,
    from: String,
    to: String,
    only_primary_owner: Option<&'static str>,
}

impl Ask {
    fn vergekontroll() -> Self {
        let last_year = world::today().year() - 1;
        Self {
            consumer: SRF,
            supplier: None,
            scope: GENERAL,
            path: RELATIONSHIPS,
            mandate: Some(VERGE_MANDATE),
            customer: MARIT,
            from: format!("{last_year}-01-01"),
            to: format!("{last_year}-12-31"),
            only_primary_owner: Some("TRUE"),
        }
    }

    /// The police's question about today.
    fn politi() -> Self {
        Self {
            consumer: POLITI,
            mandate: Some(POLITI_MANDATE),
            from: world::today().to_string(),
            to: world::today().to_string(),
            only_primary_owner: None,
            ..Self::vergekontroll()
        }
    }

    fn request(&self, service: &Service) -> RequestBuilder {
        let mut request = service
            .http
            .get(service.url(self.path))
            .bearer_auth(token(service, self.consumer, self.supplier, self.scope))
            .header("CorrelationID", uuid::Uuid::new_v4().to_string())
            .header("AccountInfoRequestID", uuid::Uuid::new_v4().to_string());
        if let Some(mandate) = self.mandate {
            request = request.header("Legal-Mandate", mandate);
        }
        if self.path.ends_with("accountServicingProvider") {
            return request.header("AccountID", "17101002225");
        }
        if let Some(only) = self.only_primary_owner {
            request = request.query(&[("onlyPrimaryOwner", only)]);
        }
        request
            .header("CustomerID", self.customer)
            .query(&[("fromDate", &self.from), ("toDate", &self.to)])
    }

    async fn send(&self, service: &Service) -> Response {
        self.request(service).send().await.unwrap()
    }

    async fn status(&self, service: &Service) -> u16 {
        self.send(service).await.status().as_u16()
    }

    /// Refused with ERR-007 for this term, and without repeating what was sent.
    async fn assert_outside(&self, service: &Service, term: &str) {
        let response = self.send(service).await;
        assert_eq!(response.status(), 403, "{term}");
        let correlation = response.headers()["CorrelationID"].to_str().unwrap().to_owned();
        let text = response.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["errorCode"], "ERR-007", "{term}: {text}");
        assert_eq!(
            body["errorMessage"],
            "Forespørselen er ikke tillatt for tjenesten"
        );
        assert_eq!(body["correlationID"], correlation.as_str());
        assert_eq!(body["details"].as_array().unwrap().len(), 1, "{text}");
        assert_eq!(body["details"][0]["parameter"], term, "{text}");
        // The timestamp beside them may be on the same day.
        let details = body["details"].to_string();
        for sent in [self.customer, self.consumer, "Vergem", "punktum"] {
            assert!(!details.contains(sent), "{text} repeats {sent}");
        }
        // The days that would be admitted are told, and one of them may be the day that was sent.
        let told_of_days = details.contains(&self.from) || details.contains(&self.to);
        assert!(term == "period" || !told_of_days, "{text} repeats a day");
    }
}

fn token(service: &Service, consumer: &str, supplier: Option<&str>, scope: &str) -> String {
    let mut claims = service.issuer.claims(consumer, scope);
    if let Some(supplier) = supplier {
        claims["supplier"] =
            serde_json::json!({"authority": "iso6523-actorid-upis", "ID": format!("0192:{supplier}")});
    }
    service.issuer.sign(&claims)
}

/// The value of a metric's one line that begins so; 0 while there is none.
async fn metric(service: &Service, line: &str) -> u64 {
    let metrics = service.metrics().await;
    let value = metrics.lines().find_map(|found| found.strip_prefix(line));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

/// Whether a text stands in the record of use, which keeps services and terms in clear.
async fn is_on_record(service: &Service, text: &str) -> bool {
    if let Some(database) = &service.database {
        let having =
            format!("SELECT count(*) FROM record.entries WHERE position('{text}'::bytea IN entry) > 0");
        return database.number(&having).await > 0;
    }
    let files = service.record_files().into_iter();
    files.filter_map(|file| std::fs::read(file).ok()).any(|content| {
        content
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

async fn wait_for_log(service: &Service, text: &str) {
    let started = Instant::now();
    while !service.log().contains(text) {
        assert!(started.elapsed() < Duration::from_secs(15), "{}", service.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
