//! What an application does with messages on their way: routes (docs/toolkit.md).

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mqttchat_protocol::{Conversation, Dest, Entry, EntryKind, MessageId, Party};
use mqttchat_store::{NewEntry, Store, StoreError};

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the next route, and after the last one into the log.
    Pass,
    /// It goes on, and when it is in the log, the same stands in this conversation too, from the same author and so with
    /// the author's rights, under an id made from its own: sent again, it is there once. The author gets the 100 when
    /// both are stored. Copies pass no routes. For an edit it is the same as [`Verdict::Pass`].
    Also(Dest),
    /// It goes nowhere; its author is told this sentence, as `forbidden`.
    Stop(String),
}

/// A link of the chain that every message and every edit passes before it is appended, wherever it came from: a
/// session, the HTTP API, the broker.
///
/// A closure `Fn(&Message) -> Verdict` is a route, too.
///
/// ```
/// use mqttchat_bridge::{Message, Verdict};
///
/// let no_shouting = |message: &Message<'_>| match message.text() {
///     Some(text) if text.len() > 3 && text == text.to_uppercase() => Verdict::Stop("don't shout".to_owned()),
///     _ => Verdict::Pass,
/// };
/// # fn is_route(_: impl mqttchat_bridge::Route) {}
/// # is_route(no_shouting);
/// ```
pub trait Route: Send + Sync + 'static {
    /// Decides about a message. Whoever sends waits for it, so it should be quick; above [`Route::patience`] the message
    /// goes on without it. Dropped then, at any await.
    fn route<'a>(&'a self, _message: &'a Message<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(std::future::ready(Verdict::Pass))
    }

    /// Called for each entry that this node has put into the log, after it was put before its readers. Calls run side by
    /// side, at most 1,000 of them, for at most 10 minutes each; 1,000 more wait, and what comes when these places
    /// are taken is counted (`mqttchat_route_dropped_total`) and left out. A crash ends it: what has to happen in
    /// any case is done from the log, as the webhook does.
    fn post_process(&self, _stored: Stored) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// How long [`Route::route`] may take. One that took longer is left out for 10 s, so that the chat goes on.
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// What counts for a message that this route took too long for, panicked at, or is left out for.
    fn when_failed(&self) -> Verdict {
        Verdict::Pass
    }
}

impl<F> Route for F
where
    F: Fn(&Message<'_>) -> Verdict + Send + Sync + 'static,
{
    fn route<'a>(&'a self, message: &'a Message<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(std::future::ready(self(message)))
    }
}

/// A message, or an edit of one, before it is appended.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    entry: &'a NewEntry,
}

impl<'a> Message<'a> {
    /// `None` for what no route is asked about.
    pub(crate) fn of(entry: &'a NewEntry) -> Option<Self> {
        is_routed(entry.kind).then_some(Self { entry })
    }

    /// `Msg` or `Edit`.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.entry.kind
    }

    /// Its author's id for it.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.entry.id
    }

    /// Who says it; not somebody else, but maybe somebody who may not say it there: that is seen to later.
    #[must_use]
    pub fn from(&self) -> &Party {
        &self.entry.from
    }

    /// The author's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Where, as the author calls it.
    #[must_use]
    pub fn dest(&self) -> Dest {
        self.entry.conversation.dest_for(&self.entry.from)
    }

    /// Its content, a JSON object.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.entry.data
    }

    /// `data.text`, where there is one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Data {
            text: String,
        }
        serde_json::from_str::<Data>(&self.entry.data).ok().map(|data| data.text)
    }
}

/// Whether routes are asked about it: it has a text of its author.
pub(crate) fn is_routed(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Msg | EntryKind::Edit)
}

/// A message or an edit that is in the log.
#[derive(Clone, Debug)]
pub struct Stored {
    entry: Arc<Entry>,
    store: Store,
}

impl Stored {
    pub(crate) fn new(entry: Arc<Entry>, store: Store) -> Self {
        Self { entry, store }
    }

    /// What stands there.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Whether the other party of a private conversation has got it: one of their clients has sent 200 for it or for a
    /// later one. Where there is nobody to get it (public, rooms, notes to oneself), it is as good as delivered.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn is_delivered(&self) -> Result<bool, StoreError> {
        is_delivered(&self.store, &self.entry).await
    }
}

/// See [`Stored::is_delivered`].
pub(crate) async fn is_delivered(store: &Store, entry: &Entry) -> Result<bool, StoreError> {
    let Conversation::Pair(one, other) = &entry.conversation else { return Ok(true) };
    let reader = if *one == entry.from { other } else { one };
    if *reader == entry.from || reader.is_foreign() {
        return Ok(true);
    }
    let cursors = store.cursors(&entry.conversation).await?;
    Ok(cursors.iter().any(|cursor| *reader == cursor.user && cursor.delivered >= entry.seq))
}
