//! Searching messages by their text (docs/protocol.md §4).
//!
//! Both backends index the same tokens: what a text comes to is decided here ([`tokens`]), so that the databases only
//! have to keep lists of where each token stands. A message's tokens end in some that say who wrote it and who may
//! read it, so that a search doesn't go through everybody's messages to find one's own.

mod query;
mod tokens;

use mqttchat_protocol::{Conversation, Entry, Party};
use serde_json::Value;

pub use query::Query;

use crate::content::parsed;
use crate::{Store, StoreError, on_backend};

impl Store {
    /// The newest messages that a query finds among those that a party may read: in public, in open rooms, in rooms that
    /// they belong to, in their own private conversations; or only in `conversation`, if they may read that. Newest
    /// first, at most `limit`, as they are now.
    ///
    /// A message is found about a second after its commit at the latest, unless more come in than can be indexed
    /// meanwhile; then when that is made up for.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn search(
        &self,
        party: &Party,
        query: &Query,
        conversation: Option<&Conversation>,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        on_backend!(self, backend => backend.search(party, query, conversation, limit).await)
    }
}

/// Where a message stands and whose it is, all by number: what it is found by beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) conversation: i64,
    pub(crate) sender: i64,
    /// The two of a private conversation.
    pub(crate) pair: Option<(i64, i64)>,
    pub(crate) room: bool,
}

/// Begins every token that is not of a text. Words never have it: it is no letter.
const MARK: char = '§';

pub(crate) fn of_conversation(number: i64) -> String {
    format!("{MARK}c{number}")
}

pub(crate) fn of_sender(number: i64) -> String {
    format!("{MARK}f{number}")
}

/// Who may read it: everybody, those in rooms, one party.
pub(crate) fn for_all() -> String {
    format!("{MARK}public")
}

pub(crate) fn for_rooms() -> String {
    format!("{MARK}room")
}

pub(crate) fn for_party(number: i64) -> String {
    format!("{MARK}p{number}")
}

/// What a message is indexed by, in order; `None` when it has no text. `data`: its data as it is now.
pub(crate) fn index_tokens(data: &str, place: Place) -> Option<Vec<String>> {
    let data = parsed(data)?;
    let text = data.get("text").and_then(Value::as_str).filter(|text| !text.is_empty())?;
    let mut tokens = tokens::of_text(text);
    tokens.push(of_conversation(place.conversation));
    tokens.push(of_sender(place.sender));
    match place.pair {
        Some((one, other)) => {
            tokens.push(for_party(one));
            if one != other {
                tokens.push(for_party(other));
            }
        }
        None if place.room => tokens.push(for_rooms()),
        None => tokens.push(for_all()),
    }
    Some(tokens)
}
