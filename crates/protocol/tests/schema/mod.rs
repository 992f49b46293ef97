//! docs/asyncapi.yaml, and whether something fits its schemas.
//!
//! Takes nothing from the crate, so that other tests can have it too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]
#![allow(dead_code, unreachable_pub, reason = "each test uses its share")]

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// The document.
pub fn document() -> Value {
    let yaml = YamlLoader::load_from_str(include_str!("../../../../docs/asyncapi.yaml")).unwrap();
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
pub fn referred<'d>(document: &'d Value, reference: &Value) -> (&'d Value, String) {
    let place = reference.as_str().unwrap().strip_prefix('#').unwrap();
    (document.pointer(place).unwrap(), place.rsplit('/').next().unwrap().to_owned())
}

/// Why a value doesn't fit a schema (JSON Schema, as much of it as the document uses); a keyword that isn't known here
/// fits nothing.
pub fn misfit(document: &Value, schema: &Value, value: &Value) -> Option<String> {
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
            "maxProperties" => {
                value.as_object().is_none_or(|members| members.len() as u64 <= wanted.as_u64().unwrap())
            }
            "not" => misfit(document, wanted, value).is_some(),
            "anyOf" => list().any(|schema| misfit(document, schema, value).is_none()),
            "allOf" => return list().find_map(|schema| misfit(document, schema, value)),
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

/// The patterns of the document are those of the protocol's names (docs/protocol.md "Names").
fn matches(pattern: &str, text: &str) -> bool {
    let party = |text: &str| is_id(text.strip_prefix("mqtt:").unwrap_or(text));
    match pattern {
        "^[a-z0-9][a-z0-9_-]{0,63}$" => is_id(text),
        "^(mqtt:)?[a-z0-9][a-z0-9_-]{0,63}$" => party(text),
        "^[ -~]{1,64}$" => (1..=64).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b)),
        "^(public|rooms/[a-z0-9][a-z0-9_-]{0,63}|private/(mqtt:)?[a-z0-9][a-z0-9_-]{0,63})$" => {
            text == "public"
                || text.strip_prefix("rooms/").is_some_and(is_id)
                || text.strip_prefix("private/").is_some_and(party)
        }
        "^[A-Za-z0-9_-]{43}$" => {
            text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        }
        other => panic!("a pattern that is not known here: {other}"),
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with(['_', '-'])
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

/// The messages of an operation, by name.
pub fn messages<'d>(document: &'d Value, operation: &str) -> Vec<(String, &'d Value)> {
    let of = |reference: &Value| {
        let in_channel = referred(document, &reference["$ref"]).0;
        let (message, name) = referred(document, &in_channel["$ref"]);
        (name, message)
    };
    document["operations"][operation]["messages"].as_array().unwrap().iter().map(of).collect()
}
