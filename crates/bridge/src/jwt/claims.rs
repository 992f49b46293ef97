//! What a token says: who, for how long, and for what.

use std::fmt::Write as _;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use mqttchat_protocol::{DisplayName, RoomId, UserId};
use mqttchat_store::Scopes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::unauthorized;
use crate::auth::Denied;

/// The latest time that every JSON implementation holds exactly (RFC 8259 §6): the end of time.
const LATEST: u64 = (1 << 53) - 1;

/// Rooms that one token can be for.
const ROOMS_MAX: usize = 1000;

/// The claims that mean something here. `exp`, `nbf`, `iss` and `aud` are checked before anybody sees these.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    exp: serde_json::Number,
    iss: Option<String>,
    aud: Option<IgnoredAny>,
    name: Option<Value>,
    #[serde(default, deserialize_with = "said")]
    rooms: Option<Value>,
    #[serde(default, deserialize_with = "said")]
    rights: Option<Value>,
}

/// A claim that narrows what a token is for: `null` is said, too, and is no such thing as everything.
fn said<'de, D: Deserializer<'de>>(claim: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(claim).map(Some)
}

impl Claims {
    /// The `sub`, or where it has another form `u-` and 16 hex digits of its SHA-256 (docs/protocol.md §3).
    pub(super) fn user(&self) -> Option<UserId> {
        if self.sub.is_empty() {
            return None;
        }
        UserId::parse(&self.sub).or_else(|| {
            let mut id = "u-".to_owned();
            for byte in Sha256::digest(self.sub.as_bytes()).iter().take(8) {
                // Writing to a String can't fail.
                let _ = write!(id, "{byte:02x}");
            }
            UserId::parse(&id)
        })
    }

    /// Who vouches for the user. Never the same as for a guest or an API key.
    pub(super) fn issuer(&self) -> String {
        format!("jwt:{}", self.iss.as_deref().unwrap_or_default())
    }

    /// Whether it says for whom it is, in whatever form.
    pub(super) fn has_audience(&self) -> bool {
        self.aud.is_some()
    }

    /// The name that is shown, if it can be.
    pub(super) fn name(&self) -> Option<DisplayName> {
        self.name.as_ref().and_then(Value::as_str).and_then(DisplayName::parse)
    }

    /// When the token ends, Unix time in ms, for whoever forgives so many seconds.
    pub(super) fn expires(&self, leeway: u64) -> u64 {
        let seconds = self.exp.as_f64().unwrap_or_default().max(0.0) + leeway as f64;
        // Rounds to what can be said.
        ((seconds * 1000.0) as u64).min(LATEST)
    }

    /// `rights`: words, or one text of them. Words of others are none here.
    pub(super) fn scopes(&self) -> Result<Scopes, Denied> {
        let words: Vec<&str> = match &self.rights {
            None => return Ok(Scopes::ALL),
            Some(Value::String(words)) => words.split_whitespace().collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(unauthorized("the token's rights are no list of words")),
        };
        let has = |word: &str| words.contains(&word);
        Ok(Scopes { read: has("read"), write: has("write"), rooms: has("rooms"), admin: has("admin") })
    }

    /// `rooms`: the ids of those that the token is for.
    pub(super) fn rooms(&self) -> Result<Option<Arc<[RoomId]>>, Denied> {
        match &self.rooms {
            None => Ok(None),
            Some(Value::Array(ids)) if ids.len() <= ROOMS_MAX => {
                Ok(Some(ids.iter().filter_map(Value::as_str).filter_map(RoomId::parse).collect()))
            }
            Some(_) => Err(unauthorized("the token's rooms are no list of room ids, or too many")),
        }
    }
}

/// Why a token is no good, for whoever has it.
pub(super) fn refused(error: &ErrorKind) -> Denied {
    let reason = match error {
        ErrorKind::ExpiredSignature => "the token has expired; sign in with a fresh one",
        ErrorKind::ImmatureSignature => "the token is not good yet",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks one of sub, exp, iss or aud",
        ErrorKind::InvalidSignature => "the token's signature is not of a key that this server trusts",
        _ => "this is no token that can be read here",
    };
    unauthorized(reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(more: &Value) -> Claims {
        let mut claims = json!({"sub": "ann", "exp": 1000.5});
        let all = claims.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        serde_json::from_value(claims).unwrap()
    }

    #[test]
    fn users_of_any_sub() {
        let user = |sub: &str| claims(&json!({ "sub": sub })).user().map(|user| user.to_string());
        assert_eq!(user("ann-7"), Some("ann-7".to_owned()));
        // printf '%s' 'Ann@example.com' | sha256sum
        assert_eq!(user("Ann@example.com"), Some("u-e3535a54578d4c12".to_owned()));
        assert_ne!(user("auth0|1"), user("auth0|2"));
        assert_eq!(user(""), None);
    }

    #[test]
    fn issuers_are_never_the_servers_own() {
        assert_eq!(claims(&json!({"iss": "guest"})).issuer(), "jwt:guest");
        assert_eq!(claims(&json!({})).issuer(), "jwt:");
    }

    #[test]
    fn how_long_and_for_what() {
        assert_eq!(claims(&json!({})).expires(5), 1_005_500);
        assert_eq!(claims(&json!({"exp": 1e300})).expires(5), LATEST);
        assert_eq!(claims(&json!({"exp": i64::MAX})).expires(5), 9_007_199_254_740_991);
        let scopes = |rights: Value| claims(&json!({ "rights": rights })).scopes();
        assert_eq!(claims(&json!({})).scopes(), Ok(Scopes::ALL));
        assert_eq!(scopes(json!(["read", "fly"])), Ok(Scopes { read: true, ..Scopes::NONE }));
        assert_eq!(scopes(json!("read write")), Ok(Scopes { rooms: false, ..Scopes::ALL }));
        assert_eq!(scopes(json!([])), Ok(Scopes::NONE));
        for no_list in [json!(7), json!(null), json!(true), json!({"admin": true})] {
            assert!(scopes(no_list.clone()).is_err(), "{no_list}");
        }
        assert_eq!(scopes(json!([null, 7])), Ok(Scopes::NONE));
        let rooms = |rooms: Value| claims(&json!({ "rooms": rooms })).rooms();
        assert_eq!(rooms(json!(["ops", "No Room"])).unwrap().unwrap().len(), 1);
        assert_eq!(claims(&json!({})).rooms(), Ok(None));
        for no_list in [json!("ops"), json!(null), json!(7), json!({"ops": true})] {
            assert!(rooms(no_list.clone()).is_err(), "{no_list}");
        }
        assert_eq!(rooms(json!([null, 7])).unwrap().unwrap().len(), 0, "for none");
        assert!(rooms(json!(vec!["a"; 1001])).is_err());
    }
}
