//! The one place where something that went wrong becomes a status and JSON (RFC 9457).

use mqttchat_bridge::Denied;
use mqttchat_protocol::{ErrorCode, Refusal};
use serde_json::{Map, Value};
use warp::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use warp::http::{Response, StatusCode};
use warp::hyper::body::Bytes;

/// A response of this server.
pub(crate) type Reply = warp::reply::Response;

/// Problem details: a status, and one sentence that a person can act on.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    /// Boxed, since problems travel as the rare side of a `Result`.
    content: Box<Content>,
}

#[derive(Clone, Debug)]
struct Content {
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with its sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let content = Content { detail: detail.into(), members: Map::new(), headers: Vec::new() };
        Self { status, content: Box::new(content) }
    }

    /// The status that it will be answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds an extension member (RFC 9457 §3.2).
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.content.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.content.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// The response that says it.
    #[must_use]
    pub fn into_response(self) -> Reply {
        let content = *self.content;
        let mut body = Map::new();
        body.insert("type".to_owned(), "about:blank".into());
        body.insert("title".to_owned(), self.status.canonical_reason().unwrap_or("Error").into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        body.insert("detail".to_owned(), content.detail.into());
        body.extend(content.members);
        let mut response = json(self.status, "application/problem+json", &Value::Object(body));
        for (name, value) in content.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What a session is refused by an `error` frame, a program is refused by a status, with the frame's members.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            ErrorCode::BadFrame
            | ErrorCode::BadDest
            | ErrorCode::BadTarget
            | ErrorCode::UnknownType
            | ErrorCode::HelloFirst => StatusCode::BAD_REQUEST,
            ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::Unauthorized => return unauthorized(&refusal.reason),
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::NameTaken | ErrorCode::NotJoined | ErrorCode::Conflict | ErrorCode::IdConflict => {
                StatusCode::CONFLICT
            }
            ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, refusal.reason)
            .with("code", refusal.code.as_str())
            .with("retry", refusal.code.retry());
        if let Some(ms) = refusal.retry_after {
            problem = problem.with("retry_after", ms);
        }
        if refusal.code.retry() {
            // In whole seconds, and never too early.
            let seconds = refusal.retry_after.unwrap_or(1000).div_ceil(1000);
            problem.content.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
        }
        problem
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused(refusal) => refusal.into(),
            Denied::Unauthorized(reason) => unauthorized(&reason),
        }
    }
}

/// A token that is no good.
fn unauthorized(reason: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, reason)
        .with("code", ErrorCode::Unauthorized.as_str())
        .with("retry", false)
        .header(WWW_AUTHENTICATE, r#"Bearer realm="mqttchat", error="invalid_token""#)
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        problem.into_response()
    }
}

/// A JSON body that nobody caches.
pub(crate) fn json(status: StatusCode, content_type: &'static str, value: &Value) -> Reply {
    let mut response = Response::new(Bytes::from(value.to_string()).into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a method that a path doesn't have.
pub(crate) fn method_not_allowed(allow: &'static str) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("This address answers {allow} only."))
        .with("code", "method_not_allowed")
        .header(warp::http::header::ALLOW, allow)
}
