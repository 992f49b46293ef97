//! The parameters of a request, read strictly: what isn't understood is said, not passed over.

use std::borrow::Cow;

use mqttchat_protocol::Dest;
use percent_encoding::percent_decode_str;
use warp::http::StatusCode;

use crate::problem::Problem;

/// The largest number that every JSON implementation holds exactly.
const NUMBER_MAX: u64 = 1 << 53;

/// A call's parameters by name.
#[derive(Debug)]
pub(crate) struct Query<'q>(Vec<(&'q str, Cow<'q, str>)>);

impl<'q> Query<'q> {
    /// Parses what stands behind `?`. Each parameter of `known` may stand there once.
    pub(crate) fn parse(raw: &'q str, known: &[&'static str]) -> Result<Self, Problem> {
        let query = Self::parse_repeated(raw, known)?;
        for (at, (name, _)) in query.0.iter().enumerate() {
            if query.0[..at].iter().any(|(other, _)| other == name) {
                return Err(bad(format!("the parameter {name} stands there twice")));
            }
        }
        Ok(query)
    }

    /// Parses what stands behind `?`, with parameters that may stand there more than once.
    pub(crate) fn parse_repeated(raw: &'q str, known: &[&'static str]) -> Result<Self, Problem> {
        let mut given = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                let detail = match known {
                    [] => "this call has no parameters".to_owned(),
                    _ => format!("the parameters of this call are {}", known.join(", ")),
                };
                return Err(bad(detail));
            }
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8().map(Cow::into_owned);
            let value = value.map_err(|_| bad(format!("the parameter {name} is not a text in UTF-8")))?;
            given.push((name, Cow::Owned(value)));
        }
        Ok(Self(given))
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_ref())
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// A whole number of at least `least`.
    pub(crate) fn number(&self, name: &str, least: u64) -> Result<Option<u64>, Problem> {
        let number = |text: &str| {
            // Without signs, which Rust would take.
            let digits = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
            digits
                .filter(|number| (least..=NUMBER_MAX).contains(number))
                .ok_or_else(|| bad(format!("the parameter {name} has to be a whole number from {least}")))
        };
        self.get(name).map(number).transpose()
    }

    /// A conversation.
    pub(crate) fn dest(&self) -> Result<Option<Dest>, Problem> {
        Ok(self.get("dest").map(Dest::parse).transpose()?)
    }
}

/// A request that isn't one of this API's.
pub(crate) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail).with("code", "bad_request").with("retry", false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let query = Query::parse("dest=rooms%2Fops&q=a+b%26c&limit=7&", &["dest", "q", "limit"]).unwrap();
        assert_eq!(query.dest().unwrap(), Some(Dest::parse("rooms/ops").unwrap()));
        assert_eq!((query.get("q"), query.number("limit", 1).unwrap()), (Some("a b&c"), Some(7)));
        let query = Query::parse_repeated("dest=public&dest=rooms/a", &["dest"]).unwrap();
        assert_eq!(query.all("dest").collect::<Vec<_>>(), ["public", "rooms/a"]);
    }

    #[test]
    fn what_is_not_understood() {
        for bad in ["x=1", "limit=1&limit=2", "limit=%ff", "limit", "=1"] {
            let query = Query::parse(bad, &["limit"]);
            assert!(query.is_err() || query.unwrap().number("limit", 1).is_err(), "{bad}");
        }
        for bad in ["", "0", "-1", "+1", "1.5", "x", "99999999999999999999", "9007199254740993"] {
            let raw = format!("limit={bad}");
            assert!(Query::parse(&raw, &["limit"]).unwrap().number("limit", 1).is_err(), "{bad}");
        }
    }
}
