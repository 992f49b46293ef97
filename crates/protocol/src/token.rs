//! Guest tokens (§3): who somebody is, signed by the installation.

use crate::{Keyring, UserId};

/// What a guest's token says: `mc1.<key id>.<user>.<serial>.<signature>`.
///
/// It does not expire; an operator makes a new one with the next `serial`, which ends the older ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub user: UserId,
    /// Which of the user's tokens: older serials than the user's present one are no longer valid.
    pub serial: u64,
}

/// Why a token isn't one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token was not issued by this server")]
pub struct TokenError;

const VERSION: &str = "mc1";

impl Token {
    /// Signs it with the newest key.
    #[must_use]
    pub fn issue(&self, keys: &Keyring) -> String {
        let body = format!("{}.{}", self.user, self.serial);
        let (key_id, sign) = keys.sign_token(body.as_bytes());
        format!("{VERSION}.{key_id}.{body}.{sign}")
    }

    /// Parses a token and checks its signature.
    ///
    /// # Errors
    /// [`TokenError`] when it has another form or another signature.
    pub fn verify(text: &str, keys: &Keyring) -> Result<Self, TokenError> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(TokenError);
        let (version, key_id, user, serial, sign) = (part()?, part()?, part()?, part()?, part()?);
        if version != VERSION || parts.next().is_some() {
            return Err(TokenError);
        }
        let key_id = key_id.parse().map_err(|_| TokenError)?;
        let body = format!("{user}.{serial}");
        if !keys.verify_token(key_id, body.as_bytes(), sign) {
            return Err(TokenError);
        }
        let user = UserId::parse(user).ok_or(TokenError)?;
        Ok(Self { user, serial: serial.parse().map_err(|_| TokenError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_and_a_forged_one_does_not() {
        let keys = Keyring::new(&[(3, [9; 32])]);
        let token = Token { user: UserId::parse("ann").unwrap(), serial: 2 };
        let text = token.issue(&keys);
        assert_eq!(Token::verify(&text, &keys), Ok(token));
        assert!(Token::verify(&text.replace(".ann.", ".bob."), &keys).is_err());
        assert!(Token::verify(&text.replace(".2.", ".3."), &keys).is_err());
        assert!(Token::verify(&text.replace("mc1.3", "mc1.4"), &keys).is_err());
        assert!(Token::verify(&text, &Keyring::new(&[(3, [8; 32])])).is_err());
        for bad in ["", ".", "mc1", "mc1.3.ann.2", &format!("{text}.x"), &text[..text.len() - 1]] {
            assert!(Token::verify(bad, &keys).is_err(), "{bad}");
        }
    }
}
