//! From an HTTP request to a WebSocket (RFC 6455 §4.2), by hand: hyper gives back the very socket, without a layer.

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mqttchat_bridge::{Bridge, Peer, Transport};
use tungstenite::handshake::derive_accept_key;
use warp::http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use warp::http::{HeaderMap, Method, StatusCode};

use crate::connection::Connection;
use crate::problem::{Problem, Reply, method_not_allowed};

/// The chat's subprotocol: offered, not demanded.
pub const SUBPROTOCOL: &str = "mqttchat.v1";

/// Why an agreed upgrade didn't come about.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The client left before the response was written.
    #[error("the connection was lost: {0}")]
    Lost(#[from] hyper::Error),
    /// The request was not served by this crate's [`Listener`](crate::Listener).
    #[error("the connection is not one of this listener")]
    Foreign,
}

/// An upgrade that is agreed upon.
#[derive(Debug)]
pub struct Upgrading(OnUpgrade);

impl Upgrading {
    /// Waits until the response is written; to be awaited in another task. Returns the socket, and what was read
    /// behind the request.
    ///
    /// # Errors
    /// [`UpgradeError`] when the client left before.
    pub async fn finish(self) -> Result<(Connection, Bytes), UpgradeError> {
        let parts = self.0.await?.downcast::<TokioIo<Connection>>().map_err(|_| UpgradeError::Foreign)?;
        Ok((parts.io.into_inner().upgraded(), parts.read_buf))
    }

    /// Runs a session `over` the socket when it is there, as a task of its own.
    pub(crate) fn serve<T: Transport + 'static>(
        self,
        bridge: Bridge,
        peer: Peer,
        over: impl FnOnce(Connection, Bytes) -> T + Send + 'static,
    ) {
        tokio::spawn(async move {
            match self.finish().await {
                Ok((stream, early)) => {
                    // A task of its own: this one has room for the upgrade as well.
                    tokio::spawn(async move { bridge.serve(over(stream, early), peer).await });
                }
                Err(error) => tracing::debug!(%error, "an upgrade failed"),
            }
        });
    }
}

/// Checks an opening handshake. Returns the 101 response, and the upgrade that follows it.
///
/// # Errors
/// 405 for another method than GET, 426 for a request that doesn't ask for WebSocket version 13, 400 for a bad key.
pub fn upgrade(
    method: &Method,
    headers: &HeaderMap,
    pending: Option<OnUpgrade>,
) -> Result<(Reply, Upgrading), Problem> {
    if *method != Method::GET {
        return Err(method_not_allowed("GET"));
    }
    let wanted = has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket");
    let Some(pending) = pending.filter(|_| wanted) else {
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "This address speaks WebSocket.")
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "upgrade"));
    };
    if only(headers, &SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "This address speaks WebSocket version 13.")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "upgrade"));
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).filter(|key| is_key(key));
    let accept =
        key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key)).ok()).ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64, once.")
        })?;
    let mut response = Reply::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if has_token(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok((response, Upgrading(pending)))
}

/// Whether a comma-separated header has this token, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|given| given.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// 16 bytes in base64: 22 digits, of which the last carries 2 bits, and `==`.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.strip_suffix(b"==").is_some_and(|digits| {
        digits.len() == 22 && digits.iter().all(is_digit) && matches!(digits[21], b'A' | b'Q' | b'g' | b'w')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "!GhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert!(!is_key(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn tokens_stand_anywhere_in_a_list() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, "keep-alive".parse().unwrap());
        headers.append(CONNECTION, "foo , UPGRADE".parse().unwrap());
        assert!(has_token(&headers, &CONNECTION, "upgrade"));
        assert!(!has_token(&headers, &CONNECTION, "grade"));
    }
}
