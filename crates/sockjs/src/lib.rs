//! The SockJS protocol 0.3.3 for [warp](https://docs.rs/warp): something like a WebSocket for pages whose network lets
//! no WebSocket through.
//!
//! A [`SockJs`] is one service at one base URL. Whatever a client reaches it by (WebSocket, XHR streaming or polling,
//! EventSource, htmlfile, JSONP), the service runs the same handler with a [`Session`]:
//!
//! ```
//! use mqttchat_sockjs::{Options, Origins, Session, SockJs};
//! use warp::Filter;
//!
//! async fn echo(mut session: Session) {
//!     while let Some(text) = session.recv().await {
//!         session.send(text).await;
//!     }
//! }
//!
//! let echo = SockJs::new(Options { origins: Origins::Any, ..Options::default() }, echo);
//! let routes = warp::path("echo").and(echo.filter());
//! # let _ = routes;
//! ```
//!
//! Everything is bounded: messages, bodies, queues, ids, and how many sessions there are, in all and from one address.
//! A client that sends faster than its session reads is answered late, then with 503; so is one whose body finds no
//! room beside all the others ([`Bodies`]). A session belongs to the client
//! that opened it ([`Binding`]): its id is of no use to others.
//!
//! - `service`, `route`: from a request to the one that answers it;
//! - `info`, `iframe`, `cors`, `cookie`: what there is besides sessions;
//! - `frame`: what is said, as text;
//! - `session` and `receiver`: the two ends of a session, and `link`, which is between them;
//! - `registry`: which sessions there are;
//! - `transport`: one file each.

mod bodies;
mod body;
mod cookie;
mod cors;
pub mod frame;
mod iframe;
mod info;
mod link;
mod options;
mod owner;
mod receiver;
mod registry;
mod reply;
mod request;
mod route;
mod service;
mod session;
mod transport;

pub use bodies::{Bodies, Body, Room};
pub use options::{Admission, Options, Origins, WebSockets};
pub use owner::Binding;
pub use request::{Framing, Request, Upgrade};
pub use service::SockJs;
pub use session::{Event, Session};
