//! The document in OpenAPI 3.0, which older generators of clients read.

use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

/// What 3.1 says, said in 3.0.
pub(super) fn rendered(mut document: Value) -> Value {
    document["openapi"] = json!("3.0.3");
    if let Some(license) = document
        .pointer_mut("/info/license")
        .and_then(Value::as_object_mut)
    {
        license.remove("identifier");
    }
    rewrite(&mut document);
    document
}

fn rewrite(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(rewrite);
            rewrite_schema(object);
        }
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        _ => {}
    }
}

/// Nothing but schemas has these keywords.
fn rewrite_schema(schema: &mut Object) {
    if let Some(Value::Array(types)) = schema.get("type") {
        let (nulls, types): (Vec<_>, Vec<_>) = types.iter().cloned().partition(|of| of == "null");
        if !nulls.is_empty() {
            schema.insert("nullable".to_owned(), true.into());
        }
        if let [only] = &types[..] {
            schema.insert("type".to_owned(), only.clone());
        }
    }
    for keyword in ["oneOf", "anyOf"] {
        let Some(Value::Array(schemas)) = schema.get_mut(keyword) else {
            continue;
        };
        let before = schemas.len();
        schemas.retain(|one| one.get("type") != Some(&json!("null")));
        let (is_nullable, is_only) = (schemas.len() < before, schemas.len() == 1);
        if is_nullable {
            schema.insert("nullable".to_owned(), true.into());
        }
        if is_only && let Some(only) = schema.remove(keyword) {
            schema.insert("allOf".to_owned(), only);
        }
    }
    if let Some(only) = schema.remove("const") {
        schema.insert("enum".to_owned(), json!([only]));
    }
    // Beside a reference nothing else is read.
    if schema.contains_key("$ref")
        && schema.len() > 1
        && let Some(reference) = schema.remove("$ref")
    {
        schema.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
    schema.remove("propertyNames");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_said_in_the_older_words() {
        for (newer, older) in [
            (
                json!({"type": ["string", "null"]}),
                json!({"type": "string", "nullable": true}),
            ),
            (
                json!({"oneOf": [{"type": "null"}, {"$ref": "#/a"}], "description": "b"}),
                json!({"allOf": [{"$ref": "#/a"}], "nullable": true, "description": "b"}),
            ),
            (
                json!({"$ref": "#/a", "description": "b"}),
                json!({"allOf": [{"$ref": "#/a"}], "description": "b"}),
            ),
            (json!({"$ref": "#/a"}), json!({"$ref": "#/a"})),
            (json!({"const": "x"}), json!({"enum": ["x"]})),
        ] {
            let mut written = json!({"items": newer});
            rewrite(&mut written);
            assert_eq!(written["items"], older);
        }
    }

    /// No keyword or form that 3.0 does not have.
    #[test]
    fn the_document_is_one_of_3_0() {
        fn check(value: &Value, path: &str) {
            match value {
                Value::Object(object) => {
                    assert!(!matches!(object.get("type"), Some(Value::Array(_))), "{path}");
                    for keyword in [
                        "const",
                        "$defs",
                        "prefixItems",
                        "contentEncoding",
                        "propertyNames",
                        "identifier",
                    ] {
                        assert!(!object.contains_key(keyword), "{keyword} in {path}");
                    }
                    assert!(!object.contains_key("$ref") || object.len() == 1, "{path}");
                    for (name, value) in object {
                        check(value, &format!("{path}/{name}"));
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| check(item, path)),
                Value::String(text) => assert_ne!(text, "null", "{path}"),
                _ => {}
            }
        }
        check(&super::super::document_3_0(), "");
    }
}
