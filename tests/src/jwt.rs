//! Tokens of an operator's application: signed with HS256, or with keys of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
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

/// A key pair of the application's.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// An RSA key for RS256: always the same, since making one takes long.
    ///
    /// # Errors
    /// When the key can't be read.
    pub fn rs256(id: &str) -> Result<Self> {
        let key = RsaKeyPair::from_pkcs8(include_bytes!("../../crates/bridge/src/jwt/test_keys/rsa.p8"));
        Ok(Self { id: id.to_owned(), pair: Pair::Rsa(key.map_err(|error| anyhow!("{error}"))?) })
    }

    /// A new key on P-256, for ES256.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn es256(id: &str) -> Result<Self> {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(|error| anyhow!("{error}"))?;
        let key = EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random);
        Ok(Self { id: id.to_owned(), pair: Pair::Ec(key.map_err(|error| anyhow!("{error}"))?) })
    }

    /// A new Ed25519 key, for EdDSA.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn eddsa(id: &str) -> Result<Self> {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|error| anyhow!("{error}"))?;
        let key = Ed25519KeyPair::from_pkcs8(key.as_ref());
        Ok(Self { id: id.to_owned(), pair: Pair::Ed(key.map_err(|error| anyhow!("{error}"))?) })
    }

    /// Its public half (RFC 7517).
    #[must_use]
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(key) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "alg": "RS256", "n": text(&public.n), "e": text(&public.e)})
            }
            Pair::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Pair::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref())}),
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A good token for this user.
    ///
    /// # Errors
    /// As [`SigningKey::sign`].
    pub fn token(&self, sub: &str, more: &Value) -> Result<String> {
        self.sign(&json!({"kid": self.id}), &claims(sub, more))
    }

    /// A token with these claims, and more in its header than the algorithm.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        let mut header = header.clone();
        header["alg"] = json!(match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let content = format!("{}.{}", part(&header), part(claims));
        let random = SystemRandom::new();
        let sign = match &self.pair {
            Pair::Rsa(key) => {
                let mut sign = vec![0; key.public().modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &random, content.as_bytes(), &mut sign);
                signed.map_err(|error| anyhow!("{error}"))?;
                sign
            }
            Pair::Ec(key) => {
                let signed = key.sign(&random, content.as_bytes());
                signed.map_err(|error| anyhow!("{error}"))?.as_ref().to_vec()
            }
            Pair::Ed(key) => key.sign(content.as_bytes()).as_ref().to_vec(),
        };
        Ok(format!("{content}.{}", URL_SAFE_NO_PAD.encode(sign)))
    }
}

/// A JSON Web Key Set of these.
#[must_use]
pub fn key_set(keys: &[&SigningKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}
