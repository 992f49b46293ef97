//! The settings of SockJS.

use std::time::Duration;

use super::error::ConfigError;
use super::layers::{Layers, text};

/// SockJS, which is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SockJsConfig {
    /// How often a silent connection is sent a heartbeat.
    pub heartbeat: Duration,
    /// How long a session outlives its last receiving connection.
    pub disconnect_delay: Duration,
    /// After how many bytes a streaming response ends.
    pub streaming_limit: usize,
    /// Whether the cookie `JSESSIONID` is set.
    pub cookies: bool,
    /// Where SockJS's own client lies.
    pub client_url: Option<String>,
}

/// An iframe loads its script from here: an absolute path, or a page's address.
const CLIENT: &str = "an address such as \"https://intranet.example.com/sockjs.min.js\", or a path";

impl SockJsConfig {
    /// `None` when it is off.
    pub(super) fn check(layers: &Layers) -> Result<Option<Self>, ConfigError> {
        let seconds = |key, default, min, max| layers.number(key, default, min, max).map(Duration::from_secs);
        let config = Self {
            heartbeat: seconds("sockjs.heartbeat", 25, 1, 3600)?,
            disconnect_delay: seconds("sockjs.disconnect_delay", 5, 1, 300)?,
            streaming_limit: layers.number("sockjs.streaming_limit", 131_072, 4096, 64 << 20)? as usize,
            cookies: layers.switch("sockjs.cookies", false)?,
            client_url: layers.parse_given("sockjs.client_url", CLIENT, |value| {
                text(value).filter(|url| is_place(url)).map(str::to_owned)
            })?,
        };
        Ok(layers.switch("sockjs.enabled", true)?.then_some(config))
    }
}

/// Nothing that would mean something in a policy or an attribute.
fn is_place(url: &str) -> bool {
    let is_place = url.starts_with("https://")
        || url.starts_with("http://")
        || (url.starts_with('/') && !url.starts_with("//"));
    is_place
        && url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'"' | b'\'' | b'<' | b'>'))
}
