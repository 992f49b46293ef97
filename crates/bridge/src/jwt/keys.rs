//! The keys that tokens are signed with: of a PEM file, a JSON Web Key Set (RFC 7517), or a shared secret.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Keys of one set that are looked at.
const KEYS_MAX: usize = 100;

/// The shortest secret, in bytes: a shorter one can be guessed from one token.
const SECRET_MIN: usize = 16;

/// The bytes of a secret that is as good as the signature (RFC 7518 §3.2).
const SECRET_GOOD: usize = 32;

/// Bits of an RSA key's modulus; with fewer the key can be found (RFC 7518 §3.3).
const RSA_MIN: usize = 2048;

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: a secret that both share.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2,048 bits or more.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The algorithm of this name (RFC 7518 §3.1).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    pub(super) fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::HS256 => Some(Self::Hs256),
            Algorithm::RS256 => Some(Self::Rs256),
            Algorithm::ES256 => Some(Self::Es256),
            Algorithm::EdDSA => Some(Self::EdDsa),
            _ => None,
        }
    }
}

impl From<JwtAlgorithm> for Algorithm {
    fn from(algorithm: JwtAlgorithm) -> Self {
        match algorithm {
            JwtAlgorithm::Hs256 => Self::HS256,
            JwtAlgorithm::Rs256 => Self::RS256,
            JwtAlgorithm::Es256 => Self::ES256,
            JwtAlgorithm::EdDsa => Self::EdDSA,
        }
    }
}

/// Why there are no keys, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadKeys(pub String);

fn bad(reason: impl Into<String>) -> BadKeys {
    BadKeys(reason.into())
}

struct Key {
    id: Option<String>,
    algorithm: JwtAlgorithm,
    key: DecodingKey,
    mark: KeyMark,
}

impl Key {
    fn new(id: Option<String>, algorithm: JwtAlgorithm, key: DecodingKey) -> Self {
        Self { id, algorithm, mark: KeyMark::of(algorithm, &key), key }
    }
}

/// By what a key is known again when the set was read anew: its hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyMark([u8; 32]);

impl KeyMark {
    fn of(algorithm: JwtAlgorithm, key: &DecodingKey) -> Self {
        let mut hash = Sha256::new_with_prefix(format!("{algorithm:?}:"));
        match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => hash.update(bytes),
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                hash.update(e.len().to_be_bytes());
                hash.update(e);
                hash.update(n);
            }
        }
        Self(hash.finalize().into())
    }
}

impl std::fmt::Debug for KeyMark {
    /// Leaves it out: secrets can be guessed from their hashes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMark")
    }
}

/// A key that a token may be of.
pub(super) struct Candidate {
    pub(super) key: DecodingKey,
    pub(super) mark: KeyMark,
}

/// Keys, each for one algorithm and no other.
pub struct KeySet(Vec<Key>);

impl std::fmt::Debug for KeySet {
    /// Leaves out the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| (key.algorithm, &key.id))).finish()
    }
}

impl KeySet {
    /// Reads a key file: public keys in PEM, a JSON Web Key Set or a key of one, or else a secret as it is written there.
    ///
    /// # Errors
    /// [`BadKeys`], with what to do.
    pub fn of_file(content: &[u8]) -> Result<Self, BadKeys> {
        let text = std::str::from_utf8(content).unwrap_or_default().trim_start();
        if text.starts_with("-----BEGIN ") {
            Self::of_pem(text)
        } else if text.starts_with('{') {
            Self::of_jwks(content, true)
        } else {
            let secret = content.strip_suffix(b"\n").unwrap_or(content);
            let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
            Self::of_secret(secret)
        }
    }

    fn of_secret(secret: &[u8]) -> Result<Self, BadKeys> {
        if secret.len() < SECRET_MIN {
            return Err(bad(format!("the secret has {} bytes: it needs 32", secret.len())));
        }
        if secret.len() < SECRET_GOOD {
            tracing::warn!(
                "the secret of the tokens is shorter than 32 bytes: choose a longer one (RFC 7518)"
            );
        }
        let key = DecodingKey::from_secret(secret);
        Ok(Self(vec![Key::new(None, JwtAlgorithm::Hs256, key)]))
    }

    fn of_pem(text: &str) -> Result<Self, BadKeys> {
        let mut keys = Vec::new();
        for block in text.split("-----BEGIN ").skip(1).take(KEYS_MAX) {
            let label = block.split("-----").next().unwrap_or_default();
            if label.contains("PRIVATE") {
                return Err(bad("it holds a private key: this server needs the public one only"));
            }
            if label == "CERTIFICATE" {
                return Err(bad(
                    "it holds a certificate: write out its public key (openssl x509 -pubkey -noout)",
                ));
            }
            let pem = format!("-----BEGIN {block}");
            let pem = pem.as_bytes();
            let (algorithm, key) = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
                (JwtAlgorithm::Rs256, key)
            } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
                (JwtAlgorithm::Es256, key)
            } else if let Ok(key) = DecodingKey::from_ed_pem(pem) {
                (JwtAlgorithm::EdDsa, key)
            } else {
                return Err(bad(format!(
                    "its {label} can't be read: an RSA, P-256 or Ed25519 public key is needed"
                )));
            };
            if algorithm == JwtAlgorithm::Es256 && key.try_get_as_bytes().is_ok_and(|key| key.len() != 65) {
                return Err(bad("its key is on another curve than P-256, which ES256 needs"));
            }
            if algorithm == JwtAlgorithm::Rs256
                && let bits = modulus_bits(&key)
                && bits < RSA_MIN
            {
                return Err(bad(format!("its RSA key has {bits} bits: it needs {RSA_MIN} (RFC 7518)")));
            }
            keys.push(Key::new(None, algorithm, key));
        }
        Ok(Self(keys))
    }

    /// Reads a JSON Web Key Set. Keys that can't be used here are left out; secrets are, where the set is `private`.
    pub(super) fn of_jwks(content: &[u8], private: bool) -> Result<Self, BadKeys> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let json: Value =
            serde_json::from_slice(content).map_err(|error| bad(format!("it is no JSON: {error}")))?;
        let keys = if json.get("kty").is_some() {
            vec![json]
        } else {
            let set = Set::deserialize(json)
                .map_err(|_| bad("it is no JSON Web Key Set: it has no list of keys"))?;
            set.keys
        };
        let keys: Vec<Key> = keys
            .into_iter()
            .take(KEYS_MAX)
            .filter_map(|key| usable(&serde_json::from_value(key).ok()?, private))
            .collect();
        if keys.is_empty() {
            return Err(bad(
                "it has no key for HS256 (in a file), RS256 (of 2048 bits or more), ES256 or EdDSA",
            ));
        }
        Ok(Self(keys))
    }

    /// The keys that a token may be of.
    pub(super) fn find(&self, algorithm: JwtAlgorithm, id: Option<&str>) -> Vec<Candidate> {
        let fits = |key: &&Key| {
            let named = match (&key.id, id) {
                (Some(known), Some(id)) => known == id,
                _ => true,
            };
            key.algorithm == algorithm && named
        };
        let candidate = |key: &Key| Candidate { key: key.key.clone(), mark: key.mark };
        self.0.iter().filter(fits).map(candidate).collect()
    }

    pub(super) fn has(&self, mark: &KeyMark) -> bool {
        self.0.iter().any(|key| key.mark == *mark)
    }

    /// Whether all of these are in the other, too.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|key| other.has(&key.mark))
    }

    /// The algorithms that there are keys for.
    #[must_use]
    pub fn algorithms(&self) -> Vec<JwtAlgorithm> {
        JwtAlgorithm::ALL
            .into_iter()
            .filter(|algorithm| self.0.iter().any(|key| key.algorithm == *algorithm))
            .collect()
    }
}

fn usable(jwk: &Jwk, private: bool) -> Option<Key> {
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (JwtAlgorithm::Rs256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (JwtAlgorithm::Es256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (JwtAlgorithm::EdDsa, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::OctetKey(_) if private => (JwtAlgorithm::Hs256, KeyAlgorithm::HS256),
        _ => return None,
    };
    if common.key_algorithm.as_ref().is_some_and(|it| *it != name) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    if algorithm == JwtAlgorithm::Hs256 && key.try_get_as_bytes().map_or(0, <[u8]>::len) < SECRET_MIN {
        return None;
    }
    if algorithm == JwtAlgorithm::Rs256 && modulus_bits(&key) < RSA_MIN {
        tracing::warn!(kid = common.key_id, "an RSA key of fewer than 2048 bits is not used (RFC 7518)");
        return None;
    }
    Some(Key::new(common.key_id.clone(), algorithm, key))
}

/// How long the modulus of an RSA key is; 0 for what is none.
fn modulus_bits(key: &DecodingKey) -> usize {
    let modulus = match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => modulus_of(der).unwrap_or_default(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n,
    };
    let modulus = &modulus[modulus.iter().take_while(|byte| **byte == 0).count()..];
    modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize)
}

/// The modulus of an RSAPublicKey (RFC 8017 §A.1.1): the first integer of a sequence.
fn modulus_of(der: &[u8]) -> Option<&[u8]> {
    let (sequence, _) = der_value(der, 0x30)?;
    der_value(sequence, 0x02).map(|(modulus, _)| modulus)
}

/// A value of DER with this tag, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (header, rest) = der.split_first_chunk::<2>()?;
    if header[0] != tag {
        return None;
    }
    // From 128 on the low bits say in how many bytes the length follows.
    let (length, rest) = match header[1] {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (length, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (
                length
                    .iter()
                    .try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()))?,
                rest,
            )
        }
    };
    rest.split_at_checked(length)
}
