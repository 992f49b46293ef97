//! Which broker, and who may come to it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use mqttchat_tls::{ClientTls, Identity};
use percent_encoding::percent_decode_str;

use super::error::ConfigError;
use super::layers::{Layers, text};

/// The broker that carries the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerChoice {
    /// In this process.
    Embedded {
        /// A file that replaces the compiled-in configuration.
        config: Option<PathBuf>,
        /// Opens it to devices.
        devices: Option<Devices>,
    },
    /// Somebody else's.
    External(BrokerUrl),
}

/// The embedded broker's door for devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    /// Where they connect.
    pub address: SocketAddr,
    /// Whether they need no login.
    pub anonymous: bool,
}

/// `mqtt://user:password@host:port`, or `mqtts://…`.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// The port; 1883 if none is given, with TLS 8883.
    pub port: u16,
    /// Whom TLS trusts, where there is TLS.
    pub tls: Option<ClientTls>,
    /// The login's name.
    pub user: Option<String>,
    /// The login's password.
    pub password: Option<String>,
}

impl fmt::Debug for BrokerUrl {
    /// Leaves out the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for BrokerUrl {
    /// Leaves out the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl BrokerUrl {
    /// Parses a URL. User and password are percent-decoded.
    ///
    /// # Errors
    /// What is wrong, to stand behind the setting's name; without the URL, which may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "has to be mqtt://host:port or mqtt://user:password@host:port, or mqtts:// for TLS";
        let (rest, tls) = match (text.strip_prefix("mqtt://"), text.strip_prefix("mqtts://")) {
            (Some(rest), _) => (rest, None),
            (None, Some(rest)) => (rest, Some(ClientTls::default())),
            (None, None) => return Err(FORM.to_owned()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, rest),
        };
        let decode = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
            decoded.map_err(|_| "has a login that is not UTF-8 when its percent signs are decoded".to_owned())
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some(("", _)) => return Err("has a password without a user name".to_owned()),
            Some((user, "")) => (Some(decode(user)?), None),
            Some((user, password)) => (Some(decode(user)?), Some(decode(password)?)),
            None => (None, None),
        };
        let (host, port) = split_port(address).ok_or(FORM)?;
        let port = match port {
            None if tls.is_some() => 8883,
            None => 1883,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(format!("has the port {port:?}, which has to be a number from 1 to 65535")),
            },
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/?#@".contains(c)) {
            return Err(format!("names no host: it {FORM}"));
        }
        Ok(Self { host: host.to_owned(), port, tls, user, password })
    }
}

/// Whom TLS to the broker trusts, and who it says that it is; `None` where nothing is said about it.
pub(super) fn client_tls(layers: &Layers) -> Result<Option<ClientTls>, ConfigError> {
    let file = |key| layers.parse_given(key, "a file in PEM", |value| text(value).map(PathBuf::from));
    let (authorities, certificate, key) = (file("mqtt.ca")?, file("mqtt.cert")?, file("mqtt.key")?);
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        _ => {
            let reason =
                "mqtt.cert and mqtt.key belong together: the client's certificate and its private key";
            return Err(ConfigError::Together(reason.to_owned()));
        }
    };
    let given = authorities.is_some() || identity.is_some();
    Ok(given.then(|| ClientTls { authorities, identity, ..ClientTls::default() }))
}

/// Host and port; an IPv6 address in brackets.
fn split_port(address: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            rest => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match address.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((address, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = BrokerUrl::parse("mqtt://us%40er:p%3Ass:w@broker.example:1884").unwrap();
        assert_eq!((&*url.host, url.port), ("broker.example", 1884));
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("us@er"), Some("p:ss:w")));
        assert!(!format!("{url:?} {url}").contains("p:ss"));
        let url = BrokerUrl::parse("mqtt://[::1]/").unwrap();
        assert_eq!((&*url.host, url.port, url.to_string().as_str()), ("::1", 1883, "mqtt://[::1]:1883"));
        assert_eq!(url.user, None);
        let url = BrokerUrl::parse("mqtts://chat:x@broker.example").unwrap();
        assert_eq!(url.to_string(), "mqtts://broker.example:8883");
        assert!(url.tls.is_some() && BrokerUrl::parse("mqtts://[::1]:1").unwrap().port == 1);
    }

    #[test]
    fn what_is_no_url() {
        for bad in [
            "",
            "broker",
            "http://x",
            "mqtt://",
            "mqtts://",
            "mqttss://x",
            "mqtt://:1883",
            "mqtt://x:0",
            "mqtt://x:70000",
            "mqtt://x:",
            "mqtt://x/y",
            "mqtt://:secret@x",
            "mqtt://u:%ff@x",
            "mqtt://[::1",
            "mqtt://[::1]x",
        ] {
            let error = BrokerUrl::parse(bad).unwrap_err();
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }
}
