//! Signing of what goes over MQTT (docs/mqtt.md "Signatures"): every payload ends in a `sign` member over all bytes before it.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The length of `,"sign":"<43 characters>"}`, in bytes.
pub const SIGN_LEN: usize = 54;

const SIGN_KEY: &[u8] = br#","sign":""#;

type HmacSha256 = Hmac<Sha256>;

/// Why a payload on MQTT isn't one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It does not end in a signature.
    #[error("the payload carries no signature")]
    Unsigned,
    /// It ends in one, made with another key or over other bytes.
    #[error("the payload's signature is not of this installation")]
    Forged,
}

/// Keys derived from the installation's master secrets by HKDF-SHA256 (RFC 5869), the newest first.
///
/// Every node of an installation has the same. All but the first only verify. Clones share what they hold, so that
/// secrets can be rotated while everybody goes on: see [`Keyring::replace`].
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<RwLock<Arc<[DerivedKeys]>>>,
}

#[derive(Clone)]
struct DerivedKeys {
    id: u32,
    envelope: HmacSha256,
    token: HmacSha256,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys().iter().map(|key| key.id)).finish()
    }
}

impl Keyring {
    /// Derives the keys of master secrets, given with their key ids, the newest first.
    ///
    /// An empty list signs with a key that is thrown away: nothing will ever verify.
    #[must_use]
    pub fn new(secrets: &[(u32, [u8; 32])]) -> Self {
        Self { keys: Arc::new(RwLock::new(derive(secrets))) }
    }

    /// Puts other secrets in the place of those before, for all clones, as [`Keyring::new`] takes them.
    pub fn replace(&self, secrets: &[(u32, [u8; 32])]) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = derive(secrets);
    }

    fn keys(&self) -> Arc<[DerivedKeys]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs a JSON object: the same bytes with a last member `sign`.
    #[must_use]
    pub fn seal(&self, json: &[u8]) -> Vec<u8> {
        let body = json.strip_suffix(b"}").unwrap_or(json);
        let mut sealed = Vec::with_capacity(body.len() + SIGN_LEN);
        sealed.extend_from_slice(body);
        sealed.extend_from_slice(SIGN_KEY);
        let sign = self.keys()[0].envelope.clone().chain_update(body).finalize().into_bytes();
        sealed.extend_from_slice(URL_SAFE_NO_PAD.encode(sign).as_bytes());
        sealed.extend_from_slice(b"\"}");
        sealed
    }

    /// Checks a payload before anything in it is parsed.
    ///
    /// # Errors
    /// [`EnvelopeError`] when it isn't signed, or not by this installation.
    pub fn open<'a>(&self, payload: &'a [u8]) -> Result<Envelope<'a>, EnvelopeError> {
        let (body, tail) =
            payload.split_at(payload.len().checked_sub(SIGN_LEN).ok_or(EnvelopeError::Unsigned)?);
        let sign = tail.strip_prefix(SIGN_KEY).and_then(|sign| sign.strip_suffix(b"\"}"));
        let sign = URL_SAFE_NO_PAD
            .decode(sign.ok_or(EnvelopeError::Unsigned)?)
            .map_err(|_| EnvelopeError::Forged)?;
        let ours = |key: &DerivedKeys| key.envelope.clone().chain_update(body).verify_slice(&sign).is_ok();
        if self.keys().iter().any(ours) { Ok(Envelope { body }) } else { Err(EnvelopeError::Forged) }
    }

    /// The id of the key that signs now.
    #[must_use]
    pub fn signing(&self) -> u32 {
        self.keys()[0].id
    }

    /// Whether what the key of this id has signed is good.
    #[must_use]
    pub fn has(&self, id: u32) -> bool {
        self.keys().iter().any(|key| key.id == id)
    }

    pub(crate) fn sign_token(&self, body: &[u8]) -> (u32, String) {
        let keys = self.keys();
        let key = &keys[0];
        let sign =
            key.token.clone().chain_update(key.id.to_be_bytes()).chain_update(body).finalize().into_bytes();
        (key.id, URL_SAFE_NO_PAD.encode(sign))
    }

    pub(crate) fn verify_token(&self, key_id: u32, body: &[u8], sign: &str) -> bool {
        let Ok(sign) = URL_SAFE_NO_PAD.decode(sign) else { return false };
        self.keys().iter().filter(|key| key.id == key_id).any(|key| {
            key.token
                .clone()
                .chain_update(key_id.to_be_bytes())
                .chain_update(body)
                .verify_slice(&sign)
                .is_ok()
        })
    }
}

/// Never empty.
fn derive(secrets: &[(u32, [u8; 32])]) -> Arc<[DerivedKeys]> {
    if secrets.is_empty() {
        return Arc::new([DerivedKeys::new(0, &rand::random())]);
    }
    secrets.iter().map(|(id, secret)| DerivedKeys::new(*id, secret)).collect()
}

impl DerivedKeys {
    fn new(id: u32, secret: &[u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, secret);
        let derive = |info: &[u8]| {
            let mut key = [0; 64];
            // 32 bytes are far below HKDF's limit of 255 hashes. HMAC pads shorter keys with zeros to the hash's
            // block of 64 bytes (RFC 2104 §2), so this is the HMAC of the 32-byte key.
            let _ = hkdf.expand(info, &mut key[..32]);
            HmacSha256::new(&key.into())
        };
        Self { id, envelope: derive(b"mqttchat envelope v1"), token: derive(b"mqttchat token v1") }
    }
}

/// A payload whose signature holds.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    body: &'a [u8],
}

impl Envelope<'_> {
    /// The frame without the signature: what clients get.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.body.len() + 1);
        json.extend_from_slice(self.body);
        json.push(b'}');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_and_opened() {
        let keys = Keyring::new(&[(1, [7; 32])]);
        let json = br#"{"type":"msg","data":{"text":"hi"}}"#;
        let sealed = keys.seal(json);
        assert_eq!(sealed.len(), json.len() - 1 + SIGN_LEN);
        serde_json::from_slice::<serde_json::Value>(&sealed).unwrap();
        assert_eq!(keys.open(&sealed).unwrap().to_json(), json);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let keys = Keyring::new(&[(1, [7; 32])]);
        let sealed = keys.seal(br#"{"a":1}"#);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(keys.open(&forged).is_err(), "byte {at}");
        }
        for len in 0..sealed.len() {
            assert!(keys.open(&sealed[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn rotated_secrets_still_verify_and_strangers_never_do() {
        let old = Keyring::new(&[(1, [1; 32])]);
        let new = Keyring::new(&[(2, [2; 32]), (1, [1; 32])]);
        assert!(new.open(&old.seal(b"{}")).is_ok());
        assert_eq!(old.open(&new.seal(b"{}")).unwrap_err(), EnvelopeError::Forged);
        assert_eq!(old.open(b"hello").unwrap_err(), EnvelopeError::Unsigned);
    }

    #[test]
    fn clones_follow_a_rotation() {
        let keys = Keyring::new(&[(1, [1; 32])]);
        let (clone, before) = (keys.clone(), keys.seal(b"{}"));
        keys.replace(&[(2, [2; 32]), (1, [1; 32])]);
        assert!(clone.open(&before).is_ok());
        assert_eq!((clone.sign_token(b"x").0, clone.signing(), clone.has(1)), (2, 2, true));
        keys.replace(&[(2, [2; 32])]);
        assert_eq!(clone.open(&before).unwrap_err(), EnvelopeError::Forged);
        assert!(clone.has(2) && !clone.has(1));
    }

    #[test]
    fn the_documented_scheme() {
        // Made with Python's hashlib and hmac from the description in docs/mqtt.md.
        let sealed = Keyring::new(&[(1, [0; 32])]).seal(br#"{"type":"msg"}"#);
        assert_eq!(String::from_utf8(sealed).unwrap(), include_str!("sign_vector.txt").trim_end());
    }
}
