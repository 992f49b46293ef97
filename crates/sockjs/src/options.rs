//! What the user of this crate decides about a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use warp::http::HeaderMap;

use crate::bodies::Bodies;
use crate::owner::Binding;
use crate::request::{Request, Upgrade};

/// One service. The times and the streaming limit are those that the protocol recommends.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often a silent connection is sent a heartbeat; default 25 s.
    pub heartbeat: Duration,
    /// How long a session outlives its last receiving connection; default 5 s.
    pub disconnect_delay: Duration,
    /// After how many bytes a streaming response ends, so that browsers can forget it; default 128 KiB.
    pub streaming_limit: usize,
    /// Sets the cookie `JSESSIONID`, for load balancers that keep to it; default no. It is `SameSite=Strict` and
    /// `HttpOnly`, and `Secure` where a request is; pages of other sites don't have it.
    pub cookies: bool,
    /// The pages that may use the service; default its own only.
    pub origins: Origins,
    /// Who may use a session; default the client that opened it.
    pub binding: Binding,
    /// What carries WebSockets; default [`WebSockets::default`].
    pub websockets: WebSockets,
    /// Where the iframe's page finds SockJS's client, as a URL or an absolute path. Without it, the default, there is
    /// no such page, and clients leave out the transports that need it.
    pub client_url: Option<String>,
    /// The sites that may embed the pages of `iframe` and `htmlfile`, as sources of CSP's `frame-ancestors`; default
    /// `'self'`.
    pub frame_ancestors: String,
    /// The largest message of a client in bytes; default 64 KiB. A larger one is [`Event::TooLarge`](crate::Event).
    pub message_limit: usize,
    /// The largest body of a sending request in bytes; default 256 KiB. A larger one is answered with 413.
    pub body_limit: usize,
    /// The memory that bodies may take together; default 24 MiB of the service's own. One that finds no room within its
    /// time is answered with 503.
    pub bodies: Bodies,
    /// How long a body may take; default 10 s. A later one is answered with 408.
    pub body_timeout: Duration,
    /// Bytes that may wait for the session to read them before senders have to; default 64 KiB.
    pub queue_limit: usize,
    /// How long a sender waits for room before it is answered with 503; default 10 s.
    pub queue_patience: Duration,
    /// Sessions in all; default 10,000. More are answered with 503.
    pub sessions: usize,
    /// Sessions from one address; default 2,000.
    pub sessions_per_address: usize,
    /// Asked before a session is opened, WebSockets aside, and before `info` is told; default [`Admission::All`].
    pub admission: Admission,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(25),
            disconnect_delay: Duration::from_secs(5),
            streaming_limit: 128 << 10,
            cookies: false,
            origins: Origins::Own,
            binding: Binding::Client,
            websockets: WebSockets::default(),
            client_url: None,
            frame_ancestors: "'self'".to_owned(),
            message_limit: 64 << 10,
            body_limit: 256 << 10,
            bodies: Bodies::default(),
            body_timeout: Duration::from_secs(10),
            queue_limit: 64 << 10,
            queue_patience: Duration::from_secs(10),
            sessions: 10_000,
            sessions_per_address: 2_000,
            admission: Admission::All,
        }
    }
}

/// The pages that may use a service. Requests without an `Origin` come from programs, or from browsers where they
/// don't send one, and are let in; [`Origins::Those`] can look at more than that header.
#[derive(Clone)]
pub enum Origins {
    /// The pages of the host that the request names.
    Own,
    /// Every page.
    Any,
    /// Those for whose request headers this says yes; it is asked for every request.
    Those(Arc<dyn Fn(&HeaderMap) -> bool + Send + Sync>),
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "Own",
            Self::Any => "Any",
            Self::Those(_) => "Those(..)",
        })
    }
}

/// Whether somebody may ask for another session now.
#[derive(Clone)]
pub enum Admission {
    /// Everybody may.
    All,
    /// Those for whose request this has nothing against; else they are answered with 429, and when to come again.
    By(Arc<Ask>),
}

type Ask = dyn Fn(&Request) -> Result<(), Duration> + Send + Sync;

impl Admission {
    pub(crate) fn ask(&self, request: &Request) -> Result<(), Duration> {
        match self {
            Self::All => Ok(()),
            Self::By(hook) => hook(request),
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "All",
            Self::By(_) => "By(..)",
        })
    }
}

/// What answers a request for a WebSocket.
#[derive(Clone, Default)]
pub enum WebSockets {
    /// Nothing: the service tells clients that it has none.
    #[cfg_attr(not(feature = "tungstenite"), default)]
    Off,
    /// tokio-tungstenite; the service's handler runs with a [`Session`](crate::Session) over it.
    #[cfg(feature = "tungstenite")]
    #[default]
    Tungstenite,
    /// This hook. It upgrades the connection and talks by itself, in the frames of [`frame`](crate::frame) where
    /// the [`Framing`](crate::Framing) asks for it.
    By(Arc<dyn Fn(Upgrade) -> warp::reply::Response + Send + Sync>),
}

impl WebSockets {
    pub(crate) fn are_on(&self) -> bool {
        !matches!(self, Self::Off)
    }
}

impl fmt::Debug for WebSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            #[cfg(feature = "tungstenite")]
            Self::Tungstenite => "Tungstenite",
            Self::By(_) => "By(..)",
        })
    }
}
