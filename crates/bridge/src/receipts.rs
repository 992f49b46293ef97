//! Who has got and read what: 200, 300, `read` and `receipt`.

use std::sync::Arc;

use mqttchat_protocol::{
    Conversation, Dest, Entry, EntryKind, Frame, Party, Refusal, RoomId, ServerFrame, UserId,
};

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
        Dest::Room(room) => hub.tell_room(room, &conversation, reader, &frame),
        Dest::Private(partner) => {
            if let Some(partner) = Party::user(partner).filter(|partner| partner != reader) {
                hub.tell(&partner, &frame);
            }
        }
    }
    hub.tell_but(Some(handle), reader, &frame);
    Ok(Outcome::default())
}

impl Hub {
    /// Tells the authors of the messages after `before` up to `upto` that `user` has got them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn tell_delivered(
        &self,
        conversation: &Conversation,
        user: &UserId,
        before: u64,
        upto: u64,
    ) -> Result<(), mqttchat_store::StoreError> {
        let mut after = before;
        while after < upto {
            let entries = self.store.entries_after(conversation, after, PAGE.min(upto - after)).await?;
            let Some(last) = entries.last() else { break };
            after = last.seq;
            let theirs = |entry: &&Entry| entry.from != *user && entry.kind == EntryKind::Msg;
            for entry in entries.iter().filter(theirs) {
                let Some(author) = entry.from.user() else { continue };
                let dest = entry.dest();
                let frame = ServerFrame::Delivered { id: &entry.id, dest: &dest, seq: entry.seq, by: user };
                self.tell(&author, &frame.to_frame());
            }
        }
        Ok(())
    }

    /// Tells those who are in a room, but the sessions of `user`, that they have read it up to somewhere.
    fn tell_room(&self, room: &RoomId, conversation: &Conversation, user: &UserId, frame: &Frame) {
        if let Some(sequencer) = self.known_sequencer(conversation) {
            sequencer.pass(frame.clone(), Some(user.clone()));
            self.wake(&sequencer);
        }
        if self.is_cluster() {
            let topic = self.topics.room_acks(room);
            let payload = self.seal_passing(frame.as_json(), &topic);
            self.link.publish_state(topic, payload, false);
        }
    }

    /// Sends a frame to every session of a user, here and on other nodes.
    pub(crate) fn tell(&self, user: &UserId, frame: &Frame) {
        self.tell_but(None, user, frame);
    }

    /// The same, but to the one that it comes from.
    fn tell_but(&self, one: Option<&Handle>, user: &UserId, frame: &Frame) {
        let others = |session: &Arc<Handle>| one.is_none_or(|one| one.id != session.id);
        for session in self.people.sessions_of(user).into_iter().filter(others) {
            session.send(frame.clone());
        }
        let topic = self.topics.acks(user);
        let payload = self.seal_passing(frame.as_json(), &topic);
        self.link.publish_state(topic, payload, false);
    }
}
