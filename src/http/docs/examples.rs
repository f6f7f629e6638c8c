//! Holds every example of the document against its schema.

use serde_json::{Value, json};

/// Whether a value is one that a schema admits, as far as the document's schemas go; else where it is not.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{place}: {what}: {value}"));
    if let Some(reference) = schema["$ref"].as_str() {
        let named = document
            .pointer(reference.trim_start_matches('#'))
            .expect(reference);
        return check(document, named, value, place);
    }
    for all in schema["allOf"].as_array().into_iter().flatten() {
        check(document, all, value, place)?;
    }
    for any in ["oneOf", "anyOf"] {
        if let Some(schemas) = schema[any].as_array()
            && !schemas
                .iter()
                .any(|schema| check(document, schema, value, place).is_ok())
        {
            return wrong("fits none");
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is_of = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    };
    if !types.is_empty() && !types.iter().any(is_of) {
        return wrong("is of another type");
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return wrong("is none of those");
    }
    if let (Some(format), Some(text)) = (schema["format"].as_str(), value.as_str()) {
        let holds = match format {
            "date" => crate::domain::calendar::parse_day(text).is_some(),
            "date-time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
            "uuid" => uuid::Uuid::try_parse(text).is_ok(),
            _ => true,
        };
        if !holds {
            return wrong(format);
        }
    }
    let property = |name: &str| schema["properties"].get(name);
    for required in schema["required"].as_array().into_iter().flatten() {
        if value.get(required.as_str().unwrap()).is_none() {
            return wrong(&format!("has no {required}"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        if let Some(schema) = property(name) {
            check(document, schema, inner, &format!("{place}/{name}"))?;
        }
    }
    for item in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], item, place)?;
    }
    Ok(())
}

/// What has a schema and an example beside it, or several; and a schema with an example of its own.
fn check_all(document: &Value, value: &Value, place: &str, checked: &mut usize) {
    let mut hold = |schema: &Value, example: &Value| {
        *checked += 1;
        check(document, schema, example, place).unwrap();
    };
    if let (Some(schema), Some(example)) = (value.get("schema"), value.get("example")) {
        hold(schema, example);
    }
    if let (Some(schema), Some(examples)) = (value.get("schema"), value["examples"].as_object()) {
        examples
            .values()
            .for_each(|example| hold(schema, &example["value"]));
    }
    if value["type"].is_string() && value.get("example").is_some_and(|example| !example.is_object()) {
        hold(value, &value["example"]);
    }
    if let Some(examples) = value["examples"].as_array() {
        examples.iter().for_each(|example| hold(value, example));
    }
    match value {
        Value::Object(object) => {
            for (name, inner) in object
                .iter()
                .filter(|(name, _)| *name != "example" && *name != "value")
            {
                check_all(document, inner, &format!("{place}/{name}"), checked);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| check_all(document, item, place, checked)),
        _ => {}
    }
}

#[test]
fn every_example_is_what_its_schema_admits() {
    for document in [json!(super::document()), super::document_3_0()] {
        let mut checked = 0;
        check_all(&document, &document, "", &mut checked);
        assert!(checked > 100, "{checked}");
    }
    let broken = json!({"schema": {"type": "object", "required": ["a"]}, "example": {}});
    assert!(check(&broken, &broken["schema"], &broken["example"], "").is_err());
}

/// A line of a body that is told as a text, too.
#[test]
fn lines_are_what_their_schemas_admit() {
    let document = json!(super::document());
    let mut lines = 0;
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let (body, answer) = (
                &operation["requestBody"]["content"],
                &operation["responses"]["200"]["content"],
            );
            for content in [body, answer]
                .into_iter()
                .filter_map(|content| content.get("application/x-ndjson"))
            {
                let line = serde_json::from_str(content["example"].as_str().unwrap()).unwrap();
                check(&document, &content["x-line"], &line, "").unwrap();
                lines += 1;
            }
        }
    }
    assert_eq!(lines, 3);
}
