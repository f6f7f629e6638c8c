//! Each rule that a KFR call can break, and the code it is told by.

use super::{BLABAERLIA, RYPA};
use crate::harness::calls::{BOUNDARY, CORRELATION, form};
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

const INSTITUTIONS: &str = "/kar-ws/api/v1/customers/financialInstitutions";
const BAD_CUSTOMER: &str = "13097248032";

/// A call with some headers replaced, or left out where the value is empty.
struct Attempt<'s> {
    service: &'s Service,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
}

impl<'s> Attempt<'s> {
    fn new(service: &'s Service, method: &Method, path: &str) -> Self {
        let headers = vec![
            (
                "Authorization",
                format!("Bearer {}", service.issuer.bank_token(RYPA)),
            ),
            ("CustomerID", people().next().unwrap()),
            ("CorrelationID", CORRELATION.to_owned()),
            (
                "Content-Type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            ),
        ];
        Self {
            service,
            method: method.clone(),
            path: format!("{INSTITUTIONS}/{path}"),
            headers,
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(present, _)| *present != name);
        self.headers.push((name, value.into()));
        self
    }

    fn request(self, body: &str) -> RequestBuilder {
        let request = self
            .service
            .http
            .request(self.method, self.service.url(&self.path));
        let sent = self.headers.into_iter().filter(|(_, value)| !value.is_empty());
        sent.fold(request, |request, (name, value)| request.header(name, value))
            .body(body.to_owned())
    }

    async fn refused(self, body: &str, status: u16, code: &str, parameter: Option<&str>) -> HeaderMap {
        let what = format!("{} {} {:?}", self.method, self.path, self.headers);
        let response = self.request(body).send().await.unwrap();
        let (found, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        assert_eq!(found, status, "{what}: {text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(error["errorCode"], code, "{what}: {text}");
        assert_eq!(
            error["correlationID"].as_str(),
            headers["CorrelationID"].to_str().ok(),
            "{what}"
        );
        if let Some(parameter) = parameter {
            let details = error["details"].as_array().unwrap();
            assert!(
                details.iter().any(|detail| detail["parameter"] == parameter),
                "{what}: {text}"
            );
        }
        assert!(
            !text.contains(BAD_CUSTOMER) && !text.contains(&people().next().unwrap()),
            "{text}"
        );
        headers
    }
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_by_one_code() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let issuer = &service.issuer;
        let single = format!("{RYPA}/relationshipType/DSOPBANK");
        let batch = format!("{RYPA}/batch");
        let customers = form(&[
            ("name=\"customer_type\"", "DSOPBANK"),
            ("name=\"customers\"", "123456785"),
        ]);
        for (method, path) in [
            (Method::POST, &single),
            (Method::DELETE, &single),
            (Method::POST, &batch),
        ] {
            let attempt = |token: String| Attempt::new(&service, &method, path).with("Authorization", token);
            let headers = attempt(String::new())
                .refused(&customers, 401, "KFR-001", None)
                .await;
            assert!(
                headers["WWW-Authenticate"]
                    .to_str()
                    .unwrap()
                    .starts_with("Bearer")
            );
            attempt("Bearer x.y.z".into())
                .refused(&customers, 401, "KFR-001", None)
                .await;
            let reader = issuer.token(RYPA, "bits:kundeforhold bits:kundeforhold.writer");
            attempt(reader).refused(&customers, 403, "KFR-002", None).await;
            let other = issuer.bank_token(BLABAERLIA);
            attempt(other).refused(&customers, 403, "KFR-003", None).await;
            let nowhere = path.replace(RYPA, "210132121");
            Attempt::new(&service, &method, &nowhere)
                .refused(&customers, 403, "KFR-003", None)
                .await;
        }
    }
}

#[tokio::test]
async fn each_broken_rule_has_its_code() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let single = format!("{RYPA}/relationshipType/DSOPBANK");
        for method in [Method::POST, Method::DELETE] {
            let attempt = |path: &str| Attempt::new(&service, &method, path);
            let to = |path: &str| attempt(path);
            to(&single)
                .with("CorrelationID", "")
                .refused("", 400, "KFR-004", Some("CorrelationID"))
                .await;
            to(&single)
                .with("CorrelationID", "no uuid")
                .refused("", 400, "KFR-004", Some("CorrelationID"))
                .await;
            to(&format!("{single}?other=1"))
                .refused("", 400, "KFR-004", Some("query"))
                .await;
            to(&single)
                .with("CustomerID", "")
                .refused("", 400, "KFR-005", Some("CustomerID"))
                .await;
            to(&single)
                .with("CustomerID", BAD_CUSTOMER)
                .refused("", 400, "KFR-005", Some("CustomerID"))
                .await;
            let both = to(&single)
                .with("CustomerID", BAD_CUSTOMER)
                .with("CorrelationID", "");
            both.refused("", 400, "KFR-005", Some("CorrelationID")).await;
            let other_type = format!("{RYPA}/relationshipType/OTHER");
            to(&other_type).refused("", 400, "KFR-009", Some("type")).await;
        }
        let delete = |to: &str| Attempt::new(&service, &Method::DELETE, &format!("{single}?toDate={to}"));
        for bad in ["2026-02-30", "20260101", "yesterday", ""] {
            delete(bad).refused("", 400, "KFR-010", Some("toDate")).await;
        }
        delete("2026-01-01&toDate=2026-01-02")
            .refused("", 400, "KFR-004", Some("toDate"))
            .await;
        let post = Attempt::new(&service, &Method::POST, &format!("{single}?toDate=2026-01-01"));
        post.refused("", 400, "KFR-004", Some("query")).await;
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_405_with_those_it_has() {
    let service = Service::start(Caching::Without).await;
    let paths = [
        (
            format!("{RYPA}/relationshipType/DSOPBANK"),
            Method::GET,
            "POST, DELETE",
        ),
        (format!("{RYPA}/batch"), Method::PUT, "POST"),
        (format!("{RYPA}/"), Method::POST, "GET"),
    ];
    for (path, method, allow) in paths {
        let headers = Attempt::new(&service, &method, &path)
            .refused("", 405, "ERR-009", None)
            .await;
        assert_eq!(headers["Allow"], allow, "{path}");
    }
}

#[tokio::test]
async fn reading_ones_own_knows_three_errors_only() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for slash in ["", "/"] {
            let attempt =
                |query: &str| Attempt::new(&service, &Method::GET, &format!("{RYPA}{slash}{query}"));
            attempt("")
                .with("Authorization", "")
                .refused("", 401, "ERR-001", None)
                .await;
            let reader = service.issuer.agency_token();
            attempt("")
                .with("Authorization", reader)
                .refused("", 403, "ERR-001", None)
                .await;
            let other = service.issuer.bank_token(BLABAERLIA);
            attempt("")
                .with("Authorization", other)
                .refused("", 403, "ERR-001", None)
                .await;
            attempt("")
                .with("CustomerID", "")
                .refused("", 400, "ERR-002", Some("CustomerID"))
                .await;
            attempt("")
                .with("CustomerID", BAD_CUSTOMER)
                .refused("", 400, "ERR-002", Some("CustomerID"))
                .await;
            for query in [
                "?fromDate=x",
                "?toDate=2026-13-01",
                "?fromDate=2026-02-01&toDate=2026-01-01",
            ] {
                attempt(query).refused("", 400, "ERR-003", None).await;
            }
            attempt("?fromDate=2999-01-01&toDate=2999-01-02")
                .refused("", 400, "ERR-003", Some("fromDate"))
                .await;
            attempt("?onlyPrimaryOwner=true")
                .refused("", 400, "ERR-003", Some("query"))
                .await;
            let both = attempt("?fromDate=x").with("CustomerID", BAD_CUSTOMER);
            both.refused("", 400, "ERR-002", Some("fromDate")).await;
        }
    }
}
