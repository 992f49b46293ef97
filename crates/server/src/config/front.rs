//! The settings of the listener: TLS, the proxies before it, and the sites around its page.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mqttchat_bridge::OriginOrToken;
use mqttchat_http::{Origin, Proxies, ProxyHeaders};

use super::error::ConfigError;
use super::layers::{Layers, text};

/// What the listener speaks, and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontConfig {
    /// TLS, if the server speaks it itself.
    pub tls: Option<TlsConfig>,
    /// The proxies that are believed about the clients behind them.
    pub proxies: Proxies,
    /// Other sites that may show the page in a frame.
    pub embedders: Vec<Origin>,
    /// Which clients that send no `Origin` need a token to sign in.
    pub origin_or_token: OriginOrToken,
    /// How long browsers are to come by HTTPS only; zero says nothing of it.
    pub hsts: Duration,
    /// How long a request's head may take, the TLS handshake before it, and the next request on a connection.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
}

/// TLS with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The PEM file of the certificate, and those of its issuers.
    pub certificate: PathBuf,
    /// The PEM file of its private key.
    pub key: PathBuf,
    /// Where plain HTTP is answered with a redirection.
    pub redirect: Option<SocketAddr>,
}

/// The longest that anybody is waited for, in seconds.
const TIMEOUT_MAX: u64 = 3600;

/// A year, in seconds.
const YEAR: u64 = 31_536_000;

impl FrontConfig {
    pub(super) fn check(layers: &Layers) -> Result<Self, ConfigError> {
        let networks = layers.list(
            "http.proxies",
            "addresses or networks such as \"127.0.0.1\" or \"10.0.0.0/8\"",
            Proxies::network,
        )?;
        let allowed = "\"x-forwarded\" or \"forwarded\"";
        let headers = layers.parse("http.proxy_headers", ProxyHeaders::XForwarded, allowed, |value| {
            match text(value)? {
                "x-forwarded" => Some(ProxyHeaders::XForwarded),
                "forwarded" => Some(ProxyHeaders::Forwarded),
                _ => None,
            }
        })?;
        Ok(Self {
            tls: tls(layers)?,
            proxies: Proxies::new(networks, headers),
            embedders: layers.list(
                "http.embed",
                "origins such as \"https://intranet.example.com\"",
                Origin::parse,
            )?,
            origin_or_token: origin_or_token(layers)?,
            hsts: Duration::from_secs(layers.number("http.hsts", YEAR, 0, 10 * YEAR)?),
            header_timeout: Duration::from_secs(layers.number("http.header_timeout", 10, 1, TIMEOUT_MAX)?),
            body_timeout: Duration::from_secs(layers.number("http.body_timeout", 30, 1, TIMEOUT_MAX)?),
        })
    }
}

fn origin_or_token(layers: &Layers) -> Result<OriginOrToken, ConfigError> {
    let (default, allowed) = (OriginOrToken::default(), "\"off\", \"remote\" or \"all\"");
    layers.parse("http.origin_or_token", default, allowed, |value| match text(value)? {
        "off" => Some(OriginOrToken::Off),
        "remote" => Some(OriginOrToken::Remote),
        "all" => Some(OriginOrToken::All),
        _ => None,
    })
}

fn tls(layers: &Layers) -> Result<Option<TlsConfig>, ConfigError> {
    let file = |key| layers.parse_given(key, "a PEM file", |value| text(value).map(PathBuf::from));
    let redirect =
        layers.parse_given("tls_redirect", "an address with a port, such as 0.0.0.0:80", |value| {
            text(value)?.parse::<SocketAddr>().ok()
        })?;
    let together = |reason: &str| Err(ConfigError::Together(reason.to_owned()));
    match (file("tls_cert")?, file("tls_key")?) {
        (Some(certificate), Some(key)) => Ok(Some(TlsConfig { certificate, key, redirect })),
        (Some(_), None) => together("tls_cert needs tls_key beside it: the file of the certificate's key"),
        (None, Some(_)) => together("tls_key needs tls_cert beside it: the file of the key's certificate"),
        (None, None) if redirect.is_some() => {
            together("tls_redirect sends clients to HTTPS, which needs tls_cert and tls_key")
        }
        (None, None) => Ok(None),
    }
}
