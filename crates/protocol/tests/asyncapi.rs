//! docs/asyncapi.yaml is held against itself and the parser: its examples fit its schemas, and what a client sends in
//! them is a frame.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

use mqttchat_protocol::{ClientFrame, Dest, MessageId, Party, UserId};
use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

fn document() -> Value {
    let yaml = YamlLoader::load_from_str(include_str!("../../../docs/asyncapi.yaml")).unwrap();
    json(&yaml[0])
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Real(text) => serde_json::from_str(text).unwrap(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::String(text) => text.as_str().into(),
        Yaml::Boolean(is) => (*is).into(),
        Yaml::Array(items) => items.iter().map(json).collect(),
        Yaml::Hash(members) => {
            members.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), json(value))).collect()
        }
        Yaml::Null => Value::Null,
        other => panic!("not JSON: {other:?}"),
    }
}

/// What a `$ref` leads to.
fn referred<'d>(document: &'d Value, reference: &Value) -> (&'d Value, String) {
    let place = reference.as_str().unwrap().strip_prefix('#').unwrap();
    (document.pointer(place).unwrap(), place.rsplit('/').next().unwrap().to_owned())
}

/// Why a value doesn't fit a schema (JSON Schema, as much of it as the document uses); a keyword that isn't known here
/// fits nothing.
fn misfit(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let Value::Object(keywords) = schema else { return Some(format!("not a schema: {schema}")) };
    keywords.iter().find_map(|(keyword, wanted)| {
        let list = || wanted.as_array().unwrap().iter();
        let fits = match keyword.as_str() {
            "$ref" => return misfit(document, referred(document, wanted).0, value),
            "description" => true,
            "type" if wanted.is_array() => list().any(|wanted| is_of(value, wanted)),
            "type" => is_of(value, wanted),
            "const" => value == wanted,
            "enum" => list().any(|wanted| wanted == value),
            "minimum" => value.as_i64().is_none_or(|number| number >= wanted.as_i64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
            "required" => list().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "oneOf" => list().filter(|schema| misfit(document, schema, value).is_none()).count() == 1,
            "items" => {
                let mut items = value.as_array().into_iter().flatten();
                return items.find_map(|item| misfit(document, wanted, item));
            }
            "additionalProperties" => {
                let mut members = value.as_object().into_iter().flat_map(Map::values);
                return members.find_map(|member| misfit(document, wanted, member));
            }
            "properties" => {
                let mut members = value.as_object().into_iter().flatten();
                return members.find_map(|(name, member)| misfit(document, wanted.get(name)?, member));
            }
            _ => false,
        };
        (!fits).then(|| format!("{value} doesn't fit {keyword}: {wanted}"))
    })
}

fn is_of(value: &Value, wanted: &Value) -> bool {
    match wanted.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("a type that is not known here: {other}"),
    }
}

/// The patterns of the document are those of the protocol's names.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[a-z0-9][a-z0-9_-]{0,63}$" => UserId::parse(text).is_some(),
        "^(mqtt:)?[a-z0-9][a-z0-9_-]{0,63}$" => Party::parse(text).is_some(),
        "^[ -~]{1,64}$" => MessageId::parse(text).is_some(),
        "^(public|rooms/[a-z0-9][a-z0-9_-]{0,63}|private/(mqtt:)?[a-z0-9][a-z0-9_-]{0,63})$" => {
            Dest::parse(text).is_ok()
        }
        "^[A-Za-z0-9_-]{43}$" => {
            text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        }
        other => panic!("a pattern that is not known here: {other}"),
    }
}

/// The messages of an operation, by name.
fn messages<'d>(document: &'d Value, operation: &str) -> Vec<(String, &'d Value)> {
    let of = |reference: &Value| {
        let in_channel = referred(document, &reference["$ref"]).0;
        let (message, name) = referred(document, &in_channel["$ref"]);
        (name, message)
    };
    document["operations"][operation]["messages"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn examples_fit_their_schemas() {
    let document = document();
    let operations = document["operations"].as_object().unwrap();
    assert!(operations.len() > 2);
    for operation in operations.keys() {
        for (name, message) in messages(&document, operation) {
            let examples = message["examples"].as_array().unwrap();
            assert!(!examples.is_empty(), "{name}");
            for example in examples {
                assert_eq!(misfit(&document, &message["payload"], &example["payload"]), None, "{name}");
            }
        }
    }
}

#[test]
fn schemas_are_not_for_everything() {
    let document = document();
    for (name, message) in messages(&document, "ask").iter().chain(&messages(&document, "tell")) {
        for wrong in
            [serde_json::json!({}), serde_json::json!({"type": "nothing"}), serde_json::json!("text")]
        {
            assert!(misfit(&document, &message["payload"], &wrong).is_some(), "{name} takes {wrong}");
        }
    }
}

#[test]
fn what_a_client_sends_is_a_frame() {
    let document = document();
    let sent = messages(&document, "ask");
    assert!(sent.len() > 15);
    for (name, message) in sent {
        for example in message["examples"].as_array().unwrap() {
            let text = example["payload"].to_string();
            assert!(ClientFrame::parse(&text).is_ok(), "{name}: {text}: {:?}", ClientFrame::parse(&text));
        }
    }
}
