//! The greeting, and what a client asks before it opens a session.

use serde_json::json;
use warp::http::StatusCode;

use crate::options::Options;
use crate::reply::{self, Reply};

pub(crate) fn greeting() -> Reply {
    reply::with(StatusCode::OK, reply::PLAIN, "Welcome to SockJS!\n")
}

pub(crate) fn info(options: &Options) -> Reply {
    let info = json!({
        "websocket": options.websockets.are_on(),
        "cookie_needed": options.cookies,
        // Of no consequence: a browser goes by CORS.
        "origins": ["*:*"],
        // For the session ids of browsers without a good source of their own.
        "entropy": rand::random::<u32>(),
    });
    let mut reply = reply::with(StatusCode::OK, "application/json; charset=UTF-8", info.to_string());
    reply::never_cache(reply.headers_mut());
    reply
}
