//! Actix handlers that do next to nothing: one answers with a fixed document of three banks, one verifies the
//! token's signature first, and one asks Redis for the customer's hash.

use super::process::{Process, command_under, free_address, this_program, wait_for};
use actix_web::http::header;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use redis::aio::MultiplexedConnection;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

const THREE_BANKS: &str = r#"{"banks":[{"organizationID":"220000001","bankName":"Lyngvik Sparebank","activeAccount":false,"ownershipType":"primaryOwner"},{"organizationID":"220000028","bankName":"Ravndal Sparebank","activeAccount":true,"ownershipType":"primaryOwner"},{"organizationID":"220000036","bankName":"Fjellnes Sparebank","activeAccount":false,"ownershipType":"notPrimaryOwner"}]}"#;

fn three_banks() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(THREE_BANKS)
}

pub fn serve_fixed(address: &str, workers: &str) {
    let server = HttpServer::new(|| App::new().default_service(web::to(|| async { three_banks() })));
    serve(
        server
            .workers(workers.parse().unwrap())
            .bind(address)
            .unwrap()
            .run(),
    );
}

/// `key` is the issuer's key set, as JSON.
pub fn serve_verifying(address: &str, workers: &str, key: &str) {
    let set: Value = serde_json::from_str(key).unwrap();
    let text = |name: &str| set["keys"][0][name].as_str().unwrap().to_owned();
    let key = DecodingKey::from_rsa_components(&text("n"), &text("e")).unwrap();
    let server = HttpServer::new(move || App::new().app_data(key.clone()).default_service(web::to(verify)));
    serve(
        server
            .workers(workers.parse().unwrap())
            .bind(address)
            .unwrap()
            .run(),
    );
}

async fn verify(request: HttpRequest) -> HttpResponse {
    let key = request.app_data::<DecodingKey>().unwrap();
    let authorization = request.headers().get(header::AUTHORIZATION);
    let token = authorization.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_aud = false;
    match jsonwebtoken::decode::<Map<String, Value>>(token.unwrap_or_default(), key, &validation) {
        Ok(_) => three_banks(),
        Err(_) => HttpResponse::Unauthorized().finish(),
    }
}

/// Answers with the hash of the customer, over one multiplexed connection a worker.
pub fn serve_hgetall(address: &str, workers: &str, redis: &str) {
    let client = redis::Client::open(format!("redis://{redis}/")).unwrap();
    let server = HttpServer::new(move || {
        let client = client.clone();
        let connect = move || {
            let client = client.clone();
            async move { client.get_multiplexed_async_connection().await }
        };
        App::new().data_factory(connect).default_service(web::to(hgetall))
    });
    serve(
        server
            .workers(workers.parse().unwrap())
            .bind(address)
            .unwrap()
            .run(),
    );
}

async fn hgetall(request: HttpRequest, redis: web::Data<MultiplexedConnection>) -> HttpResponse {
    let customer = request.headers().get("CustomerID").unwrap().to_str().unwrap();
    let found = redis::Cmd::hgetall(customer)
        .query_async::<BTreeMap<String, String>>(&mut redis.as_ref().clone())
        .await;
    match found {
        Ok(fields) if !fields.is_empty() => HttpResponse::Ok().json(fields),
        _ => HttpResponse::InternalServerError().finish(),
    }
}

fn serve(server: actix_web::dev::Server) {
    actix_web::rt::System::new().block_on(server).unwrap();
}

/// One of the handlers above, in a process of its own.
pub struct Bare {
    pub process: Process,
    pub address: String,
}

impl Bare {
    /// `under` is the command that runs it, if it is not run by itself.
    pub fn start(role: &[&str], workers: usize, under: &[String], log: &Path) -> Self {
        let address = free_address();
        let (name, rest) = role.split_first().unwrap();
        let mut started = command_under(under, this_program());
        started
            .args([name, address.as_str(), &workers.to_string()])
            .args(rest);
        let mut process = Process::start(&mut started, log);
        wait_for(&address, &mut process);
        Self { process, address }
    }
}
