//! A request, as a service needs it: whatever framework it came through.

use std::net::IpAddr;

use hyper::upgrade::OnUpgrade;
use warp::http::{HeaderMap, Method};

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path below the base URL, without the slash between them; not decoded.
    pub path: String,
    /// The query, without the question mark; empty without one.
    pub query: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The client's address, where it is known.
    pub peer: Option<IpAddr>,
    /// Whether it came by HTTPS, as far as that is known.
    pub secure: bool,
    /// Whether it tells which page it comes from, as browsers do.
    pub origin_known: bool,
    /// What hyper put into the request's extensions, for WebSockets.
    pub upgrade: Option<OnUpgrade>,
}

/// A request for a WebSocket; its method and its wish to upgrade are checked.
#[derive(Debug)]
pub struct Upgrade {
    /// What is to be spoken over it.
    pub framing: Framing,
    /// The request.
    pub request: Request,
}

/// What is spoken over a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// SockJS's frames: see [`frame`](crate::frame).
    SockJs,
    /// Messages as they are (`/websocket`).
    Raw,
}
