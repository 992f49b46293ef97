//! When two contents are the same: as JSON values, however they are written.

use serde_json::{Number, Value};

/// A JSON text as a value.
pub(crate) fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// Whether two JSON texts mean the same: the order of members, white space, escapes and the spelling of numbers
/// (`1`, `1.0`, `1e0`) don't count.
pub(crate) fn same_content(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match (parsed(one), parsed(other)) {
        (Some(one), Some(other)) => same_value(&one, &other),
        _ => false,
    }
}

pub(crate) fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_value(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same_value(one, other)))
        }
        _ => one == other,
    }
}

fn same_number(one: &Number, other: &Number) -> bool {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.as_f64() == other.as_f64(),
        _ => false,
    }
}

/// The number as an integer, if it is one, exactly. Above 2^100 floats stay floats; no other spelling gets there.
fn integer(number: &Number) -> Option<i128> {
    if let Some(integer) = number.as_i128() {
        return Some(integer);
    }
    let float = number.as_f64()?;
    #[allow(clippy::cast_possible_truncation, reason = "bounded and without a fraction, so exact")]
    (float.fract() == 0.0 && float.abs() < 2f64.powi(100)).then_some(float as i128)
}

#[cfg(test)]
mod tests {
    use super::same_content;

    #[test]
    fn spelled_otherwise() {
        for (one, other) in [
            (r#"{"text":"a","n":1}"#, r#"{"n":1.0,"text":"\u0061"}"#),
            (r#"{"n":[10,-0]}"#, r#"{ "n" : [ 1e1, 0 ] }"#),
            (r#"{"n":0.5}"#, r#"{"n":5e-1}"#),
            (r#"{"n":18446744073709551615}"#, r#"{"n":18446744073709551615}"#),
        ] {
            assert!(same_content(one, other), "{one} {other}");
        }
    }

    #[test]
    fn something_else() {
        for (one, other) in [
            (r#"{"text":"a"}"#, r#"{"text":"b"}"#),
            (r#"{"text":"a"}"#, r#"{"text":"a","x":null}"#),
            (r#"{"n":[1,2]}"#, r#"{"n":[2,1]}"#),
            (r#"{"n":[1]}"#, r#"{"n":[1,1]}"#),
            (r#"{"n":1}"#, r#"{"n":"1"}"#),
            (r#"{"n":1}"#, r#"{"n":1.5}"#),
            (r#"{"n":9007199254740993}"#, r#"{"n":9007199254740992}"#),
            (r#"{"n":18446744073709551615}"#, r#"{"n":1.8446744073709552e19}"#),
            (r#"{"n":true}"#, r#"{"n":1}"#),
            ("{", "[ "),
        ] {
            assert!(!same_content(one, other), "{one} {other}");
        }
    }
}
