//! Who and where: user, party, room, message id and conversation as parsed values (§1).

use std::fmt;
use std::sync::Arc;

use crate::error::{ErrorCode, Refusal};

/// The longest user or room id, in bytes (§1).
const ID_MAX: usize = 64;

fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'a'..=b'z' | b'0'..=b'9'))
        && bytes.len() <= ID_MAX
        && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text of it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

/// A signed-in user's id: `[a-z0-9][a-z0-9_-]{0,63}`, safe as one MQTT topic level.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);
text_newtype!(UserId);

impl UserId {
    /// Parses an id; `None` when it has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.into()))
    }
}

/// Somebody who can be the author of an entry or the other side of a private conversation:
/// a user, or a stranger on the broker, written `mqtt:<name>`.
///
/// The colon can't stand in a [`UserId`], so a stranger is never taken for a user.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party(Arc<str>);
text_newtype!(Party);

impl Party {
    const FOREIGN: &str = "mqtt:";

    /// Parses a user id or `mqtt:<name>`; `None` when it has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text.strip_prefix(Self::FOREIGN).unwrap_or(text)).then(|| Self(text.into()))
    }

    /// The stranger who calls itself `name`; what can't stand in an id becomes `-`, and nothing usable `guest`.
    #[must_use]
    pub fn foreign(name: &str) -> Self {
        let id = crate::name::slug(name);
        Self(format!("{}{}", Self::FOREIGN, if id.is_empty() { "guest" } else { &id }).into())
    }

    /// The user behind it; `None` for a stranger.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        (!self.is_foreign()).then(|| UserId(self.0.clone()))
    }

    /// Whether this is a stranger on the broker.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.0.starts_with(Self::FOREIGN)
    }
}

impl From<&UserId> for Party {
    fn from(user: &UserId) -> Self {
        Self(user.0.clone())
    }
}

impl From<UserId> for Party {
    fn from(user: UserId) -> Self {
        Self(user.0)
    }
}

impl PartialEq<UserId> for Party {
    fn eq(&self, other: &UserId) -> bool {
        self.0 == other.0
    }
}

/// A room's id; the form of a user id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);
text_newtype!(RoomId);

impl RoomId {
    /// Parses an id; `None` when it has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.into()))
    }
}

/// A message id: 1 to 64 printable ASCII characters, chosen by the sender, its idempotency key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Arc<str>);
text_newtype!(MessageId);

impl MessageId {
    /// Parses an id; `None` when it has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        ((1..=64).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b)))
            .then(|| Self(text.into()))
    }
}

/// A conversation as one of its parties names it: `public`, `rooms/<room>`, `private/<the other>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dest {
    /// Everybody.
    Public,
    /// A room.
    Room(RoomId),
    /// The other party of a private conversation.
    Private(Party),
}

impl Dest {
    /// Parses a conversation name.
    ///
    /// # Errors
    /// `bad_dest` with a sentence on what it should look like.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let dest = match text.split_once('/') {
            None if text == "public" => Some(Self::Public),
            Some(("rooms", room)) => RoomId::parse(room).map(Self::Room),
            Some(("private", party)) => Party::parse(party).map(Self::Private),
            _ => None,
        };
        dest.ok_or_else(|| {
            Refusal::new(ErrorCode::BadDest, "dest must be public, rooms/<room id> or private/<user id>")
        })
    }

    /// The conversation that `viewer` means by this name.
    #[must_use]
    pub fn seen_by(&self, viewer: &Party) -> Conversation {
        match self {
            Self::Public => Conversation::Public,
            Self::Room(room) => Conversation::Room(room.clone()),
            Self::Private(other) => Conversation::pair(viewer.clone(), other.clone()),
        }
    }
}

impl fmt::Display for Dest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Room(room) => write!(f, "rooms/{room}"),
            Self::Private(party) => write!(f, "private/{party}"),
        }
    }
}

impl serde::Serialize for Dest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A conversation as the log knows it, the same for everybody in it: one log, one `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Conversation {
    /// Everybody.
    Public,
    /// A room.
    Room(RoomId),
    /// Two parties, the smaller first; twice the same: notes to oneself. Made by [`Conversation::pair`].
    Pair(Party, Party),
}

impl Conversation {
    /// The private conversation of two parties, whoever is named first.
    #[must_use]
    pub fn pair(one: Party, other: Party) -> Self {
        if one <= other { Self::Pair(one, other) } else { Self::Pair(other, one) }
    }

    /// Parses what [`fmt::Display`] writes: `public`, `rooms/<room>`, `pair/<a>/<b>`.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        match key.split_once('/') {
            None if key == "public" => Some(Self::Public),
            Some(("rooms", room)) => RoomId::parse(room).map(Self::Room),
            Some(("pair", pair)) => {
                let (one, other) = pair.split_once('/')?;
                Some(Self::pair(Party::parse(one)?, Party::parse(other)?))
            }
            _ => None,
        }
    }

    /// How `viewer` names it. For somebody outside a pair, its first party.
    #[must_use]
    pub fn dest_for(&self, viewer: &Party) -> Dest {
        match self {
            Self::Public => Dest::Public,
            Self::Room(room) => Dest::Room(room.clone()),
            Self::Pair(one, other) => Dest::Private(if one == viewer { other.clone() } else { one.clone() }),
        }
    }

    /// Whether an entry by `from` can stand in it, as far as the name tells: one of a pair, anybody elsewhere.
    #[must_use]
    pub fn has(&self, party: &Party) -> bool {
        match self {
            Self::Pair(one, other) => one == party || other == party,
            Self::Public | Self::Room(_) => true,
        }
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Room(room) => write!(f, "rooms/{room}"),
            Self::Pair(one, other) => write!(f, "pair/{one}/{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_safe_topic_level() {
        for good in ["a", "0", "ann", "a-b_c", &"x".repeat(64)] {
            assert!(UserId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "Ann", "-a", "_a", "a.b", "a/b", "a+", "#", "$a", "ä", "a\0", "a b", &"x".repeat(65)]
        {
            assert!(UserId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_stranger_is_never_a_user() {
        assert_eq!(Party::foreign("Lamp 7").as_str(), "mqtt:lamp-7");
        assert_eq!(Party::foreign("+/#").as_str(), "mqtt:guest");
        assert!(Party::foreign("ann").user().is_none());
        assert!(UserId::parse("mqtt:ann").is_none());
        assert!(Party::parse("mqtt:mqtt:ann").is_none());
    }

    #[test]
    fn both_sides_of_a_pair_mean_the_same_log() {
        let (ann, bob) = (Party::parse("ann").unwrap(), Party::parse("bob").unwrap());
        let conversation = Dest::parse("private/bob").unwrap().seen_by(&ann);
        assert_eq!(conversation, Dest::parse("private/ann").unwrap().seen_by(&bob));
        assert_eq!(conversation.to_string(), "pair/ann/bob");
        assert_eq!(Conversation::parse("pair/bob/ann"), Some(conversation.clone()));
        assert_eq!(conversation.dest_for(&ann).to_string(), "private/bob");
        assert_eq!(conversation.dest_for(&bob).to_string(), "private/ann");
        let notes = Conversation::pair(ann.clone(), ann.clone());
        assert_eq!(notes.dest_for(&ann).to_string(), "private/ann");
    }

    #[test]
    fn dests_that_are_none() {
        for bad in
            ["", "Public", "public/", "public/x", "rooms", "rooms/", "rooms/A", "private/+", "private/a/b"]
        {
            assert_eq!(Dest::parse(bad).unwrap_err().code, ErrorCode::BadDest, "{bad}");
        }
    }

    #[test]
    fn message_ids_are_printable_ascii() {
        assert!(MessageId::parse("a b~!").is_some());
        for bad in ["", "\n", "ä", "\u{7f}", &"x".repeat(65)] {
            assert!(MessageId::parse(bad).is_none(), "{bad:?}");
        }
    }
}
