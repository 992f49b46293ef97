//! The keys of an application, and whoever signs with them. They are others in every process, but for the RSA key, which
//! ring can't make: what lies in the corpus knows none of them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};

use crate::jwt::JwtAlgorithm;

const RSA: &[u8] = include_bytes!("../../../crates/bridge/src/jwt/test_keys/rsa.p8");

/// The id that the ES256 key has; the others have none.
pub const EC_ID: &str = "a";

pub struct Signer {
    random: SystemRandom,
    secret: [u8; 32],
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn hs256(secret: &[u8], content: &str) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    ring::hmac::sign(&key, content.as_bytes()).as_ref().to_vec()
}

impl Signer {
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let mut secret = [0; 32];
        random.fill(&mut secret).unwrap();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ed = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
        Self { random, secret, rsa: RsaKeyPair::from_pkcs8(RSA).unwrap(), ec, ed }
    }

    /// The keys of these algorithms as a set; with the secret, where there is one.
    pub fn jwks(&self, algorithms: &[JwtAlgorithm]) -> Vec<u8> {
        let keys: Vec<Value> = algorithms.iter().map(|algorithm| self.jwk(*algorithm)).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    fn jwk(&self, algorithm: JwtAlgorithm) -> Value {
        match algorithm {
            JwtAlgorithm::Hs256 => json!({"kty": "oct", "k": base64(self.secret)}),
            JwtAlgorithm::Rs256 => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
                json!({"kty": "RSA", "alg": "RS256", "n": base64(n), "e": base64(e)})
            }
            JwtAlgorithm::Es256 => {
                let (x, y) = self.ec.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": EC_ID, "x": base64(x), "y": base64(y)})
            }
            JwtAlgorithm::EdDsa => {
                json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": base64(self.ed.public_key())})
            }
        }
    }

    pub fn sign(&self, algorithm: JwtAlgorithm, content: &str) -> Vec<u8> {
        let bytes = content.as_bytes();
        match algorithm {
            JwtAlgorithm::Hs256 => hs256(&self.secret, content),
            JwtAlgorithm::Rs256 => {
                let mut sign = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, bytes, &mut sign).unwrap();
                sign
            }
            JwtAlgorithm::Es256 => self.ec.sign(&self.random, bytes).unwrap().as_ref().to_vec(),
            JwtAlgorithm::EdDsa => self.ed.sign(bytes).as_ref().to_vec(),
        }
    }

    /// What anybody knows of the keys.
    pub fn public(&self, algorithm: JwtAlgorithm) -> Vec<u8> {
        match algorithm {
            JwtAlgorithm::Hs256 => Vec::new(),
            JwtAlgorithm::Rs256 => self.rsa.public().as_ref().to_vec(),
            JwtAlgorithm::Es256 => self.ec.public_key().as_ref().to_vec(),
            JwtAlgorithm::EdDsa => self.ed.public_key().as_ref().to_vec(),
        }
    }
}
