//! JSON that every reader understands alike.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// A JSON value in which no object has a member twice: which of the two counts, one reader decides so and another
/// otherwise (RFC 8259 §4), and what was looked at here would be something else there.
#[derive(Clone, Debug, PartialEq)]
pub struct Strict(pub Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Once).map(Self)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.entry(name) {
                Entry::Vacant(place) => place.insert(members.next_value::<Strict>()?.0),
                Entry::Occupied(place) => {
                    let name: String = place.key().chars().take(20).collect();
                    return Err(A::Error::custom(format_args!("the member {name:?} stands there twice")));
                }
            };
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_or_none() {
        for text in [
            "null",
            "true",
            "-7",
            "18446744073709551615",
            "2.5",
            "\"\\u00fc\"",
            r#"[1,[{}],"x"]"#,
            r#"{"b":{"b":1},"a":[{"b":2},{"b":3}],"":null}"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_str::<Strict>(text).unwrap(), Strict(value.clone()));
            assert_eq!(value.to_string(), serde_json::from_str::<Strict>(text).unwrap().0.to_string());
        }
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"x":{"":1,"":1}}]"#, "{", "1e999", "[1"]
        {
            assert!(serde_json::from_str::<Strict>(text).is_err(), "{text}");
        }
        let long = format!(r#"{{"{0}":1,"{0}":2}}"#, "x".repeat(5000));
        assert!(serde_json::from_str::<Strict>(&long).unwrap_err().to_string().len() < 100);
        assert!(serde_json::from_str::<Strict>(&"[".repeat(100_000)).is_err());
    }
}
