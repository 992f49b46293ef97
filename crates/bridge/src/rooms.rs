//! Rooms: made, changed, listed, and told of.

use std::sync::Arc;

use mqttchat_protocol::{
    Conversation, Entry, EntryKind, ErrorCode, Frame, Refusal, Room, RoomId, ServerFrame, UserId,
};
use mqttchat_store::StoreError;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::caller::Caller;
use crate::command::{Outcome, Re, store_away};
use crate::effect::Membership;
use crate::hub::Hub;
use crate::mail::RoomMail;

/// How many rooms one page has at most.
const PAGE_MAX: u64 = 500;

/// The answer to a change: the room behind it, or as it was when it was deleted.
pub(crate) fn answer(entry: &Entry) -> Frame {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        room: &'a RawValue,
    }
    let data = serde_json::from_str::<Data<'_>>(&entry.data).map_or("{}", |data| data.room.get());
    let dest = entry.dest();
    ServerFrame::Reply { re: Some(&entry.id), dest: Some(&dest), data: data.as_bytes() }.to_frame()
}

/// A page of the rooms that the caller can see, by id: the open ones, and those that they belong to.
pub(crate) async fn rooms(
    hub: &Arc<Hub>,
    caller: &Caller,
    re: &Re,
    after: Option<String>,
    limit: Option<u64>,
) -> Result<Outcome, Refusal> {
    let after = after.map(|after| {
        RoomId::parse(&after)
            .ok_or_else(|| Refusal::new(ErrorCode::BadFrame, "data.after must be the id of a room"))
    });
    let (rooms, more) = rooms_page(hub, caller, after.transpose()?.as_ref(), limit).await?;
    let data = json!({ "rooms": rooms, "more": more }).to_string();
    Ok(Outcome::frame(re.reply(data.as_bytes())))
}

/// Those rooms that come behind `after`, bounded in number and bytes, and whether there are more.
pub(crate) async fn rooms_page(
    hub: &Hub,
    caller: &Caller,
    after: Option<&RoomId>,
    limit: Option<u64>,
) -> Result<(Vec<Room>, bool), Refusal> {
    let limit = limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let turn = hub.pages.turn().await;
    let (mut found, mut after): (Vec<Room>, _) = (Vec::new(), after.cloned());
    loop {
        let page = hub.store.rooms(&caller.user, after.as_ref(), limit + 1).await.map_err(store_away)?;
        after = page.last().map(|room| room.id.clone());
        let is_last = page.len() as u64 <= limit;
        found.extend(page.into_iter().filter(|room| caller.covers(&Conversation::Room(room.id.clone()))));
        // Those that a token is not for don't count.
        if is_last || found.len() as u64 > limit {
            break;
        }
    }
    let (mut rooms, mut bytes) = (Vec::new(), 0);
    let count = found.len();
    for room in found.into_iter().take(limit as usize) {
        bytes += json!(room).to_string().len();
        if bytes > turn.bytes && !rooms.is_empty() {
            break;
        }
        rooms.push(room);
    }
    let more = rooms.len() < count;
    Ok((rooms, more))
}

/// Up to so many people a change of a room is sent to on other nodes, whether they seem to be there or not.
const TOLD_ANYWHERE: usize = 200;

/// The room that the entry of a change tells: as it was then.
pub(crate) fn told(entry: &Entry) -> serde_json::Value {
    let data = serde_json::from_str::<serde_json::Value>(&entry.data).unwrap_or_default();
    data.get("room").cloned().unwrap_or_default()
}

impl Hub {
    /// Tells those whom a change of a room concerns, on every node: sessions that read the room get it as its entry,
    /// the others by themselves.
    pub(crate) fn tell_members(&self, entry: &Entry, membership: &Membership, frame: &Frame, bell: bool) {
        // Who has just signed in on another node isn't known of here yet: only in large rooms is it looked at.
        let few = membership.concerned().take(TOLD_ANYWHERE + 1).count() <= TOLD_ANYWHERE;
        // Its list of members would go over the broker once for each of them.
        let bell = bell || !few;
        for user in membership.concerned() {
            self.mail_room(user, &entry.conversation, entry.seq, frame);
            if self.is_cluster() && (few || self.peers.has(user)) {
                let topic = self.topics.acks(user);
                let payload = if bell {
                    self.seal_passing(self.bell(entry).to_string().as_bytes(), &topic)
                } else {
                    self.seal_passing(frame.as_json(), &topic)
                };
                self.link.publish_state(topic, payload, false);
            }
        }
    }

    /// Leaves a change of a room for the sessions of somebody whom it concerns.
    pub(crate) fn mail_room(&self, user: &UserId, conversation: &Conversation, seq: u64, frame: &Frame) {
        for session in self.people.sessions_of(user) {
            session.send_room(RoomMail { conversation: conversation.clone(), seq, frame: frame.clone() });
        }
    }

    /// Another node has rung for a change of a room that concerns `user`: what it is, the log says.
    pub(crate) fn rung_room(self: &Arc<Self>, user: UserId, conversation: Conversation, seq: u64) {
        if self.people.sessions_of(&user).is_empty() {
            return;
        }
        let hub = self.clone();
        tokio::spawn(async move {
            if let Err(error) = hub.read_room(&user, &conversation, seq).await {
                tracing::warn!(%error, "somebody can't be told of a change of a room; the list of rooms has it");
            }
        });
    }

    async fn read_room(
        &self,
        user: &UserId,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<(), StoreError> {
        let entries = self.store.entries_after(conversation, seq.saturating_sub(1), 1).await?;
        if let Some(entry) = entries.first().filter(|entry| entry.seq == seq && entry.kind == EntryKind::Room)
        {
            self.mail_room(user, conversation, seq, &entry.to_frame());
        }
        Ok(())
    }
}
