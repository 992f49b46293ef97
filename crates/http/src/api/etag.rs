//! Answers that a client may keep, and ask again whether they still hold (RFC 9110 §8.8, §13).

use bytes::Bytes;
use sha2::{Digest, Sha256};
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use warp::http::{HeaderMap, Response, StatusCode};

use crate::assets::is_cached;
use crate::problem::Reply;

/// A JSON answer with a tag of its bytes; 304 for a client that has them.
pub(super) fn tagged(headers: &HeaderMap, json: impl Into<Bytes>) -> Reply {
    let json = json.into();
    let tag = format!("\"{}\"", digest(&json));
    tagged_as(headers, json, &tag)
}

/// The same with a tag of the caller's.
pub(super) fn tagged_as(headers: &HeaderMap, json: impl Into<Bytes>, tag: &str) -> Reply {
    let cached = is_cached(headers, tag);
    let mut reply: Reply = Response::new(if cached { Bytes::new() } else { json.into() }.into());
    if cached {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    // For the one who asked, who has to ask again each time.
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        reply.headers_mut().insert(ETAG, tag);
    }
    reply
}

/// What tells contents apart.
pub(super) fn digest(content: &[u8]) -> String {
    Sha256::digest(content)[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}
