//! What is to be an entry of the log: a message, a change of one, a change of a room.

use mqttchat_protocol::{Dest, EntryKind, ErrorCode, Limits, MessageId, Refusal, RoomChange, Target};
use mqttchat_store::{Change, NewEntry};
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::command::not_found;
use crate::session::too_large;

/// The content of an entry to be.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    kind: EntryKind,
    data: Map<String, Value>,
    change: Option<Change>,
}

impl Content {
    /// `msg`.
    pub(crate) fn message(data: Map<String, Value>) -> Self {
        Self { kind: EntryKind::Msg, data, change: None }
    }

    /// `edit`: another text for a message of one's own.
    pub(crate) fn edit(target: Target, text: String) -> Self {
        let mut data = named(&target);
        data.insert("text".into(), text.into());
        Self { kind: EntryKind::Edit, data, change: Some(Change::Edit(target)) }
    }

    /// `delete`: the end of a message.
    pub(crate) fn delete(target: Target) -> Self {
        Self { kind: EntryKind::Delete, data: named(&target), change: Some(Change::Delete(target)) }
    }

    /// `react`: a reaction to a message, or its end.
    pub(crate) fn react(target: Target, emoji: String, on: bool) -> Self {
        let mut data = named(&target);
        data.insert("emoji".into(), emoji.as_str().into());
        data.insert("on".into(), on.into());
        Self { kind: EntryKind::React, data, change: Some(Change::React { target, emoji, on }) }
    }

    /// `room.create`, `room.update`, `room.delete`, `member.add`, `member.remove`.
    pub(crate) fn room(change: RoomChange) -> Self {
        Self { kind: EntryKind::Room, data: said(&change), change: Some(Change::Room(change)) }
    }

    /// The entry of `caller` to be, if it is within the limits.
    ///
    /// # Errors
    /// `too_large`, and `bad_dest` for a change of a room elsewhere.
    pub(crate) fn into_entry(
        self,
        limits: &Limits,
        caller: &Caller,
        id: MessageId,
        dest: &Dest,
    ) -> Result<NewEntry, Refusal> {
        if self.kind == EntryKind::Room && !matches!(dest, Dest::Room(_)) {
            return Err(Refusal::new(ErrorCode::BadDest, "dest must be a room: rooms/<room id>"));
        }
        if !caller.covers(&dest.seen_by(&caller.party)) {
            return Err(not_found(dest));
        }
        let text = self.data.get("text").and_then(Value::as_str).unwrap_or("");
        if text.len() > limits.text && text.chars().count() > limits.text {
            let reason = format!("a text is at most {} characters", limits.text);
            return Err(Refusal::new(ErrorCode::TooLarge, reason));
        }
        let entry = NewEntry {
            conversation: dest.seen_by(&caller.party),
            kind: self.kind,
            id,
            from: caller.party.clone(),
            name: caller.name.clone(),
            // A JSON value can always be written.
            data: serde_json::to_string(&self.data).unwrap_or_default().into(),
            change: self.change,
            ingest: None,
        };
        // Numbers can be longer when they are written again.
        if entry.data.len() > limits.frame { Err(too_large(limits.frame)) } else { Ok(entry) }
    }
}

/// Which message a change is about, as its entry says it.
fn named(target: &Target) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("target".into(), target.id.as_str().into());
    if let Some(author) = &target.author {
        data.insert("author".into(), author.as_str().into());
    }
    data
}

/// What the entry of a change of a room says; the store adds the room as it is then.
fn said(change: &RoomChange) -> Map<String, Value> {
    let (change, mut members) = match change {
        RoomChange::Create { title, open, members } => {
            ("create", vec![("title", json!(title)), ("open", json!(open)), ("members", json!(members))])
        }
        RoomChange::Update { title, open } => {
            ("update", vec![("title", json!(title)), ("open", json!(open))])
        }
        RoomChange::Delete => ("delete", Vec::new()),
        RoomChange::AddMember(user) => ("add", vec![("user", json!(user))]),
        RoomChange::RemoveMember(user) => ("remove", vec![("user", json!(user))]),
    };
    members.retain(|(_, value)| !value.is_null());
    let mut data = Map::new();
    data.insert("change".into(), change.into());
    data.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttchat_protocol::UserId;

    fn entry(content: Content, dest: &str) -> Result<NewEntry, Refusal> {
        let ann = Caller::new(UserId::parse("ann").unwrap(), "Ann".into());
        let limits = Limits { text: 5, ..Limits::default() };
        content.into_entry(&limits, &ann, MessageId::parse("1").unwrap(), &Dest::parse(dest).unwrap())
    }

    #[test]
    fn what_entries_say() {
        let target = Target { id: MessageId::parse("m").unwrap(), author: None };
        let data = |content| entry(content, "rooms/r").unwrap().data;
        assert_eq!(&*data(Content::edit(target.clone(), "hi".into())), r#"{"target":"m","text":"hi"}"#);
        let react = Content::react(target, "!".into(), false);
        assert_eq!(&*data(react), r#"{"target":"m","emoji":"!","on":false}"#);
        let update = RoomChange::Update { title: None, open: Some(true) };
        assert_eq!(&*data(Content::room(update)), r#"{"change":"update","open":true}"#);
        let add = RoomChange::AddMember(UserId::parse("bob").unwrap());
        assert_eq!(&*data(Content::room(add)), r#"{"change":"add","user":"bob"}"#);
    }

    #[test]
    fn texts_are_short_and_rooms_are_rooms() {
        let target = Target { id: MessageId::parse("m").unwrap(), author: None };
        let long = entry(Content::edit(target, "too long".into()), "public").unwrap_err();
        assert_eq!(long.code, ErrorCode::TooLarge);
        let elsewhere = entry(Content::room(RoomChange::Delete), "private/bob").unwrap_err();
        assert_eq!(elsewhere.code, ErrorCode::BadDest);
    }
}
