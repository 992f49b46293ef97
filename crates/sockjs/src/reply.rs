//! Responses.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use warp::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, RETRY_AFTER};
use warp::http::{HeaderMap, StatusCode};

/// What a service answers.
pub(crate) type Reply = warp::reply::Response;

pub(crate) const PLAIN: &str = "text/plain; charset=UTF-8";
pub(crate) const SCRIPT: &str = "application/javascript; charset=UTF-8";
pub(crate) const HTML: &str = "text/html; charset=UTF-8";

/// What may be kept is kept for a year.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A response with a body.
pub(crate) fn with(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Reply::new(body.into().into());
    *reply.status_mut() = status;
    set(&mut reply, CONTENT_TYPE, content_type);
    reply
}

/// A response without.
pub(crate) fn bare(status: StatusCode) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = status;
    reply
}

/// One sentence about what was wrong.
pub(crate) fn error(status: StatusCode, sentence: &'static str) -> Reply {
    let mut reply = with(status, PLAIN, sentence);
    never_cache(reply.headers_mut());
    reply
}

/// Somebody asks too often, and is told when to come again, in whole seconds.
pub(crate) fn too_many(wait: Duration) -> Reply {
    let mut reply =
        error(StatusCode::TOO_MANY_REQUESTS, "Too much comes from your address; wait a moment.\n");
    let seconds = wait.as_millis().div_ceil(1000).max(1) as u64;
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

pub(crate) fn not_found() -> Reply {
    error(StatusCode::NOT_FOUND, "404 Error: Page not found\n")
}

pub(crate) fn not_allowed(methods: &'static str) -> Reply {
    let mut reply = bare(StatusCode::METHOD_NOT_ALLOWED);
    set(&mut reply, ALLOW, methods);
    reply
}

pub(crate) fn set(reply: &mut Reply, name: HeaderName, value: &'static str) {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
}

pub(crate) fn never_cache(headers: &mut HeaderMap) {
    let value = HeaderValue::from_static("no-store, no-cache, no-transform, must-revalidate, max-age=0");
    headers.insert(CACHE_CONTROL, value);
}

pub(crate) fn cache_long(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000"));
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now() + YEAR)) {
        headers.insert(EXPIRES, date);
    }
}
