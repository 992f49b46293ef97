//! All HTTP: the listener, the page, WebSocket, the API for programs, health and metrics.
//!
//! A [`Listener`] accepts connections within limits and hands their requests to [`app`]'s routes, which warp picks.
//! `/ws` becomes a [`ws::WsTransport`], and the bridge runs a session over it; `/sockjs` carries the same in other ways.
//!
//! Programs ask below `/api`, one file a resource; server-sent events are sessions whose client only listens.
//!
//! Requests that name another host than this server are refused, responses carry a policy for browsers, and errors are
//! problem details ([`Problem`]), all in one place each.

mod api;
mod app;
mod assets;
mod connection;
mod forwarded;
mod headers;
mod health;
mod host;
mod lab;
mod listen;
mod origin;
mod problem;
mod process;
mod quota;
mod redirect;
mod serve;
mod sockjs;
mod sse;
mod tls;
mod upgrade;
mod validity;
pub mod ws;

pub use app::{HttpOptions, app};
pub use assets::Assets;
pub use connection::Connection;
pub use forwarded::{Proxies, ProxyHeaders};
pub use headers::Security;
pub use host::{Authority, Hosts};
pub use listen::{ListenOptions, Listener};
pub use mqttchat_sockjs::Bodies;
pub use origin::{Origin, Origins};
pub use problem::Problem;
pub use quota::{Full, Permit, Quota, QuotaLimits};
pub use redirect::Redirect;
pub use serve::Remote;
pub use sockjs::SockJsOptions;
pub use tls::{Tls, TlsError};
pub use upgrade::{SUBPROTOCOL, UpgradeError, Upgrading, upgrade};
pub use validity::{Standing, Validity};
