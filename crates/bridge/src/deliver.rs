//! From the store's commits to everybody: the one place where an entry becomes a frame.
//!
//! The store's writer only hands its results over here, in commit order. One task takes them: it serialises and signs
//! each entry once, puts it before the readers, answers the sender, and has it published.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use mqttchat_protocol::{Conversation, Entry, ErrorCode, MessageId, Refusal, ServerFrame, UserId};
use mqttchat_store::{AppendError, Appended, NewEntry};
use tokio::sync::{Notify, oneshot};

use crate::hub::Hub;
use crate::mail::Handle;

/// Who waits for an entry to be committed.
pub(crate) enum Origin {
    /// A session's message.
    Session(Arc<Handle>),
    /// Somebody in this program.
    Caller(oneshot::Sender<Result<Appended, AppendError>>),
}

struct Committed {
    result: Result<Appended, AppendError>,
    id: MessageId,
    origin: Origin,
}

/// What was committed and not delivered yet. Bounded by the store's queue, whose places are given back afterwards.
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
    /// Hands an entry to the store. Waits while the store's queue is full; what is submitted is answered to `origin`.
    ///
    /// Not cancel safe: a dropped call may or may not have submitted it.
    pub(crate) async fn submit(self: Arc<Self>, entry: NewEntry, origin: Origin) {
        let id = entry.id.clone();
        let hub = Arc::clone(&self);
        let done = move |result| hub.deliveries.push(Committed { result, id, origin });
        self.store.submit(entry, Box::new(done)).await;
    }

    /// Delivers what is committed, for as long as the node runs.
    pub(crate) async fn deliver(self: Arc<Self>) {
        loop {
            self.deliveries.arrived.notified().await;
            for committed in self.deliveries.take() {
                self.deliver_one(committed);
            }
        }
    }

    fn deliver_one(self: &Arc<Self>, committed: Committed) {
        let Committed { result, id, origin } = committed;
        if let Ok(Appended { entry, fresh: true }) = &result {
            metrics::counter!("mqttchat_messages_accepted_total").increment(1);
            let link = match &origin {
                Origin::Session(handle) => Some(&handle.link),
                Origin::Caller(_) => None,
            };
            self.deliver_entry(entry, link);
        }
        match origin {
            Origin::Session(handle) => handle.answered(match &result {
                Ok(appended) => ServerFrame::Accepted { entry: &appended.entry }.to_frame(),
                Err(error) => refusal(error).re(Some(id)).to_frame(),
            }),
            // Whoever asked may have gone; the entry stands all the same.
            Origin::Caller(caller) => drop(caller.send(result)),
        }
    }

    fn deliver_entry(self: &Arc<Self>, entry: &Entry, link: Option<&crate::link::Link>) {
        let frame = entry.to_frame();
        let topics = self.topics.msgs(&entry.conversation);
        let payload = self.payload(entry, frame.as_json());
        self.arrived(&entry.conversation, entry.seq, &entry.id, frame);
        if !self.confirm.accepted(entry.position, topics.len()) {
            return;
        }
        match link {
            Some(link) if link.is_connected() => link.publish_entry(entry.position, &topics, &payload),
            _ => self.confirm.returned(entry.position),
        }
    }

    /// What goes over MQTT for an entry: its frame, or where strangers could read it, a bell.
    pub(crate) fn payload(&self, entry: &Entry, frame: &[u8]) -> Bytes {
        if matches!(entry.conversation, Conversation::Pair(..)) && self.bells_only() {
            let bell = serde_json::json!({
                "type": "bell", "dest": entry.dest(), "from": entry.from.as_str(), "seq": entry.seq
            });
            return self.keys.seal(bell.to_string().as_bytes()).into();
        }
        self.keys.seal(frame).into()
    }

    /// Puts an entry before those who are to see it on this node: from its own store, or rung by MQTT.
    pub(crate) fn arrived(
        self: &Arc<Self>,
        conversation: &Conversation,
        seq: u64,
        id: &MessageId,
        frame: mqttchat_protocol::Frame,
    ) {
        let sequencer = match conversation {
            Conversation::Public | Conversation::Room(_) => self.known_sequencer(conversation),
            Conversation::Pair(one, other) => {
                let users = [one.user(), (one != other).then(|| other.user()).flatten()];
                self.private_sequencer(conversation, seq, users.iter().flatten())
            }
        };
        let Some(sequencer) = sequencer else { return };
        if sequencer.offer(seq, id, frame) == crate::sequencer::Offered::Hole {
            self.repair(&sequencer);
        }
        self.wake(&sequencer);
    }

    /// The sequencer of a private conversation, with every session of both users here reading it; `None` when
    /// neither is here. A new one starts right before `seq`.
    fn private_sequencer<'a>(
        self: &Arc<Self>,
        conversation: &Conversation,
        seq: u64,
        users: impl Iterator<Item = &'a UserId>,
    ) -> Option<Arc<crate::sequencer::Sequencer>> {
        let sessions: Vec<Arc<Handle>> = users.flat_map(|user| self.people.sessions_of(user)).collect();
        if sessions.is_empty() {
            return self.known_sequencer(conversation);
        }
        let sequencer = self.sequencer_from(conversation, seq);
        let before = sequencer.head().unwrap_or(seq - 1).min(seq - 1);
        for session in sessions {
            session.attach(&sequencer, before);
        }
        Some(sequencer)
    }
}

/// What a sender is told when the store refuses.
pub(crate) fn refusal(error: &AppendError) -> Refusal {
    match error {
        AppendError::IdConflict => Refusal::new(
            ErrorCode::IdConflict,
            "this id was used for another message; send it under a new id",
        ),
        AppendError::NotFound => Refusal::new(ErrorCode::NotFound, "there is no such conversation"),
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
