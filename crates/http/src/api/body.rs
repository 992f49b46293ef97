//! A request's body: bounded in bytes and time, and what it says it is.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt};
use mqttchat_protocol::Strict;
use mqttchat_sockjs::Bodies;
use serde_json::Value;
use warp::http::header::{CONTENT_TYPE, RETRY_AFTER};
use warp::http::{HeaderMap, StatusCode};

use super::query::bad;
use crate::problem::Problem;

/// A body that is still to be read.
pub(super) struct Body {
    parts: Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>,
    /// How long it may take.
    within: Duration,
    /// The memory that it takes with all others.
    bodies: Bodies,
}

/// What a body says it is, as far as this API cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `application/json`
    Json,
    /// `text/plain`
    Text,
    /// Nothing, or the type of forms, which curl gives to whatever it sends.
    Unsaid,
}

impl Body {
    pub(super) fn new<B: Buf>(
        body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
        within: Duration,
        bodies: Bodies,
    ) -> Self {
        let parts = body.map(|part| part.map(|mut part| part.copy_to_bytes(part.remaining())));
        Self { parts: Box::pin(parts), within, bodies }
    }

    /// Reads it to its end.
    pub(super) async fn read(mut self, limit: usize) -> Result<Vec<u8>, Problem> {
        let mut whole = self.bodies.begin();
        let reading = async {
            while let Some(part) = self.parts.next().await {
                let part = part.map_err(|_| bad("the request's body ends too early"))?;
                if whole.len() + part.len() > limit {
                    let detail = format!("a request's body may have {limit} bytes");
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
                        .with("code", "too_large")
                        .with("retry", false));
                }
                whole.push(&part).await;
            }
            Ok(())
        };
        match tokio::time::timeout(self.within, reading).await {
            Ok(Ok(())) => Ok(whole.finish().0),
            Ok(Err(problem)) => Err(problem),
            Err(_) if whole.is_waiting() => {
                let detail = "too much is being sent to this server at once; try again in a moment";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                    .with("code", "unavailable")
                    .with("retry", true)
                    .header(RETRY_AFTER, "5"))
            }
            Err(_) => {
                let detail = format!("the request's body has to come within {} s", self.within.as_secs());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
                    .with("code", "timeout")
                    .with("retry", true))
            }
        }
    }
}

/// The JSON of a body, with no member twice.
pub(super) fn json_of(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice::<Strict>(body)
        .map(|json| json.0)
        .map_err(|error| bad(format!("the body can't be read as JSON: {error}")))
}

/// What a request's body says it is. Where `Unsaid` is not good enough, the body itself will tell.
pub(super) fn kind(headers: &HeaderMap) -> Result<Kind, Problem> {
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(Kind::Unsaid) };
    let given = given.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = given.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let foreign = parts
        .filter_map(|part| part.strip_prefix("charset="))
        .any(|charset| !matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii" | "ascii"));
    match essence {
        "application/json" if !foreign => Ok(Kind::Json),
        "text/plain" if !foreign => Ok(Kind::Text),
        "application/x-www-form-urlencoded" => Ok(Kind::Unsaid),
        _ => Err(unsupported()),
    }
}

/// A body of a type that isn't understood.
pub(super) fn unsupported() -> Problem {
    let detail = "the body has to be application/json, or where a text is sent text/plain, in UTF-8";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        .with("code", "unsupported_media_type")
        .with("retry", false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            kind(&headers).ok()
        };
        assert_eq!(of("application/json; charset=UTF-8"), Some(Kind::Json));
        assert_eq!(of("text/plain"), Some(Kind::Text));
        assert_eq!(of("application/x-www-form-urlencoded"), Some(Kind::Unsaid));
        assert_eq!((of("text/plain; charset=iso-8859-1"), of("image/png"), of("")), (None, None, None));
        assert_eq!(kind(&HeaderMap::new()).ok(), Some(Kind::Unsaid));
    }
}
