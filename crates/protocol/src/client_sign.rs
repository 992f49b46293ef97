//! Signatures of clients (docs/protocol.md §7): over what a frame says, with a key that only its session has.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::canonical::canonical;

/// The key of one session.
#[derive(Clone)]
pub struct ClientKey([u8; 32]);

impl std::fmt::Debug for ClientKey {
    /// Leaves out the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientKey")
    }
}

/// What a frame's `sign` is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientSign {
    /// There is none.
    Missing,
    /// It is this session's, of this very frame.
    Good,
    /// It is not.
    Wrong,
}

impl ClientKey {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// As the client gets it, base64url.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Looks at the signature of a frame, given as it came.
    #[must_use]
    pub fn check(&self, frame: &str) -> ClientSign {
        let frame: Value = serde_json::from_str(frame).unwrap_or_default();
        let sign = match frame.get("sign") {
            None | Some(Value::Null) => return ClientSign::Missing,
            Some(sign) => sign.as_str().and_then(|sign| URL_SAFE_NO_PAD.decode(sign).ok()),
        };
        let content = ["id", "type", "dest", "data"].map(|name| frame.get(name).cloned().unwrap_or_default());
        let content = canonical(&Value::from(content.to_vec()));
        // A key of any length is one; the comparison takes the same time whatever differs.
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).map(|mac| mac.chain_update(content.as_bytes()));
        match (mac, sign) {
            (Ok(mac), Some(sign)) if mac.clone().verify_slice(&sign).is_ok() => ClientSign::Good,
            _ => ClientSign::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_frame_only() {
        let key = ClientKey([7; 32]);
        // Made with Python's json, hmac and hashlib from the description in docs/protocol.md §7.
        let sign = include_str!("client_sign_vector.txt").trim_end();
        let frame = |text: &str, sign: &str| {
            format!(
                r#"{{"sign":"{sign}","type":"msg","dest":"public","id":"m1","data":{{"z":1.50,"text":"{text}"}}}}"#
            )
        };
        assert_eq!(key.check(&frame("héllo", sign)), ClientSign::Good);
        assert_eq!(key.check(&frame("h\\u00e9llo", sign)), ClientSign::Good, "the same in other bytes");
        assert_eq!(key.check(&frame("hello", sign)), ClientSign::Wrong);
        assert_eq!(key.check(&frame("héllo", &sign[1..])), ClientSign::Wrong);
        assert_eq!(key.check(&frame("héllo", "")), ClientSign::Wrong);
        assert_eq!(ClientKey([8; 32]).check(&frame("héllo", sign)), ClientSign::Wrong);
        assert_eq!(key.check(r#"{"type":"rooms"}"#), ClientSign::Missing);
        assert_eq!(key.check(r#"{"type":"rooms","sign":7}"#), ClientSign::Wrong);
        assert_ne!(ClientKey::random().to_text(), ClientKey::random().to_text());
        assert_eq!(format!("{key:?}"), "ClientKey", "never the key itself");
    }
}
