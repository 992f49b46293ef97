//! Handing over: what the conversations of a session have for its client.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mqttchat_protocol::{Conversation, Frame, ServerFrame};
use mqttchat_store::StoreError;

use crate::catch_up::{Page, Then, page};
use crate::command::not_found;
use crate::cursor::Cursor;
use crate::hub::now_ms;
use crate::ring::SlotKind;
use crate::room_mail::Standing;
use crate::sequencer::Taken;
use crate::session::{BATCH_BYTES, LEFT_MAX, Session};
use crate::transport::Transport;

/// Slots that are taken from a ring at a time.
const BATCH_SLOTS: usize = 64;

/// How long the store is left alone after a read has failed.
const STORE_PAUSE: Duration = Duration::from_millis(500);

impl Session {
    /// Tells the client of the changes of rooms that it doesn't get with their entries.
    pub(crate) fn tell_rooms(&mut self) {
        if self.rooms.is_empty() {
            return;
        }
        let (cursors, joining) = (&self.cursors, self.joining.as_ref());
        self.outbox.extend(self.rooms.due(|conversation| {
            match cursors.iter().find(|cursor| cursor.conversation() == conversation) {
                _ if joining == Some(conversation) => Standing::Coming,
                Some(cursor) => Standing::Reading(cursor.position.seq),
                None => Standing::Away,
            }
        }));
    }

    /// Lets go of the conversations that have ended for this user.
    fn end_cursors(&mut self) {
        if self.cursors.iter().all(|cursor| !cursor.ended) {
            return;
        }
        for cursor in &mut self.cursors {
            if cursor.ended {
                cursor.leave(false);
                self.rooms.note(cursor.conversation(), cursor.position.seq);
            }
        }
        self.cursors.retain(|cursor| !cursor.ended);
        self.turn = 0;
        self.tell_rooms();
    }

    /// Hands the socket what waits, up to a batch: answers first, then each conversation in turn. True when nothing is
    /// left that could be handed over now.
    pub(crate) fn fill<T: Transport>(&mut self, transport: &mut T) -> bool {
        self.finish(transport);
        if !self.outbox.is_empty() {
            return false;
        }
        if self.outbox.capacity() > 64 {
            self.outbox.shrink_to_fit();
        }
        if self.is_held(transport.backlog()) {
            return false;
        }
        let count = self.cursors.len();
        for offset in 0..count {
            let at = (self.turn + offset) % count;
            if !self.read_ring(at, transport) {
                // The next round begins with the one that found no room.
                self.turn = at;
                self.end_cursors();
                return false;
            }
        }
        self.end_cursors();
        self.outbox.is_empty()
    }

    /// Takes from the ring of one conversation; false when the batch is full.
    fn read_ring<T: Transport>(&mut self, at: usize, transport: &mut T) -> bool {
        let (cursor, handed, me) = (&mut self.cursors[at], &mut self.handed, &self.handle.who.user);
        if cursor.paused || cursor.ended {
            return true;
        }
        let (joined, granted) = (cursor.is_joined(), cursor.granted);
        let conversation = cursor.sequencer.conversation.clone();
        let in_room = matches!(conversation, Conversation::Room(_));
        loop {
            let mut room = BATCH_BYTES.saturating_sub(transport.backlog());
            if room == 0 {
                return false;
            }
            let (mut delivered, mut then) = (0, Then::On);
            let mut last = cursor.position.seq;
            let taken = cursor.sequencer.take(&mut cursor.position, BATCH_SLOTS, |slot| match &slot.kind {
                // What was between is gone with the room; another may have its id now.
                SlotKind::Entry { seq, effect, .. }
                    if in_room && *seq != last + 1 && !effect.deletes_room() =>
                {
                    then = Then::Lost;
                    ControlFlow::Break(())
                }
                SlotKind::Entry { seq, id, effect } => {
                    if let Some(id) = id {
                        handed.note(id, &conversation, *seq);
                    }
                    last = *seq;
                    delivered += 1;
                    room = room.saturating_sub(slot.frame.len());
                    transport.feed(slot.frame.clone());
                    if in_room && effect.ends_for(me, *seq <= granted) {
                        then = Then::Ended;
                        return ControlFlow::Break(());
                    }
                    if room == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
                SlotKind::Passing { but } if joined && but.as_ref() != Some(me) => {
                    transport.feed(slot.frame.clone());
                    ControlFlow::Continue(())
                }
                SlotKind::Presence { .. } if joined => {
                    transport.feed(slot.frame.clone());
                    ControlFlow::Continue(())
                }
                SlotKind::Passing { .. } | SlotKind::Presence { .. } => ControlFlow::Continue(()),
            });
            if delivered > 0 {
                self.hub.figures.deliveries.increment(delivered);
            }
            if then != Then::On {
                cursor.position.seq = last;
                self.end(at, then);
                return true;
            }
            if room == 0 {
                return false;
            }
            match taken {
                Taken::Some => {}
                Taken::All => {
                    if let Some(frame) = self.missed_presence(at) {
                        transport.feed(frame);
                    }
                    return true;
                }
                // A page is read when what was read before has gone: then only one waits.
                Taken::Behind(_) if transport.backlog() > LEFT_MAX => return false,
                Taken::Behind(seq) => {
                    self.start_catch_up(at, seq, Duration::ZERO);
                    return true;
                }
            }
        }
    }

    /// Ends a conversation for this user: told by the entry that was handed over last, or else by an error.
    fn end(&mut self, at: usize, then: Then) {
        let cursor = &mut self.cursors[at];
        cursor.ended = true;
        if then == Then::Lost {
            let dest = cursor.conversation().dest_for(&self.handle.who.party);
            self.outbox.push_back(not_found(&dest).about(Some(dest)).to_frame());
        }
    }

    /// The difference in presence for a reader whom the shared frames don't fit: it joined between two of them, its ring has
    /// dropped one, or they came too close together for it.
    fn missed_presence(&mut self, at: usize) -> Option<Frame> {
        let cursor = &mut self.cursors[at];
        if !cursor.is_joined() {
            return None;
        }
        let roster = cursor.sequencer.roster();
        if cursor.position.presence >= roster.announced() {
            return None;
        }
        let now = Instant::now();
        if let Some(due) = cursor.position.presence_after(now) {
            self.presence_due = Some(self.presence_due.map_or(due, |earlier| earlier.min(due)));
            return None;
        }
        let change = roster.between(cursor.position.presence, roster.announced(), now_ms());
        cursor.position.presence = roster.announced();
        if change.joined.is_empty() && change.left.is_empty() {
            return None;
        }
        cursor.position.told = Some(now);
        let dest = cursor.sequencer.conversation.dest_for(&self.handle.who.party);
        Some(ServerFrame::Presence { dest: &dest, data: &change }.to_frame())
    }

    /// Reads the store for a conversation whose ring no longer has what comes next; one at a time.
    fn start_catch_up(&mut self, at: usize, seq: u64, pause: Duration) {
        if self.catch_up.is_some() || !self.outbox.is_empty() {
            return;
        }
        let (hub, cursor) = (self.hub.clone(), self.cursors[at].id());
        let (conversation, handle) = (self.cursors[at].conversation().clone(), self.handle.clone());
        let granted = self.cursors[at].granted;
        // The others have their turn before this one reads again.
        self.turn = (at + 1) % self.cursors.len();
        self.catch_up = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            (cursor, page(&hub, &handle.who, &conversation, seq, granted).await)
        }));
    }

    pub(crate) fn caught_up(&mut self, cursor: u64, read: Result<Page, StoreError>) {
        let Some(at) = self.cursors.iter().position(|known| known.id() == cursor) else { return };
        if self.cursors[at].paused {
            // An answer is being made that says where the session stands: it reads on behind that.
            return;
        }
        let Page { entries, then } = match read {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "a session can't catch up with its conversation; trying again");
                let seq = self.cursors[at].position.seq;
                return self.start_catch_up(at, seq, STORE_PAUSE);
            }
        };
        let cursor = &mut self.cursors[at];
        let private = matches!(cursor.conversation(), Conversation::Pair(..));
        let (count, mut delivered) = (entries.len(), 0);
        for entry in entries {
            let next = entry.seq == cursor.position.seq + 1 || then == Then::Ended && count == 1;
            if !next {
                break;
            }
            if private {
                self.handed.note(&entry.id, cursor.conversation(), entry.seq);
            }
            cursor.position.seq = entry.seq;
            delivered += 1;
            self.outbox.push_back(entry.to_frame());
        }
        cursor.position.index = None;
        self.hub.figures.deliveries.increment(delivered);
        if then != Then::On && delivered == count as u64 {
            self.end(at, then);
        }
    }

    /// Whether more waits than is kept for a socket that takes nothing: a batch. Answers count as what came by itself
    /// does, and so does a frame that is answered only when the answers before it have gone.
    pub(crate) fn more_waits(&self, backlog: usize) -> bool {
        let lags = |cursor: &Cursor| cursor.sequencer.head().is_some_and(|head| cursor.position.seq < head);
        backlog >= BATCH_BYTES
            || !self.outbox.is_empty()
            || self.waiting.is_some()
            || self.cursors.iter().any(lags)
    }
}
