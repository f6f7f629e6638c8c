//! The wire: routes, typed requests, answers. Wire spellings live here only.

pub mod account;
pub mod answer;
pub mod bank_calls;
pub mod bank_request;
pub mod batch;
pub mod body;
pub mod caller;
pub mod console;
pub mod deliveries;
pub mod docs;
pub mod error;
pub mod headers;
pub mod kfr;
pub mod management;
pub mod meters;
pub mod middleware;
pub mod multipart;
pub mod ndjson;
pub mod overload;
pub mod participants;
pub mod relationships;
pub mod request;
pub mod routes;
pub mod services;
pub mod trace;
