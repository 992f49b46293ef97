//! Where one session stands in one conversation.

use std::sync::Arc;
use std::time::Instant;

use mqttchat_protocol::{Conversation, Dest, Party, UserId};

use crate::hub::{Hub, now_ms};
use crate::mail::Handle;
use crate::roster::LINGER;
use crate::sequencer::{Position, Sequencer};

/// A session's place in a conversation. While it lives, the session is woken for it; dropped, the session has left.
pub(crate) struct Cursor {
    hub: Arc<Hub>,
    handle: Arc<Handle>,
    /// The conversation.
    pub(crate) sequencer: Arc<Sequencer>,
    /// How far the session is.
    pub(crate) position: Position,
    reader: usize,
    id: u64,
    joined: bool,
    /// Entries up to this `seq` take nothing away: behind them its user was found to have the right to read. They may
    /// have been removed and taken in again before.
    pub(crate) granted: u64,
    /// While an answer is being made that says where the conversation stands, nothing of it is handed over.
    pub(crate) paused: bool,
    /// An entry has taken the conversation from this user: nothing more of it is handed over.
    pub(crate) ended: bool,
}

impl Cursor {
    /// Registers as a reader, right behind the newest entry. Everything that comes from now on will be seen.
    pub(crate) fn new(hub: &Arc<Hub>, handle: &Arc<Handle>, sequencer: Arc<Sequencer>) -> Self {
        let reader = sequencer.add_reader(handle.bell.clone());
        let position = sequencer.end();
        Self {
            hub: hub.clone(),
            handle: handle.clone(),
            sequencer,
            position,
            reader,
            id: hub.count(),
            joined: false,
            granted: 0,
            paused: false,
            ended: false,
        }
    }

    /// Which conversation.
    pub(crate) fn conversation(&self) -> &Conversation {
        &self.sequencer.conversation
    }

    /// Moves behind `seq`, where the session was told to begin.
    pub(crate) fn start_after(&mut self, seq: u64) {
        if seq != self.position.seq || self.position.index.is_none() {
            let Position { presence, told, .. } = self.position;
            self.position = Position { presence, told, ..Position::after(seq) };
        }
    }

    /// Tells this cursor from others of the same conversation, before and after it.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether the session has joined, beyond being sent what is private to its user.
    pub(crate) fn is_joined(&self) -> bool {
        self.joined
    }

    /// Joins: shows up in the roster, and sees typing and presence.
    pub(crate) fn join(&mut self) {
        if std::mem::replace(&mut self.joined, true) {
            return;
        }
        metrics::counter!("mqttchat_joins_total").increment(1);
        match self.conversation() {
            // Two people: each is told how the other is by `status`.
            Conversation::Pair(..) => {
                if let Some(partner) = self.partner() {
                    self.hub.people.watch(&partner, self.conversation());
                }
            }
            Conversation::Public | Conversation::Room(_) => {
                let mut roster = self.sequencer.roster();
                roster.enter(&self.handle.who.user, &self.handle.who.name);
                self.position.presence = roster.version();
            }
        }
    }

    /// Leaves. With `linger` it shows only after a while, if the user doesn't come back.
    pub(crate) fn leave(&mut self, linger: bool) {
        if !std::mem::replace(&mut self.joined, false) {
            return;
        }
        let until = linger.then(|| Instant::now() + LINGER);
        let at = if linger { self.handle.left_at() } else { now_ms() };
        self.sequencer.roster().leave(&self.handle.who.user, until, at);
        self.hub.stop_typing(&self.sequencer, &self.handle);
        if let Some(partner) = self.partner() {
            self.hub.people.unwatch(&partner, self.conversation());
        }
    }

    /// The other user of a private conversation, if it is one and not oneself.
    fn partner(&self) -> Option<UserId> {
        match self.conversation().dest_for(&self.handle.who.party) {
            Dest::Private(partner) if partner != self.handle.who.party => Party::user(&partner),
            _ => None,
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.sequencer.remove_reader(self.reader);
        self.leave(!self.hub.is_stopping());
    }
}
