//! From the store's commits to everybody: the one place where an entry becomes a frame.
//!
//! The store's writer only hands its results over here, in commit order. One task takes them: it serialises and signs
//! each entry once, puts it before the readers, answers the sender, and has it published.

use std::sync::{Arc, Mutex, PoisonError};

use mqttchat_protocol::{
    Conversation, Entry, EntryKind, ErrorCode, Frame, MessageId, Party, Refusal, ServerFrame, UserId,
};
use mqttchat_store::{AppendError, Appended, NewEntry};
use tokio::sync::{Notify, oneshot};

use crate::effect::Effect;
use crate::hub::Hub;
use crate::link::Link;
use crate::mail::Handle;
use crate::rooms;
use crate::sequencer::{Offered, Sequencer};

/// Who waits for an entry to be committed.
pub(crate) enum Origin {
    /// A session's message.
    Session(Arc<Handle>),
    /// Somebody in this program.
    Caller(oneshot::Sender<Result<Appended, NotTaken>>),
}

impl Origin {
    fn answer(self, id: MessageId, result: Result<Appended, NotTaken>) {
        match self {
            Self::Session(handle) => handle.answered(match &result {
                Ok(appended) if appended.entry.kind == EntryKind::Room => rooms::answer(&appended.entry),
                Ok(appended) => ServerFrame::Accepted { entry: &appended.entry }.to_frame(),
                Err(error) => error.refusal().re(Some(id)).to_frame(),
            }),
            // Whoever asked may have gone; the entry stands all the same.
            Self::Caller(caller) => drop(caller.send(result)),
        }
    }
}

/// Why an entry was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// A route of the application has stopped it, with this sentence for its author.
    #[error("stopped: {0}")]
    Stopped(String),
    /// The store has not appended it.
    #[error(transparent)]
    Store(#[from] AppendError),
}

impl NotTaken {
    /// What its author is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Stopped(reason) => Refusal::new(ErrorCode::Forbidden, reason.clone()),
            Self::Store(error) => refusal(error),
        }
    }
}

struct Committed {
    result: Result<Appended, AppendError>,
    id: MessageId,
    origin: Origin,
    /// The same for other conversations, to be stored before `origin` is answered.
    copies: Vec<NewEntry>,
}

impl Committed {
    /// Where something new was stored, if it was.
    fn conversation(&self) -> Option<&Conversation> {
        match &self.result {
            Ok(Appended { entry, fresh: true, .. }) => Some(&entry.conversation),
            _ => None,
        }
    }
}

/// What was committed and not delivered yet. Bounded by what sessions and callers may have on its way to the log.
#[derive(Default)]
pub(crate) struct Deliveries {
    waiting: Mutex<Vec<Committed>>,
    arrived: Notify,
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deliveries")
    }
}

impl Deliveries {
    fn push(&self, committed: Committed) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(committed);
        self.arrived.notify_one();
    }

    fn take(&self) -> Vec<Committed> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hub {
    /// Hands an entry to the store, past the application's routes. Waits while the store's queue is full; what is
    /// submitted is answered to `origin`.
    ///
    /// Not cancel safe: a dropped call may or may not have submitted it.
    pub(crate) async fn submit(self: Arc<Self>, entry: NewEntry, origin: Origin) {
        if self.options.routes.is_empty() {
            return self.append(entry, origin, Vec::new()).await;
        }
        let routed = async move {
            match self.options.routes.pass(&entry).await {
                Ok(copies) => self.append(entry, origin, copies).await,
                Err(reason) => origin.answer(entry.id, Err(NotTaken::Stopped(reason))),
            }
        };
        // Boxed: without routes nobody has room for it.
        Box::pin(routed).await;
    }

    async fn append(self: Arc<Self>, entry: NewEntry, origin: Origin, copies: Vec<NewEntry>) {
        let id = entry.id.clone();
        let hub = Arc::clone(&self);
        let done = move |result| hub.deliveries.push(Committed { result, id, origin, copies });
        self.store.submit(entry, Box::new(done)).await;
    }

    /// Appends what routes have made of an entry that is in the log. An author whose rights don't reach there is no
    /// reason to refuse the entry itself.
    ///
    /// # Errors
    /// When the store is away: then the author is to send the entry again, and what is there already stays one.
    async fn append_copies(self: &Arc<Self>, copies: Vec<NewEntry>) -> Result<(), AppendError> {
        for copy in copies {
            let conversation = copy.conversation.clone();
            let (caller, outcome) = oneshot::channel();
            self.clone().append(copy, Origin::Caller(caller), Vec::new()).await;
            match outcome.await {
                Ok(Ok(_)) => {}
                Ok(Err(NotTaken::Store(AppendError::Unavailable(reason)))) => {
                    return Err(AppendError::Unavailable(reason));
                }
                Ok(Err(error)) => {
                    tracing::warn!(%conversation, %error, "a route's copy of a message can't be stored there");
                }
                Err(_) => return Err(AppendError::Unavailable("the server stops".into())),
            }
        }
        Ok(())
    }

    /// Delivers what is committed, for as long as the node runs.
    pub(crate) async fn deliver(self: Arc<Self>) {
        loop {
            self.deliveries.arrived.notified().await;
            let batch = self.deliveries.take();
            let conversations = batch.iter().filter_map(|committed| committed.conversation());
            let secrets = self.secrets(conversations).await;
            for committed in batch {
                let bell = committed.conversation().is_some_and(|conversation| secrets.has(conversation));
                self.deliver_one(committed, bell);
            }
        }
    }

    fn deliver_one(self: &Arc<Self>, committed: Committed, bell: bool) {
        let Committed { result, id, origin, copies } = committed;
        if let Ok(Appended { entry, fresh: true, delivered_before }) = &result {
            self.figures.accepted.increment(1);
            let link = match &origin {
                Origin::Session(handle) => self.link_of(handle),
                Origin::Caller(_) => &self.link,
            };
            self.deliver_entry(entry, link, bell);
            self.options.routes.stored(entry, &self.store);
            if let (Some(before), Some(author)) = (*delivered_before, entry.from.user()) {
                self.answer_delivers(entry, author, before);
            }
        }
        if copies.is_empty() || result.is_err() {
            return origin.answer(id, result.map_err(NotTaken::from));
        }
        let hub = self.clone();
        // As many as messages may be on their way to the log.
        tokio::spawn(async move {
            let stored = hub.append_copies(copies).await;
            origin.answer(id, stored.and(result).map_err(NotTaken::from));
        });
    }

    /// Tells the authors of what stands before an answer that its author has got that.
    fn answer_delivers(self: &Arc<Self>, answer: &Entry, author: UserId, before: u64) {
        let (hub, conversation, upto) = (self.clone(), answer.conversation.clone(), answer.seq - 1);
        tokio::spawn(async move {
            if let Err(error) = hub.tell_delivered(&conversation, &author, before, upto).await {
                tracing::warn!(%error, "what an answer delivered could not be told");
            }
        });
    }

    fn deliver_entry(self: &Arc<Self>, entry: &Entry, link: &Link, bell: bool) {
        let frame = entry.to_frame();
        let topics = self.topics.msgs(&entry.conversation);
        let attempt = self.confirm.accepted(entry.position, topics.len());
        let payload = attempt.map(|attempt| (attempt, self.payload(entry, frame.as_json(), bell)));
        let effect = Effect::of(entry.kind, &entry.data);
        if let Effect::Room(membership) = &effect {
            self.tell_members(entry, membership, &frame, bell);
        }
        self.committed(entry, effect, frame);
        if let Some((attempt, payload)) = payload {
            link.publish_entry(entry.position, attempt, &topics, &payload);
        }
    }

    /// Puts an entry of this node's own store before those who are to see it here. Everything before it is in the log.
    fn committed(self: &Arc<Self>, entry: &Entry, effect: Effect, frame: Frame) {
        let sequencer = match &entry.conversation {
            Conversation::Public | Conversation::Room(_) => self.known_sequencer(&entry.conversation),
            Conversation::Pair(one, other) => self.private_sequencer(entry, one, other),
        };
        let Some(sequencer) = sequencer else { return };
        if sequencer.offer(entry.seq, &entry.id, effect, frame) == Offered::Hole {
            self.repair(&sequencer);
        }
        self.wake(&sequencer);
    }

    /// The sequencer of a private conversation, with every session of both users here reading it; `None` when
    /// neither is here and nobody reads it.
    fn private_sequencer(
        self: &Arc<Self>,
        entry: &Entry,
        one: &Party,
        other: &Party,
    ) -> Option<Arc<Sequencer>> {
        let sessions = self.sessions_of_pair(one, other);
        if sessions.is_empty() {
            return self.known_sequencer(&entry.conversation);
        }
        if self.is_cluster() {
            // What stands before it may be another node's, and not have come here yet.
            let sequencer = self.sequencer_or(&entry.conversation, None);
            self.attach_pair(&sequencer);
            return Some(sequencer);
        }
        let sequencer = self.sequencer_or(&entry.conversation, Some(entry.seq - 1));
        // One that waits for the store to say where the log stands need not wait any longer.
        sequencer.settle(entry.seq - 1);
        let before = sequencer.head().unwrap_or(0).min(entry.seq - 1);
        for session in sessions {
            session.attach(&sequencer, before);
        }
        Some(sequencer)
    }

    /// Every session here of the two users of a private conversation.
    pub(crate) fn sessions_of_pair(&self, one: &Party, other: &Party) -> Vec<Arc<Handle>> {
        let users = [one.user(), (one != other).then(|| other.user()).flatten()];
        users.iter().flatten().flat_map(|user| self.people.sessions_of(user)).collect()
    }
}

/// What somebody is told whom an operator has locked out.
pub(crate) const BLOCKED: &str = "this user has been blocked by the operator";

/// What a sender is told when the store refuses.
pub(crate) fn refusal(error: &AppendError) -> Refusal {
    match error {
        AppendError::IdConflict => Refusal::new(
            ErrorCode::IdConflict,
            "this id was used for another message; send it under a new id",
        ),
        AppendError::NotFound => {
            Refusal::new(ErrorCode::NotFound, "there is no such conversation, or it is not yours to see")
        }
        AppendError::NoSuchUser => Refusal::new(ErrorCode::NotFound, "there is no such user"),
        AppendError::Blocked => Refusal::new(ErrorCode::Unauthorized, BLOCKED),
        AppendError::Forbidden(reason) => Refusal::new(ErrorCode::Forbidden, *reason),
        AppendError::BadTarget(reason) => Refusal::new(ErrorCode::BadTarget, *reason),
        AppendError::Conflict(reason) => Refusal::new(ErrorCode::Conflict, *reason),
        // Whatever else it is, the same id can be sent again.
        _ => unavailable(),
    }
}

/// What somebody is told when the store is away.
pub(crate) fn unavailable() -> Refusal {
    Refusal::new(
        ErrorCode::Unavailable,
        "the server can't store messages at the moment; try again with the same id",
    )
}
