//! Tokens of an operator's application, signed with HS256.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The secret that the application shares with the server.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What the application says of a user: good for a minute, from `shop` and for `chat`, with `more` on top; a `null` takes
/// a claim away.
#[must_use]
pub fn claims(sub: &str, more: &Value) -> Value {
    let mut claims = json!({"sub": sub, "iss": "shop", "aud": "chat", "exp": now() + 60});
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    if let Some(claims) = claims.as_object_mut() {
        claims.retain(|_, value| !value.is_null());
    }
    claims
}

/// A good token for this user.
#[must_use]
pub fn token(sub: &str, more: &Value) -> String {
    signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims(sub, more), SECRET)
}

/// A token with this header and these claims, signed with this secret whatever the header says.
#[must_use]
pub fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let content = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mac| mac.chain_update(&content));
    let sign = mac.map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())).unwrap_or_default();
    format!("{content}.{sign}")
}

/// Unix time in seconds.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
