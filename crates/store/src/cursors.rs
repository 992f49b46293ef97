//! Cursors: up to where a user has got and read a conversation.

use std::sync::Arc;

use mqttchat_protocol::{Conversation, Dest, Entry, UserId};

use crate::{Store, StoreError, on_backend};

/// How far one user is in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Who.
    pub user: UserId,
    /// The newest `seq` that one of their clients has confirmed; private conversations only, else 0.
    pub delivered: u64,
    /// The newest `seq` that they have read.
    pub read: u64,
}

/// A private conversation with something that its user hasn't got yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Which.
    pub conversation: Conversation,
    /// Up to where they have it.
    pub delivered: u64,
    /// Its newest `seq`.
    pub head: u64,
}

/// A cursor that has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whose.
    pub user: UserId,
    /// In which conversation.
    pub conversation: Conversation,
    /// Of a delivered cursor, where it stood before; `None`: it is a read cursor.
    pub after: Option<u64>,
    /// Where it stood then.
    pub upto: u64,
}

/// What of a store one could see at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(pub(crate) Box<str>);

/// A line of a user's list of conversations (docs/protocol.md §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationSummary {
    /// Which.
    pub conversation: Conversation,
    /// As this user names it.
    pub dest: Dest,
    /// What to show: a partner's name, a room's title; `None` for the public one.
    pub title: Option<Arc<str>>,
    /// Its newest `seq`, 0 when it is empty.
    pub head: u64,
    /// Up to where the user has read it.
    pub read: u64,
    /// Up to where the user has got it; private conversations only, else 0.
    pub delivered: u64,
    /// Its newest entry.
    pub last: Option<Entry>,
}

impl Store {
    /// Moves a user's delivered cursor of a private conversation forward to `seq`, at most to the head. If it moved, says
    /// where it stood before: of all that move it, at the same moment too, each entry passed is in one's interval only.
    /// It never moves back. A conversation without an entry, or not theirs, has no cursor to move.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn set_delivered(
        &self,
        user: &UserId,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<Option<u64>, StoreError> {
        on_backend!(self, backend => backend.set_delivered(user, conversation, seq).await)
    }

    /// Moves a user's read cursor forward to `seq`, at most to the head. If it moved, says where it stands now. It never
    /// moves back.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn set_read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<Option<u64>, StoreError> {
        on_backend!(self, backend => backend.set_read(user, conversation, seq).await)
    }

    /// The cursors that other nodes have moved since a moment, in the order in which each did, and the present moment;
    /// without one, only that. From one moment to the next nothing is missed and nothing comes twice. They are
    /// remembered for a minute ([`Store::forget_moves`]). Not those of the public conversation, and none where no
    /// other node writes ([`Store::is_shared`]). A node's are those of a store that [`Store::acquire_node`] had given it.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn moves_since(&self, since: Option<&Moment>) -> Result<(Moment, Vec<Moved>), StoreError> {
        match &*self.backend {
            crate::Backend::Sqlite(_) => Ok((Moment(Box::default()), Vec::new())),
            crate::Backend::Postgres(backend) => backend.moves_since(since).await,
        }
    }

    /// Forgets moves of cursors that are older than a minute. To be called now and then.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn forget_moves(&self) -> Result<(), StoreError> {
        match &*self.backend {
            crate::Backend::Sqlite(_) => Ok(()),
            crate::Backend::Postgres(backend) => backend.forget_moves().await,
        }
    }

    /// The cursors of everybody who has one in a conversation; of a private one that of each user in it. Ordered by
    /// user id.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn cursors(&self, conversation: &Conversation) -> Result<Vec<Cursor>, StoreError> {
        on_backend!(self, backend => backend.cursors(conversation).await)
    }

    /// The private conversations whose head is above the user's delivered cursor; with `since`, also those whose newest
    /// entry has a position above that, delivered or not.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn undelivered(
        &self,
        user: &UserId,
        since: Option<u64>,
    ) -> Result<Vec<Undelivered>, StoreError> {
        on_backend!(self, backend => backend.undelivered(user, since).await)
    }

    /// What a user has not read of their private conversations and of the rooms that they belong to: messages of others,
    /// not deleted, above their read cursor and above what they wrote there last. Counted among the newest 1,000
    /// entries of each; those where it is above 0.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn unread(&self, user: &UserId) -> Result<Vec<(Conversation, u64)>, StoreError> {
        on_backend!(self, backend => backend.unread(user).await)
    }

    /// The user's conversations: the public one, their private ones, and the rooms that they belong to. Ordered
    /// by dest as text, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn conversations(
        &self,
        user: &UserId,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<ConversationSummary>, StoreError> {
        on_backend!(self, backend => backend.conversations(user, after, limit).await)
    }
}
