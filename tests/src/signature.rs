//! The signed payloads on the broker, checked from their description in docs/mqtt.md alone.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `,"sign":"`, 43 characters and `"}`.
const TAIL: usize = 54;

/// The newest master secret of the installation whose data directory this is.
///
/// # Errors
/// When its `secret` file is missing, or has another form than documented.
pub fn master_secret(data: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read_to_string(data.join("secret"))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let hex = line.and_then(|line| line.split_whitespace().nth(1)).context("no secret in the secret file")?;
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

/// The key of all payloads, made from the installation's master secret.
///
/// # Errors
/// Never for a key of this length.
pub fn envelope_key(secret: &[u8]) -> Result<[u8; 32]> {
    let mut key = [0; 32];
    let made = Hkdf::<Sha256>::new(None, secret).expand(b"mqttchat envelope v1", &mut key);
    made.map_err(|error| anyhow::anyhow!("no key: {error}"))?;
    Ok(key)
}

/// Checks that the payload ends with the HMAC-SHA256 of all bytes before its `sign`.
///
/// # Errors
/// When it has no signature at its end, or a wrong one.
pub fn verify(payload: &[u8], key: &[u8]) -> Result<()> {
    let split = payload.len().checked_sub(TAIL).context("too short for a signature")?;
    let (signed, tail) = payload.split_at(split);
    let sign = tail.strip_prefix(br#","sign":""#).and_then(|rest| rest.strip_suffix(br#""}"#));
    let sign = sign.context("the last member is not sign")?;
    let given = URL_SAFE_NO_PAD.decode(sign).context("sign is not base64url")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(signed);
    if mac.verify_slice(&given).is_err() {
        bail!("the signature is wrong");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's hashlib and hmac from the description.
    const SIGNED: &[u8] = br#"{"type":"msg","sign":"oDkDA38aDJhrqWt4brH3oy9xCgq1yodqwISJYIZBWWk"}"#;

    #[test]
    fn a_right_signature_holds() {
        verify(SIGNED, &envelope_key(&[0; 32]).unwrap()).unwrap();
    }

    #[test]
    fn a_changed_byte_or_another_key_is_noticed() {
        let key = envelope_key(&[0; 32]).unwrap();
        for place in 0..SIGNED.len() {
            let mut changed = SIGNED.to_vec();
            changed[place] ^= 1;
            assert!(verify(&changed, &key).is_err(), "byte {place}");
        }
        assert!(verify(SIGNED, &envelope_key(&[1; 32]).unwrap()).is_err());
        assert!(verify(b"hello", &key).is_err());
    }
}
