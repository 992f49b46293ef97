//! Private conversations that other nodes write: which sessions here are to read them, and from where on.
//!
//! A session is handed everything that was committed after it was opened, and before that what its user hadn't got. What
//! tells of a private entry (a bell on MQTT, a commit of this node, the comparison of heads) may be late, may come twice,
//! and need not tell of the first one. So it only says that there is something, and the log says what.

use std::sync::Arc;

use mqttchat_protocol::Conversation;
use mqttchat_store::StoreError;

use crate::hub::Hub;
use crate::mail::Handle;
use crate::sequencer::Sequencer;

/// Entries that are looked at together.
const PAGE: u64 = 50;

impl Hub {
    /// The sequencer of a conversation that somebody here is to read; of a private one, with every session of its users
    /// reading it, soon.
    pub(crate) fn reading(self: &Arc<Self>, conversation: &Conversation) -> Option<Arc<Sequencer>> {
        let known = self.known_sequencer(conversation);
        let Conversation::Pair(one, other) = conversation else { return known };
        if known.is_none() && self.sessions_of_pair(one, other).is_empty() {
            return None;
        }
        let sequencer = known.unwrap_or_else(|| self.sequencer_or(conversation, None));
        self.attach_pair(&sequencer);
        Some(sequencer)
    }

    /// Has those sessions of a private conversation's users read it that don't yet, where there are other nodes. Returns
    /// at once.
    pub(crate) fn attach_pair(self: &Arc<Self>, sequencer: &Arc<Sequencer>) {
        let waits = sequencer.head().is_none() || !self.not_reading(sequencer).is_empty();
        if !self.is_cluster() || !waits || !sequencer.start_attaching() {
            return;
        }
        let (hub, sequencer) = (self.clone(), sequencer.clone());
        tokio::spawn(async move {
            let attached = hub.attach_readers(&sequencer).await;
            sequencer.end_attaching();
            if let Err(error) = attached {
                // The comparison of heads tells of it again.
                tracing::warn!(%error, "a private conversation can't be read yet");
            }
        });
    }

    /// The sessions that are to read a private conversation, and don't.
    fn not_reading(&self, sequencer: &Sequencer) -> Vec<Arc<Handle>> {
        let Conversation::Pair(one, other) = &sequencer.conversation else { return Vec::new() };
        let mut sessions = self.sessions_of_pair(one, other);
        sessions.retain(|session| {
            session.hears_of(&sequencer.conversation) && !sequencer.is_read_by(&session.bell)
        });
        sessions
    }

    async fn attach_readers(&self, sequencer: &Arc<Sequencer>) -> Result<(), StoreError> {
        let conversation = &sequencer.conversation;
        self.sequencer(conversation).await?;
        let cursors = self.store.cursors(conversation).await?;
        for session in self.not_reading(sequencer) {
            let cursor = cursors.iter().find(|cursor| cursor.user == session.who.user);
            let delivered = cursor.map_or(0, |cursor| cursor.delivered);
            session.attach(sequencer, self.before_new(&session, conversation, delivered).await?);
        }
        Ok(())
    }

    /// The last entry before those that a session which doesn't read the conversation is to be handed: what its user has
    /// not got, and what was committed since it was opened. Conversations in which something had come just before that,
    /// it reads from the beginning (`greet`).
    async fn before_new(
        &self,
        session: &Handle,
        conversation: &Conversation,
        delivered: u64,
    ) -> Result<u64, StoreError> {
        let mut before = delivered;
        while before > 0 {
            let page = self.store.entries_before(conversation, Some(before + 1), PAGE).await?;
            let new = page.iter().find(|entry| entry.position > session.since);
            let Some(oldest) = new.map(|entry| entry.seq) else { break };
            before = oldest - 1;
            if page.first().is_some_and(|first| first.seq < oldest) {
                break;
            }
        }
        Ok(before)
    }
}
