//! API keys: what a program shows instead of a user's token (docs/api.md).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What a key begins with: it tells keys from tokens, and lets programs that look for leaked secrets find it.
const PREFIX: &str = "mck_";

/// A key as it is shown once, when it is made: `mck_` and 32 random bytes in base64url.
///
/// What is kept of it is its hash. The bytes are random, so there is nothing to guess, and no need for a slow hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiSecret([u8; 32]);

impl ApiSecret {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Whether a text is meant to be a key, well formed or not.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Parses a key; `None` when it has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// What it is looked up by.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// The key itself, for the one who is to have it.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl std::fmt::Debug for ApiSecret {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_shown() {
        let key = ApiSecret::random();
        let text = key.reveal();
        assert_eq!((text.len(), ApiSecret::is_meant(&text)), (47, true));
        assert_eq!(ApiSecret::parse(&text), Some(key.clone()));
        assert_ne!(ApiSecret::random().hash(), key.hash());
        assert_eq!(format!("{key:?}"), "ApiSecret");
        for bad in ["", "mck_", &text[1..], &text[..46], &format!("{text}A"), "mc1.1.ann.1.x"] {
            assert_eq!(ApiSecret::parse(bad), None, "{bad}");
        }
    }
}
