//! One call of an agency as it goes over the wire, header by header, and what came back.

use super::{Service, world};
use chrono::Months;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use uuid::Uuid;

pub const RELATIONSHIPS: &str = "/v2/customers/customerRelationships";
pub const ACCOUNT: &str = "/v2/customers/accountServicingProvider";
pub const PARTICIPANTS: &str = "/v2/participants";
pub const OLDER_RELATIONSHIPS: &str = "/kar-ws/api/v1/customers/customerRelationships";
pub const OLDER_ACCOUNT: &str = "/kar-ws/api/v1/customers/accountServicingProvider";

/// Owns an account at one bank of the fixtures.
pub const A_CUSTOMER: &str = "13897210066";
/// Is with the same bank.
pub const AN_ACCOUNT: &str = "17101002969";
/// Valid, and of nobody.
pub const NOBODYS_ACCOUNT: &str = "86011117947";

/// Begins complete and good; the test changes what it is about.
#[derive(Clone)]
pub struct Ask<'s> {
    service: &'s Service,
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    query: Vec<(String, String)>,
}

impl<'s> Ask<'s> {
    /// The customer of the fixtures, the last year up to today.
    pub fn relationships(service: &'s Service) -> Self {
        let today = world::today();
        Self::new(service, RELATIONSHIPS)
            .with("CustomerID", A_CUSTOMER)
            .query("fromDate", (today - Months::new(12)).to_string())
            .query("toDate", today.to_string())
    }

    pub fn account(service: &'s Service) -> Self {
        Self::new(service, ACCOUNT).with("AccountID", AN_ACCOUNT)
    }

    /// Needs a token only.
    pub fn participants(service: &'s Service) -> Self {
        let ask = Self::new(service, PARTICIPANTS);
        ask.without("Legal-Mandate").without("AccountInfoRequestID")
    }

    fn new(service: &'s Service, path: &str) -> Self {
        let ask = Self {
            service,
            method: Method::GET,
            path: path.to_owned(),
            headers: Vec::new(),
            query: Vec::new(),
        };
        ask.token(&service.issuer.agency_token())
            .with("CorrelationID", Uuid::new_v4().to_string())
            .with("AccountInfoRequestID", Uuid::new_v4().to_string())
            .with("Legal-Mandate", "Testloven%20%C2%A7%201")
    }

    pub fn method(mut self, method: &str) -> Self {
        self.method = Method::from_bytes(method.as_bytes()).unwrap();
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.with("Authorization", format!("Bearer {token}"))
    }

    /// The header with this value and no other.
    pub fn with(self, header: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(header).and(header, value)
    }

    /// The header once more.
    pub fn and(mut self, header: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((header.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn without(mut self, header: &str) -> Self {
        self.headers.retain(|(name, _)| name != header);
        self
    }

    /// The parameter with this value and no other.
    pub fn query(self, name: &str, value: impl Into<String>) -> Self {
        self.without_query(name).and_query(name, value)
    }

    /// The parameter once more.
    pub fn and_query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    pub fn without_query(mut self, name: &str) -> Self {
        self.query.retain(|(sent, _)| sent != name);
        self
    }

    pub async fn send(self) -> Told {
        let mut sent = HeaderMap::new();
        for (name, value) in &self.headers {
            // `insert` would replace a header that is sent twice.
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            sent.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let request = self
            .service
            .http
            .request(self.method.clone(), self.service.url(&self.path));
        let response = request.query(&self.query).headers(sent).send().await.unwrap();
        Told {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
            secrets: self.secrets(),
        }
    }

    /// What was sent and may not come back. A `CorrelationID` may, and short words may do so by chance.
    fn secrets(&self) -> Vec<String> {
        let headers = self.headers.iter().filter(|(name, _)| name != "CorrelationID");
        let headers = headers.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let parameters = self.query.iter().map(|(_, value)| value.clone());
        headers
            .chain(parameters)
            .filter(|value| value.len() > 5)
            .collect()
    }
}

/// What came back.
pub struct Told {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// Values of the call that may not be repeated.
    pub secrets: Vec<String>,
}

impl Told {
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} no JSON: {}", self.status, self.text))
    }

    /// A header that is there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        assert!(self.headers.get_all(name).iter().count() <= 1, "{name}");
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn error_code(&self) -> String {
        self.body()["errorCode"].as_str().unwrap_or_default().to_owned()
    }

    /// What the `details` of an error name, sorted.
    pub fn faulty(&self) -> Vec<String> {
        let body = self.body();
        let details = body["details"].as_array().cloned().unwrap_or_default();
        let names = details
            .iter()
            .map(|detail| detail["parameter"].as_str().unwrap().to_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}
