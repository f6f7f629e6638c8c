//! Bodies of lines, written so that clients which are generated can send and read them: as a text of any length. What a line
//! holds is a schema of its own, which `x-line` names.

use serde_json::json;
use utoipa::Modify;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::server::Server;
use utoipa::openapi::{Content, OpenApi, RefOr};

const NDJSON: &str = "application/x-ndjson";
/// What clients that are generated know for a file.
const FILE: &str = "application/octet-stream";

const RECORD: &str = "{\"customerID\":\"13897210066\",\"role\":\"owner\",\"fromDate\":\"2020-01-31\"}\n";
const CHANGE: &str =
    "{\"end\":{\"customerID\":\"13897210066\",\"fromDate\":\"2020-01-31\",\"toDate\":\"2026-11-19\"}}\n";
const REJECT: &str = "{\"line\":7,\"faults\":[{\"parameter\":\"customerID\",\"code\":\"KFR-005\",\
                      \"reason\":\"customerID has a wrong check digit.\"}]}\n";

pub(super) struct Lines;

impl Modify for Lines {
    fn modify(&self, document: &mut OpenApi) {
        for operation in operations(document) {
            let (line, example) = match operation.operation_id.as_deref() {
                Some("putRelationships") => ("RecordLine", RECORD),
                Some("postChanges") => ("ChangeLine", CHANGE),
                Some("getRejects") => {
                    if let Some(RefOr::T(answer)) = operation.responses.responses.get_mut("200") {
                        answer
                            .content
                            .insert(NDJSON.to_owned(), lines("RejectBody", REJECT).into());
                    }
                    continue;
                }
                _ => continue,
            };
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                for media_type in [NDJSON, FILE] {
                    body.content
                        .insert(media_type.to_owned(), lines(line, example).into());
                }
            }
        }
    }
}

fn lines(line: &str, example: &str) -> Content {
    let content = json!({
        "schema": {"type": "string", "format": "binary", "description": format!("One {line} a line.")},
        "example": example,
        "x-line": {"$ref": format!("#/components/schemas/{line}")},
    });
    serde_json::from_value(content).unwrap_or_default()
}

/// All operations of a document.
pub(super) fn operations(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        let PathItem {
            get,
            put,
            post,
            delete,
            ..
        } = item;
        [get, put, post, delete].into_iter().flatten()
    })
}

/// Where the service is.
pub(super) struct Servers;

impl Modify for Servers {
    fn modify(&self, document: &mut OpenApi) {
        let server = |url: &str, description: &str| {
            let mut server = Server::new(url);
            server.description = Some(description.to_owned());
            server
        };
        document.servers = Some(vec![
            server("/", "Where this document comes from."),
            server("http://127.0.0.1:8080", "`kundeforhold demo` on this machine."),
        ]);
    }
}
