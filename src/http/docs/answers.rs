//! What all answers have in common, written into the document: `CorrelationID`, and an example for every
//! error code that a response's description names.

use super::bodies::operations;
use crate::http::deliveries::receipt::RejectedBody;
use crate::http::error::Problem;
use serde_json::{Value, json};
use utoipa::Modify;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::{OpenApi, RefOr, Response};

pub(super) struct EveryAnswer;

impl Modify for EveryAnswer {
    fn modify(&self, document: &mut OpenApi) {
        let problems = Problem::samples();
        for operation in operations(document) {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    complete(response, status, &problems);
                }
            }
        }
    }
}

fn complete(response: &mut Response, status: &str, problems: &[Problem]) {
    let header =
        HeaderBuilder::new().description(Some("As sent, or made here when it was absent or unreadable."));
    response
        .headers
        .entry("CorrelationID".to_owned())
        .or_insert_with(|| header.build().into());
    let named = problems
        .iter()
        .filter(|problem| problem.status.as_str() == status && response.description.contains(problem.code));
    let examples: Vec<(&str, Value)> = named.map(|problem| (problem.code, example(problem))).collect();
    for content in response.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        for (code, example) in &examples {
            let example = ExampleBuilder::new().value(Some(example.clone())).build();
            content.examples.insert((*code).to_owned(), example.into());
        }
    }
}

fn example(problem: &Problem) -> Value {
    if problem.code == RejectedBody::CODE {
        return json!(RejectedBody::example());
    }
    let mut body = json!({
        "errorCode": problem.code,
        "errorMessage": problem.message,
        "timestamp": "2026-11-20T21:30:00.000Z",
        "correlationID": "0d1f7a58-6e1a-4f7e-9d4b-2f1d3c5b7a90",
    });
    if !problem.details.is_empty() {
        body["details"] = json!(problem.details);
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn every_error_code_that_is_named_has_an_example() {
        let document = serde_json::to_value(crate::http::docs::document()).unwrap();
        let values = |value: &Value| value.as_object().unwrap().clone().into_values();
        let operations = values(&document["paths"]).flat_map(|item| values(&item));
        let mut named = 0;
        for response in operations.flat_map(|operation| values(&operation["responses"])) {
            let description = response["description"].as_str().unwrap();
            let words = description.split(|c: char| c != '-' && !c.is_ascii_alphanumeric());
            for code in words.filter(|word| word.starts_with("ERR-") || word.starts_with("KFR-")) {
                let mut contents = values(&response["content"]);
                assert!(
                    contents.all(|content| content["examples"][code].is_object()),
                    "{code}: {description}"
                );
                named += 1;
            }
        }
        assert!(named > 100, "{named}");
    }
}
