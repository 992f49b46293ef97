//! The signed payloads on the broker, checked from their description in docs/mqtt.md alone.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `,"sign":"`, 43 characters and `"}`.
const TAIL: usize = 54;

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
