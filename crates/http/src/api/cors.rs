//! What browsers are told about pages of other origins (Fetch Standard, "CORS protocol"). Without a configured origin
//! nothing is: a page elsewhere can't use this API. No cookies are used, so none are allowed.

use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderValue, VARY,
};
use warp::http::{HeaderMap, StatusCode};

use crate::problem::Reply;

const REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID";
const RESPONSE_HEADERS: &str = "ETag, Link, Location, Retry-After";

/// Lets the page of a configured origin see the answer.
pub(super) fn welcome(headers: &mut HeaderMap, page: Option<HeaderValue>) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(page) = page {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(RESPONSE_HEADERS));
    } else {
        headers.remove(ACCESS_CONTROL_ALLOW_METHODS);
        headers.remove(ACCESS_CONTROL_ALLOW_HEADERS);
        headers.remove(ACCESS_CONTROL_MAX_AGE);
    }
}

/// The answer to `OPTIONS`, asked by a person or before a browser's request.
pub(super) fn options(allow: &'static str) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (ALLOW, allow),
        (ACCESS_CONTROL_ALLOW_METHODS, allow),
        (ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}
