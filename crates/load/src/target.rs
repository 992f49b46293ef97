//! Whom the generator talks to, by URL.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use url::Url;

/// Which protocol is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// This server's frames over WebSocket (docs/protocol.md).
    Chat,
    /// MQTT 3.1.1 over TCP.
    Mqtt,
    /// MQTT 3.1.1 over WebSocket.
    MqttWs,
}

/// A server or broker: `ws://host:port/ws`, `mqtt://user:password@host:port` or `mqtt+ws://host:port/path`.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) speech: Speech,
    pub(crate) address: SocketAddr,
    /// Host and port as the `Host` header has them.
    pub(crate) host: String,
    /// Of a WebSocket.
    pub(crate) path: String,
    /// User and password of a broker.
    pub(crate) login: Option<(String, String)>,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let url = Url::parse(text).with_context(|| format!("{text:?} is no URL"))?;
        let (speech, port) = match url.scheme() {
            "ws" => (Speech::Chat, 80),
            "mqtt" => (Speech::Mqtt, 1883),
            "mqtt+ws" => (Speech::MqttWs, 80),
            other => bail!("{other}:// is not spoken here: use ws://, mqtt:// or mqtt+ws://"),
        };
        let name = url.host_str().with_context(|| format!("{text:?} names no host"))?;
        let host = format!("{name}:{}", url.port().unwrap_or(port));
        let mut addresses = host.to_socket_addrs().with_context(|| format!("{host} has no address"))?;
        let address = addresses.next().with_context(|| format!("{host} has no address"))?;
        let path = if url.path().is_empty() { "/" } else { url.path() }.to_owned();
        let login = (!url.username().is_empty())
            .then(|| (url.username().to_owned(), url.password().unwrap_or_default().to_owned()));
        Ok(Self { speech, address, host, path, login })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.speech {
            Speech::Chat => write!(f, "ws://{}{}", self.host, self.path),
            Speech::Mqtt => write!(f, "mqtt://{}", self.host),
            Speech::MqttWs => write!(f, "mqtt+ws://{}{}", self.host, self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_says_what_is_spoken() {
        let chat: Target = "ws://127.0.0.1:9091/ws".parse().unwrap();
        assert_eq!((chat.speech, chat.address.port(), chat.path.as_str()), (Speech::Chat, 9091, "/ws"));
        let broker: Target = "mqtt://ann:secret@127.0.0.1".parse().unwrap();
        assert_eq!((broker.speech, broker.address.port()), (Speech::Mqtt, 1883));
        assert_eq!(broker.login, Some(("ann".into(), "secret".into())));
        let ws: Target = "mqtt+ws://127.0.0.1:8080".parse().unwrap();
        assert_eq!((ws.speech, ws.path.as_str()), (Speech::MqttWs, "/"));
        assert!("http://127.0.0.1".parse::<Target>().is_err());
        assert_eq!(broker.to_string(), "mqtt://127.0.0.1:1883", "no password is shown");
    }
}
