//! Who has got and read what: 200, 300, `read` and `receipt`.

use std::sync::Arc;
use std::time::Instant;

use mqttchat_protocol::{Conversation, Dest, Entry, EntryKind, Frame, Party, Refusal, ServerFrame, UserId};
use mqttchat_store::{Moved, StoreError};

use crate::caller::Caller;
use crate::command::{Outcome, store_away};
use crate::hub::Hub;
use crate::mail::Handle;

/// Entries that are read at once to tell their author that they were delivered.
const PAGE: u64 = 200;

/// 200: the user has got private messages up to these. Each message is told to its author once, by the one who moves
/// the cursor over it.
pub(crate) async fn received(
    hub: &Arc<Hub>,
    caller: &Caller,
    found: Vec<(Conversation, u64)>,
) -> Result<Outcome, Refusal> {
    for (conversation, seq) in found {
        let moved = hub.store.set_delivered(&caller.user, &conversation, seq).await.map_err(store_away)?;
        if let Some(before) = moved {
            hub.tell_delivered(&conversation, &caller.user, before, seq).await.map_err(store_away)?;
        }
    }
    Ok(Outcome::default())
}

/// `read`: remembered, and told to the other one of a private conversation, or to those in the room; and to this user's
/// other sessions, which count what is unread.
pub(crate) async fn read(hub: &Arc<Hub>, handle: &Handle, dest: &Dest, seq: u64) -> Result<Outcome, Refusal> {
    let reader = &handle.who.user;
    let conversation = hub.readable(&handle.who, dest).await?;
    let moved = hub.store.set_read(reader, &conversation, seq).await.map_err(store_away)?;
    let Some(now) = moved else { return Ok(Outcome::default()) };
    let frame = ServerFrame::Receipt { dest, from: reader, read: now }.to_frame();
    match dest {
        Dest::Public => return Ok(Outcome::default()),
        Dest::Room(_) => {
            if hub.readings.note(&conversation, reader, now, Instant::now()) {
                hub.tell_room_read(reader, &conversation, &frame);
            }
        }
        Dest::Private(partner) => {
            if let Some(partner) = Party::user(partner).filter(|partner| partner != reader) {
                hub.tell_here(None, &partner, &frame);
                hub.publish_ack(hub.topics.acks(&partner), &frame);
            }
        }
    }
    hub.tell_here(Some(handle), reader, &frame);
    hub.publish_ack(hub.topics.acks(reader), &frame);
    Ok(Outcome::default())
}

impl Hub {
    /// Tells the authors of the messages after `before` up to `upto` that `user` has got them: here, and on the broker.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn tell_delivered(
        &self,
        conversation: &Conversation,
        user: &UserId,
        before: u64,
        upto: u64,
    ) -> Result<(), StoreError> {
        self.each_delivered(conversation, user, before, upto, |author, frame| {
            self.tell_here(None, author, frame);
            self.publish_ack(self.topics.acks(author), frame);
        })
        .await
        .map_err(|(error, _)| error)
    }

    /// Calls `tell` with the author of each message after `before` up to `upto` that `user` has got, and the 300 for it.
    ///
    /// # Errors
    /// When the store can't be read, and up to where it was.
    async fn each_delivered(
        &self,
        conversation: &Conversation,
        user: &UserId,
        before: u64,
        upto: u64,
        tell: impl Fn(&UserId, &Frame),
    ) -> Result<(), (StoreError, u64)> {
        let mut after = before;
        while after < upto {
            let page = self.store.entries_after(conversation, after, PAGE.min(upto - after)).await;
            let entries = page.map_err(|error| (error, after))?;
            let Some(last) = entries.last() else { break };
            after = last.seq;
            let theirs = |entry: &&Entry| entry.from != *user && entry.kind == EntryKind::Msg;
            for entry in entries.iter().filter(theirs) {
                let Some(author) = entry.from.user() else { continue };
                let dest = entry.dest();
                let frame = ServerFrame::Delivered { id: &entry.id, dest: &dest, seq: entry.seq, by: user };
                tell(&author, &frame.to_frame());
            }
        }
        Ok(())
    }

    /// Tells those here whom a cursor concerns that another node has moved.
    ///
    /// # Errors
    /// When the store can't be read; what is left to be told then.
    pub(crate) async fn tell_moved(&self, moved: Moved) -> Result<(), (StoreError, Moved)> {
        let Moved { user, conversation, after, upto } = &moved;
        let dest = conversation.dest_for(&Party::from(user));
        let Some(after) = *after else {
            let frame = ServerFrame::Receipt { dest: &dest, from: user, read: *upto }.to_frame();
            self.show_read(user, &dest, conversation, &frame);
            return Ok(());
        };
        let Dest::Private(partner) = &dest else { return Ok(()) };
        if partner.user().is_none_or(|partner| self.people.sessions_of(&partner).is_empty()) {
            return Ok(());
        }
        let tell = |author: &UserId, frame: &Frame| self.tell_here(None, author, frame);
        match self.each_delivered(conversation, user, after, *upto, tell).await {
            Ok(()) => Ok(()),
            Err((error, after)) => Err((error, Moved { after: Some(after), ..moved })),
        }
    }

    /// Tells what was kept back of what people have read in rooms.
    pub(crate) fn tell_readings(&self, now: Instant) {
        for (conversation, reader, read) in self.readings.take_due(now) {
            let dest = conversation.dest_for(&Party::from(&reader));
            let frame = ServerFrame::Receipt { dest: &dest, from: &reader, read }.to_frame();
            self.tell_room_read(&reader, &conversation, &frame);
        }
    }

    /// Tells those in a room how far `reader` has read: here, and on other nodes.
    fn tell_room_read(&self, reader: &UserId, conversation: &Conversation, frame: &Frame) {
        self.show_room_read(reader, conversation, frame);
        if let Conversation::Room(room) = conversation
            && self.is_cluster()
        {
            self.publish_ack(self.topics.room_acks(room), frame);
        }
    }

    fn show_room_read(&self, reader: &UserId, conversation: &Conversation, frame: &Frame) {
        if let Some(sequencer) = self.known_sequencer(conversation) {
            sequencer.pass(frame.clone(), Some(reader.clone()));
            self.wake(&sequencer);
        }
    }

    /// Shows those here how far `reader`, on another node, has read: the other one of a private conversation or those
    /// in the room, and the reader's own sessions.
    fn show_read(&self, reader: &UserId, dest: &Dest, conversation: &Conversation, frame: &Frame) {
        match dest {
            Dest::Public => return,
            Dest::Room(_) => self.show_room_read(reader, conversation, frame),
            Dest::Private(partner) => {
                if let Some(partner) = Party::user(partner).filter(|partner| partner != reader) {
                    self.tell_here(None, &partner, frame);
                }
            }
        }
        self.tell_here(None, reader, frame);
    }

    /// Sends a frame to every session of a user here, but to the one that it comes from.
    fn tell_here(&self, one: Option<&Handle>, user: &UserId, frame: &Frame) {
        let others = |session: &Arc<Handle>| one.is_none_or(|one| one.id != session.id);
        for session in self.people.sessions_of(user).into_iter().filter(others) {
            session.send(frame.clone());
        }
    }

    /// Publishes an acknowledgement. Other nodes take it as a bell: what is lost, they read from the store.
    fn publish_ack(&self, topic: String, frame: &Frame) {
        let payload = self.seal_passing(frame.as_json(), &topic);
        self.link.publish_state(topic, payload, false);
    }
}
