//! API keys: what programs show instead of a user's token. Only their hashes are kept.

use std::fmt;
use std::sync::Arc;

use mqttchat_protocol::{ApiSecret, DisplayName, UserId};

use crate::{Store, StoreError, on_backend};

/// Who vouches for the users that keys speak for.
pub(crate) const ISSUER: &str = "apikey";

/// How long a key's last use stays as it is written.
const USE_NOTED_FOR: u64 = 10 * 60 * 1000;

/// What a program with a key may do. Written as words: `read write`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// Reading what its user may read.
    pub read: bool,
    /// Sending messages.
    pub write: bool,
    /// Making rooms, changing them, and who belongs to them.
    pub rooms: bool,
    /// What an operator does: locking users out, and letting them in again.
    pub admin: bool,
}

impl Scopes {
    /// All that a user may do by themselves.
    pub const ALL: Self = Self { read: true, write: true, rooms: true, admin: false };

    /// Nothing.
    pub const NONE: Self = Self { read: false, write: false, rooms: false, admin: false };

    /// Parses words, at least one; `None` when one of them is no scope.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut scopes = Self::NONE;
        for word in text.split_whitespace() {
            *match word {
                "read" => &mut scopes.read,
                "write" => &mut scopes.write,
                "rooms" => &mut scopes.rooms,
                "admin" => &mut scopes.admin,
                _ => return None,
            } = true;
        }
        (scopes != Self::NONE).then_some(scopes)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words =
            [(self.read, "read"), (self.write, "write"), (self.rooms, "rooms"), (self.admin, "admin")];
        let words: Vec<&str> = words.into_iter().filter_map(|(has, word)| has.then_some(word)).collect();
        f.write_str(&words.join(" "))
    }
}

/// A key, but for its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its number.
    pub id: u64,
    /// What the operator calls it, and its user is called.
    pub name: Arc<str>,
    /// The user that it speaks for: one of its own.
    pub user: UserId,
    /// Whether an operator has locked that user out.
    pub blocked: bool,
    /// How often one has: see [`crate::User::blocks`].
    pub blocks: u64,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it was made, Unix time in ms.
    pub created: u64,
    /// When it was last used, Unix time in ms, to about ten minutes.
    pub used: Option<u64>,
    /// When it was revoked, Unix time in ms.
    pub revoked: Option<u64>,
}

impl ApiKey {
    /// Whether its use at this time is worth writing down.
    #[must_use]
    pub fn is_use_news(&self, now: u64) -> bool {
        self.used.is_none_or(|used| now.saturating_sub(used) >= USE_NOTED_FOR)
    }
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What it is called.
    pub name: DisplayName,
    /// What it may be used for.
    pub scopes: Scopes,
    /// Its secret, of which only the hash is kept.
    pub secret: ApiSecret,
}

impl NewApiKey {
    /// The id of its user, made from its name; `None` when the name has no letter or digit that can stand in one.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        let usable = self.name.as_str().chars().any(|c| c.is_ascii_alphanumeric());
        usable.then(|| UserId::parse(&self.name.guest_id())).flatten()
    }
}

/// What became of making a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    /// It is there.
    Made(ApiKey),
    /// There is one of this name that isn't revoked.
    Exists,
    /// The user id that its name gives belongs to somebody else.
    UserTaken(UserId),
    /// No user id can be made from its name.
    NoUser,
}

impl Store {
    /// The key with this secret, unless it is revoked. Asked for every request: a revoked one is of no use any more.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn apikey(&self, secret: &ApiSecret) -> Result<Option<ApiKey>, StoreError> {
        on_backend!(self, backend => backend.apikey(&secret.hash()).await)
    }

    /// Those of these keys that are revoked, by their numbers.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn revoked_apikeys(&self, among: &[u64]) -> Result<Vec<u64>, StoreError> {
        on_backend!(self, backend => backend.revoked_apikeys(among).await)
    }

    /// Notes that a key was used just now.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn use_apikey(&self, id: u64) -> Result<(), StoreError> {
        on_backend!(self, backend => backend.use_apikey(id).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        assert_eq!(Scopes::parse("rooms read"), Some(Scopes { write: false, ..Scopes::ALL }));
        assert_eq!(Scopes::parse("admin"), Some(Scopes { admin: true, ..Scopes::NONE }));
        assert_eq!(Scopes::ALL.to_string(), "read write rooms");
        assert_eq!(Scopes::parse(&Scopes::ALL.to_string()), Some(Scopes::ALL));
        assert_eq!((Scopes::parse(""), Scopes::parse("read all")), (None, None));
    }

    #[test]
    fn a_use_is_news_every_ten_minutes() {
        let key = |used| ApiKey {
            id: 1,
            name: "Bot".into(),
            user: UserId::parse("bot").unwrap(),
            blocked: false,
            blocks: 0,
            scopes: Scopes::ALL,
            created: 0,
            used,
            revoked: None,
        };
        assert!(key(None).is_use_news(1000));
        assert!(!key(Some(1000)).is_use_news(600_999) && key(Some(1000)).is_use_news(601_000));
        assert!(!key(Some(1000)).is_use_news(10), "a clock that was set back");
    }

    #[test]
    fn its_user_is_made_of_its_name() {
        let user = |name: &str| {
            let (name, secret) = (DisplayName::parse(name).unwrap(), ApiSecret::random());
            NewApiKey { name, scopes: Scopes::ALL, secret }.user().map(|user| user.to_string())
        };
        assert_eq!(user("Deploy Bot").as_deref(), Some("deploy-bot"));
        assert_eq!(user("小明"), None, "an id by chance would be nobody's");
    }
}
