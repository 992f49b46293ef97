//! Where somebody is told what happens in the chat.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use warp::http::Uri;

use super::error::ConfigError;
use super::layers::Layers;

/// How long the other party has, in seconds, before they count as away.
const AFTER: u64 = 60;

/// `[webhook]`: what happens is posted to a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where to.
    pub url: Uri,
    /// What signs it.
    pub(crate) key: Option<Vec<u8>>,
    /// Every message.
    pub messages: bool,
    /// Private messages that were not delivered in time.
    pub undelivered: bool,
    /// The time they have.
    pub after: Duration,
}

impl fmt::Debug for WebhookConfig {
    /// Leaves out the key, and what may be a secret in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig").field("host", &self.url.host()).finish_non_exhaustive()
    }
}

/// Reads the section; `None` without a URL.
pub(super) fn webhook(layers: &Layers) -> Result<Option<WebhookConfig>, ConfigError> {
    let after = Duration::from_secs(layers.number("webhook.after", AFTER, 1, 24 * 3600)?);
    let (mut messages, mut undelivered) = (false, false);
    if layers.get("webhook.events").is_some() {
        let allowed = "a list of \"message\" and \"private.undelivered\"";
        for event in layers.list("webhook.events", allowed, Event::parse)? {
            match event {
                Event::Message => messages = true,
                Event::Undelivered => undelivered = true,
            }
        }
    } else {
        undelivered = true;
    }
    let key = layers.secret("webhook.secret", key)?;
    let Some(url) = layers.secret("webhook.url", url)? else {
        if key.is_some() {
            let reason = "webhook.secret signs what goes to webhook.url, which is not given";
            return Err(ConfigError::Together(reason.to_owned()));
        }
        return Ok(None);
    };
    if !messages && !undelivered {
        let reason = "webhook.events names nothing to be told; leave webhook.url out instead";
        return Err(ConfigError::Together(reason.to_owned()));
    }
    Ok(Some(WebhookConfig { url, key, messages, undelivered, after }))
}

enum Event {
    Message,
    Undelivered,
}

impl Event {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "message" => Some(Self::Message),
            "private.undelivered" => Some(Self::Undelivered),
            _ => None,
        }
    }
}

fn url(text: &str) -> Result<Uri, &'static str> {
    const FORM: &str = "has to be like https://notify.example.com/chat";
    let uri: Uri = text.parse().map_err(|_| FORM)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.authority() {
        Some(authority) if is_http && !authority.host().is_empty() => {
            if authority.as_str().contains('@') {
                return Err(
                    "can't have a login in it; a token can stand in the path, or check the signature",
                );
            }
            Ok(uri)
        }
        _ => Err(FORM),
    }
}

/// The key of a secret: of `whsec_…` the decoded rest, as Standard Webhooks has it; of any other text its bytes.
fn key(text: &str) -> Result<Vec<u8>, &'static str> {
    let key = match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| "has no base64 behind whsec_")?,
        None => text.as_bytes().to_vec(),
    };
    if key.len() < 16 { Err("has to have 16 bytes at least") } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for good in ["https://notify.example.com/chat?token=7", "http://127.0.0.1:9999", "http://[::1]:80/x"]
        {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in ["notify.example.com", "/chat", "ftp://x/", "https://", "https://a:b@c/", "http://a b/"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys() {
        assert_eq!(key("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").unwrap(), b"0123456789abcdef");
        assert_eq!(key("0123456789abcdef").unwrap(), b"0123456789abcdef");
        assert!(key("short").is_err() && key("whsec_%").is_err() && key("whsec_c2hvcnQ=").is_err());
    }
}
