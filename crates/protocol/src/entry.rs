//! One entry of a conversation's log (§2).

use std::sync::Arc;

use crate::server::JsonWriter;
use crate::{Conversation, Dest, Frame, MessageId, Party};

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A message.
    Msg,
}

impl EntryKind {
    /// The `type` of its frame.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Msg => "msg",
        }
    }

    /// Parses a `type`; `None` when entries have no such.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text == "msg").then_some(Self::Msg)
    }
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
    /// Its content, a compact JSON object.
    pub data: Box<str>,
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
    }
}
