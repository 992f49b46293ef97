//! The log: appending entries and reading them again (docs/mqtt.md "The way of one message").

use std::sync::Arc;

use mqttchat_protocol::{Conversation, Entry, EntryKind, MessageId, Party, RoomChange, RoomId};
use tokio::sync::oneshot;

use crate::content::same_content;
use crate::{Change, Store, StoreError, on_backend};

/// What is to be appended. The store gives it `seq`, `time` and `position`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// Where.
    pub conversation: Conversation,
    /// What it says.
    pub kind: EntryKind,
    /// The author's id for it; together with `from` what it is known by.
    pub id: MessageId,
    /// The author.
    pub from: Party,
    /// The author's name now.
    pub name: Arc<str>,
    /// Its content, a compact JSON object. Its size is the caller's to bound.
    ///
    /// To that of an edit, delete or react the store adds `seq`, its target's; to that of a room entry `room`, the
    /// room as the change leaves it, or as it was when it is deleted. [`Appended::entry`] has them.
    pub data: Box<str>,
    /// What it changes; for every kind but [`EntryKind::Msg`].
    pub change: Option<Change>,
    /// Where it came in from MQTT, for what strangers publish.
    pub ingest: Option<IngestMark>,
}

impl NewEntry {
    /// A room's id and what is to change about it.
    pub(crate) fn room_change(&self) -> Option<(&RoomId, &RoomChange)> {
        match (&self.conversation, &self.change) {
            (Conversation::Room(id), Some(Change::Room(change))) => Some((id, change)),
            _ => None,
        }
    }

    /// The entry that it has become. `data`: where it isn't this one's.
    pub(crate) fn into_entry(self, seq: u64, time: u64, position: u64, data: Option<Box<str>>) -> Entry {
        let Self { conversation, kind, id, from, name, data: own, change: _, ingest: _ } = self;
        let data = data.unwrap_or(own);
        Entry { conversation, seq, time, kind, id, from, name, data, marks: None, position }
    }

    /// What it weighs in the writer's queue, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.data.len() + self.name.len() + self.id.as_str().len() + 256
    }

    /// Whether its author can write there at all, as far as the names tell: a private conversation has to be their
    /// own, and a stranger on the broker can't be written to.
    pub(crate) fn may_address(&self) -> bool {
        match &self.conversation {
            Conversation::Pair(one, other) if *one == self.from => !other.is_foreign(),
            Conversation::Pair(one, other) if *other == self.from => !one.is_foreign(),
            Conversation::Pair(..) => false,
            Conversation::Public | Conversation::Room(_) => true,
        }
    }

    /// Whether it is the same again as another new one of its author, whatever their ids.
    pub(crate) fn is_same_new(&self, first: &Self) -> bool {
        self.kind == first.kind
            && self.conversation == first.conversation
            && same_content(&first.data, &self.data)
    }
}

/// Which QoS 1 publish of the ingest client an entry came from. It is remembered in the entry's transaction:
/// when that publish comes again after a crash between commit and PUBACK, it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestMark {
    /// The broker session's generation, of [`Store::ingest_session`].
    pub session: u64,
    /// The packet id.
    pub packet: u16,
    /// Whether it came with the DUP flag. If so, and the last publish of that session and packet id had the same
    /// sender, conversation and content, it is taken as that one whatever its `id`, and nothing is stored.
    pub redelivered: bool,
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The entry as it stands in the log.
    pub entry: Arc<Entry>,
    /// Whether this append stored it. `false`: it came again, and this is the first.
    pub fresh: bool,
    /// For a fresh private entry: where its author's delivered cursor stood, if the entry moved it over others (those
    /// above this and below the entry are delivered by it; nobody else is told so). `None` when there were none.
    pub delivered_before: Option<u64>,
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The sender has used this id for something else.
    #[error("this message id was used for another message")]
    IdConflict,
    /// There is no such room, or it is closed to them, or there is no such user to write to.
    #[error("there is no such conversation")]
    NotFound,
    /// Somebody who is to belong to a room is no user.
    #[error("there is no such user")]
    NoSuchUser,
    /// An operator has locked its author out.
    #[error("its author is blocked")]
    Blocked,
    /// They may not do that; a sentence for them.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The message that it is about isn't there, or it isn't clear which is meant; a sentence for them.
    #[error("{0}")]
    BadTarget(&'static str),
    /// It can't be done as things stand; a sentence for them.
    #[error("{0}")]
    Conflict(&'static str),
    /// The store couldn't commit; it may or may not be stored. The same id can be tried again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

impl From<&StoreError> for AppendError {
    fn from(error: &StoreError) -> Self {
        Self::Unavailable(match error {
            StoreError::Unavailable(reason) => reason.clone(),
            other => other.to_string(),
        })
    }
}

/// A conversation that has got longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedHead {
    /// Which.
    pub conversation: Conversation,
    /// Its newest `seq`.
    pub head: u64,
    /// The position of its newest entry.
    pub position: u64,
}

/// What is called with an append's outcome: see [`Store::submit`].
pub type Done = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

/// The bytes of a page's data, entry by entry.
#[derive(Debug)]
pub(crate) struct Weight {
    left: usize,
    count: usize,
}

impl Weight {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: bytes, count: 0 }
    }

    /// Counts one more; true when the page ends behind it.
    pub(crate) fn is_full_with(&mut self, entry: &Entry) -> bool {
        self.left = self.left.saturating_sub(entry.data.len());
        self.count += 1;
        self.left == 0 && self.count > 1
    }
}

impl Store {
    /// Takes a place in the writer's queue for `entry`. Returns when it has one, not when it is stored; waits while
    /// the queue is full (8 MiB, which is at most 32,768 entries), which slows down whoever writes.
    ///
    /// Places are given in order: what one task submits is appended in the order in which it submits.
    ///
    /// `done` is called exactly once, in commit order, after the commit is on disk or has failed. It runs on the
    /// writer's thread and must not block: everybody's commits wait for it.
    ///
    /// The same id again from the same sender, with the same kind, conversation and content (as JSON: the order of
    /// members and the spelling of numbers don't count) is answered with the first entry; with anything else it is
    /// refused as [`AppendError::IdConflict`]. That comes before anything else is checked. Content that is deleted
    /// can't be compared: the same kind and conversation are the same then. A private entry moves its author's
    /// delivered cursor.
    ///
    /// What an entry changes ([`NewEntry::change`]) is changed in its own transaction, and who may do it is looked at there.
    ///
    /// Cancel safety: dropped before it returns, nothing is appended and `done` is dropped without being called.
    pub async fn submit(&self, entry: NewEntry, done: Done) {
        on_backend!(self, backend => backend.submit(entry, done).await);
    }

    /// [`Store::submit`], waiting for the outcome.
    ///
    /// Cancel safety: dropped, the entry may or may not be appended; the same id can be sent again.
    ///
    /// # Errors
    /// [`AppendError`]; nothing is stored then, but for [`AppendError::Unavailable`], which can't say.
    pub async fn append(&self, entry: NewEntry) -> Result<Appended, AppendError> {
        let (sender, outcome) = oneshot::channel();
        // Nobody waits any more: the outcome is for nobody.
        self.submit(entry, Box::new(move |result| drop(sender.send(result)))).await;
        outcome.await.unwrap_or_else(|_| Err(AppendError::Unavailable("the writer has stopped".into())))
    }

    /// The newest `seq` of a conversation; 0 when it has no entry.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn head(&self, conversation: &Conversation) -> Result<u64, StoreError> {
        let heads = self.heads(std::slice::from_ref(conversation)).await?;
        Ok(heads.first().copied().unwrap_or(0))
    }

    /// The newest `seq` of each, in the same order; 0 where there is no entry. All of one moment.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn heads(&self, conversations: &[Conversation]) -> Result<Vec<u64>, StoreError> {
        on_backend!(self, backend => backend.heads(conversations).await)
    }

    /// The conversations whose newest entry has a position above `after_position`, in the order of those positions, at
    /// most `limit`.
    ///
    /// Where other nodes write the same store ([`Store::is_shared`]), a position may become visible after a higher one:
    /// the higher one's commit was quicker. So a caller who asks again and again goes on from where it was some
    /// seconds ago, not from the highest position that it has seen.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn changed_heads(
        &self,
        after_position: u64,
        limit: u64,
    ) -> Result<Vec<ChangedHead>, StoreError> {
        on_backend!(self, backend => backend.changed_heads(after_position, limit).await)
    }

    /// The highest position there is; 0 in an empty log.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn newest_position(&self) -> Result<u64, StoreError> {
        on_backend!(self, backend => backend.newest_position().await)
    }

    /// The entries above `after`, oldest first, at most `limit`. `seq` is consecutive.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn entries_after(
        &self,
        conversation: &Conversation,
        after: u64,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        on_backend!(self, backend => backend.entries_after(conversation, after, limit).await)
    }

    /// [`Store::entries_after`], ending early behind the entry with which their data reach so many `bytes`, but not with
    /// the first: so where it ends early, they are more than `bytes` or there is more than one.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn entries_after_within(
        &self,
        conversation: &Conversation,
        after: u64,
        limit: u64,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        on_backend!(self, backend => backend.entries_after_within(conversation, after, limit, bytes).await)
    }

    /// [`Store::entries_before`], bounded as [`Store::entries_after_within`] is: the oldest are left out.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn entries_before_within(
        &self,
        conversation: &Conversation,
        before: Option<u64>,
        limit: u64,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        on_backend!(self, backend => backend.entries_before_within(conversation, before, limit, bytes).await)
    }

    /// The newest entries below `before` (without it: the newest), oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn entries_before(
        &self,
        conversation: &Conversation,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        on_backend!(self, backend => backend.entries_before(conversation, before, limit).await)
    }

    /// The entry that its author knows by this id.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn entry_by_id(&self, from: &Party, id: &MessageId) -> Result<Option<Entry>, StoreError> {
        on_backend!(self, backend => backend.entry_by_id(from, id).await)
    }

    /// The lowest position that an append may have which was answered as [`AppendError::Unavailable`]: its commit is in
    /// doubt, or wasn't for long enough to say so. What is confirmed must not be said to reach it. Never blocks.
    #[must_use]
    pub fn doubted(&self) -> Option<u64> {
        match &*self.backend {
            // A commit that fails is not in the log.
            crate::Backend::Sqlite(_) => None,
            crate::Backend::Postgres(backend) => backend.doubted(),
        }
    }

    /// Waits until appends that were answered as unavailable turn out to be in the log, and gives their positions to
    /// `take`; until that has returned, they are [`Store::doubted`]. Cancel safe.
    pub async fn committed_late(&self, take: impl FnOnce(&[u64])) {
        match &*self.backend {
            crate::Backend::Sqlite(_) => std::future::pending().await,
            crate::Backend::Postgres(backend) => backend.committed_late(take).await,
        }
    }

    /// The entries that `node` appended after a position, in position order, at most `limit`. A node's entries
    /// are those that a store appended after its [`Store::acquire_node`] had given it that node.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn unconfirmed(
        &self,
        node: &str,
        after_position: u64,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        on_backend!(self, backend => backend.unconfirmed(node, after_position, limit).await)
    }

    /// The position up to which the broker has confirmed everything of `node`; 0 when nothing yet.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn confirmed(&self, node: &str) -> Result<u64, StoreError> {
        on_backend!(self, backend => backend.confirmed(node).await)
    }

    /// Remembers the position up to which the broker has confirmed everything of `node`. It never moves back.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn set_confirmed(&self, node: &str, position: u64) -> Result<(), StoreError> {
        on_backend!(self, backend => backend.set_confirmed(node, position).await)
    }

    /// The generation of the ingest client's broker session, for [`IngestMark::session`]: the same as before while
    /// the broker says session `present`, else the next, from which on no older mark counts.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn ingest_session(&self, present: bool) -> Result<u64, StoreError> {
        on_backend!(self, backend => backend.ingest_session(present).await)
    }
}
