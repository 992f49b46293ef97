//! One entry of a conversation's log (§2).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::server::JsonWriter;
use crate::{Conversation, Dest, Frame, MessageId, Party};

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A message.
    Msg,
    /// Another text for a message.
    Edit,
    /// The end of a message.
    Delete,
    /// A reaction to a message, or its end.
    React,
    /// A change of the room itself or of its members.
    Room,
}

impl EntryKind {
    /// The `type` of its frame.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Msg => "msg",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::React => "react",
            Self::Room => "room",
        }
    }

    /// Parses a `type`; `None` when entries have no such.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Msg, Self::Edit, Self::Delete, Self::React, Self::Room]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// What later entries have made of a message: what stands beside its `data` (§4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// When its text was last changed, Unix time in ms.
    pub edited: Option<u64>,
    /// Who reacts to it, by emoji; users in the order of their ids.
    pub reactions: BTreeMap<String, Vec<Party>>,
    /// Whether its content is gone.
    pub deleted: bool,
}

/// What the log holds: numbered, timed, and never changed afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub conversation: Conversation,
    /// Its place there: 1, 2, 3 … without holes.
    pub seq: u64,
    /// When it was accepted, Unix time in ms; never less than that of the entry before.
    pub time: u64,
    /// What it says.
    pub kind: EntryKind,
    /// The author's id for it, unique per author.
    pub id: MessageId,
    /// The author.
    pub from: Party,
    /// The author's name at that time.
    pub name: Arc<str>,
    /// Its content, a compact JSON object: as it is now, where later entries have changed it.
    pub data: Box<str>,
    /// What later entries have made of it, where they have.
    pub marks: Option<Box<Marks>>,
    /// Its place in the order of all commits of this store, rising, with holes; what positions are counted in.
    pub position: u64,
}

impl Entry {
    /// The conversation as its author names it, which is what the frame carries to everybody.
    #[must_use]
    pub fn dest(&self) -> Dest {
        self.conversation.dest_for(&self.from)
    }

    /// The frame that everybody gets, which is also the text that is signed for MQTT.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        Frame::text(&self.to_json())
    }

    fn to_json(&self) -> Vec<u8> {
        let mut json = JsonWriter::frame(self.kind.as_str(), self.data.len() + self.name.len() + 200);
        json.string("id", self.id.as_str());
        json.display("dest", &self.dest());
        json.string("from", self.from.as_str());
        json.string("name", &self.name);
        json.number("time", self.time);
        json.number("seq", self.seq);
        if self.from.is_foreign() {
            json.string("via", "mqtt");
        }
        json.raw("data", self.data.as_bytes());
        if let Some(marks) = self.marks.as_deref() {
            if let Some(edited) = marks.edited {
                json.number("edited", edited);
            }
            if !marks.reactions.is_empty() {
                json.value("reactions", &marks.reactions);
            }
            if marks.deleted {
                json.raw("deleted", b"true");
            }
        }
        json.finish()
    }

    /// Its size in memory and on disk, about, in bytes: what queues and rings are bounded by.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.data.len() + self.name.len() + 256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_of_an_entry() {
        let ann = Party::parse("ann").unwrap();
        let mut entry = Entry {
            conversation: Conversation::pair(Party::parse("bob").unwrap(), ann.clone()),
            seq: 3,
            time: 1000,
            kind: EntryKind::Msg,
            id: MessageId::parse("a\"b").unwrap(),
            from: ann,
            name: "Ann \"A\"".into(),
            data: r#"{"text":"hi"}"#.into(),
            marks: None,
            position: 9,
        };
        assert_eq!(
            std::str::from_utf8(entry.to_frame().as_json()).unwrap(),
            r#"{"type":"msg","id":"a\"b","dest":"private/bob","from":"ann","name":"Ann \"A\"","time":1000,"seq":3,"data":{"text":"hi"}}"#
        );
        entry.conversation = Conversation::Public;
        entry.from = Party::foreign("lamp");
        let frame: serde_json::Value = serde_json::from_slice(entry.to_frame().as_json()).unwrap();
        assert_eq!(
            (&frame["from"], &frame["via"], &frame["dest"]),
            (&"mqtt:lamp".into(), &"mqtt".into(), &"public".into())
        );
        entry.marks = Some(Box::new(Marks {
            edited: Some(7),
            reactions: [("👍".to_owned(), vec![Party::parse("bob").unwrap()])].into(),
            deleted: true,
        }));
        let frame: serde_json::Value = serde_json::from_slice(entry.to_frame().as_json()).unwrap();
        assert_eq!(
            (&frame["edited"], &frame["reactions"], &frame["deleted"]),
            (&7.into(), &serde_json::json!({ "👍": ["bob"] }), &true.into())
        );
    }

    #[test]
    fn a_name_may_be_longer_than_what_is_said() {
        let entry = Entry {
            conversation: Conversation::Public,
            seq: 1,
            time: 2,
            kind: EntryKind::Msg,
            id: MessageId::parse("m1").unwrap(),
            from: Party::parse("ann").unwrap(),
            name: "Ann".into(),
            data: "{}".into(),
            marks: None,
            position: 3,
        };
        let frame: serde_json::Value = serde_json::from_slice(entry.to_frame().as_json()).unwrap();
        assert_eq!((&frame["name"], &frame["data"]), (&"Ann".into(), &serde_json::json!({})));
    }

    #[test]
    fn kinds_are_written_and_read_alike() {
        for kind in [EntryKind::Msg, EntryKind::Edit, EntryKind::Delete, EntryKind::React, EntryKind::Room] {
            assert_eq!(EntryKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(EntryKind::parse("typing"), None);
    }
}
