//! The operators' console, as a browser meets it.

mod access;
mod certificates;
mod forms;
mod pages;

use crate::harness::Service;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use std::time::{Duration, Instant};

pub const BANK: &str = "210011013";

/// A browser without a screen: it keeps its cookie, and follows no redirect by itself.
pub struct Browser {
    client: Client,
    base: String,
    pub cookie: Option<String>,
}

pub struct Page {
    pub status: StatusCode,
    pub location: Option<String>,
    pub text: String,
}

impl Browser {
    pub fn new(service: &Service) -> Self {
        Self {
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            base: format!("http://{}", service.management),
            cookie: None,
        }
    }

    /// One that speaks TLS, and may have a certificate.
    pub fn over_tls(service: &Service, client: reqwest::ClientBuilder) -> Self {
        let port = service.management.rsplit(':').next().unwrap();
        Self {
            client: client.redirect(Policy::none()).build().unwrap(),
            base: format!("https://localhost:{port}"),
            cookie: None,
        }
    }

    pub async fn get(&mut self, path: &str) -> Page {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    /// The same under another name of the machine.
    pub async fn get_as(&mut self, host: &str, path: &str) -> Page {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request.header(HOST, host)).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.form(path, fields);
        self.send(request).await
    }

    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)));
        self.client
            .post(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(pairs.collect::<Vec<_>>().join("&"))
    }

    pub async fn send(&mut self, request: RequestBuilder) -> Page {
        self.try_to_send(request).await.unwrap()
    }

    /// An error where no connection comes about.
    pub async fn try_to_get(&mut self, path: &str) -> Result<Page, reqwest::Error> {
        let request = self.client.get(format!("{}{path}", self.base));
        self.try_to_send(request).await
    }

    async fn try_to_send(&mut self, request: RequestBuilder) -> Result<Page, reqwest::Error> {
        let request = match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        };
        let response = request.send().await?;
        if let Some(cookie) = cookie_of(&response) {
            self.cookie = Some(cookie);
        }
        let location = response.headers().get(LOCATION);
        Ok(Page {
            status: response.status(),
            location: location.map(|value| value.to_str().unwrap().to_owned()),
            text: response.text().await?,
        })
    }

    /// The token that the forms of this session carry.
    pub async fn form_token(&mut self) -> String {
        self.get("/console/record").await.hidden("form_token")
    }
}

fn cookie_of(response: &Response) -> Option<String> {
    let set = response.headers().get(SET_COOKIE)?.to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/console"] {
        assert!(set.contains(part), "{set}");
    }
    Some(set.split(';').next().unwrap().to_owned())
}

impl Page {
    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> String {
        let field = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.text.split_once(&field).expect(&self.text);
        rest.split('"').next().unwrap().to_owned()
    }
}

/// Asks until a page has a text.
pub async fn wait_for(browser: &mut Browser, path: &str, text: &str) -> Page {
    let started = Instant::now();
    loop {
        let page = browser.get(path).await;
        if page.text.contains(text) {
            return page;
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{text} is not on {path}: {}",
            page.text
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
