//! What is told: one event as it is posted.

use mqttchat_protocol::{Conversation, Entry, EntryKind, UserId};
use serde_json::value::RawValue;

/// What kinds of events there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something was said.
    Message,
    /// A private message has not reached its reader in time.
    Undelivered,
}

impl Kind {
    /// Its name in settings and in the body.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Undelivered => "private.undelivered",
        }
    }

    /// Whether it can be about this entry.
    pub(super) fn concerns(self, entry: &Entry) -> bool {
        let deleted = entry.marks.as_ref().is_some_and(|marks| marks.deleted);
        entry.kind == EntryKind::Msg
            && !deleted
            && match self {
                Self::Message => true,
                Self::Undelivered => reader(entry).is_some(),
            }
    }
}

/// The user who is to get a private message, other than its author.
pub(super) fn reader(entry: &Entry) -> Option<UserId> {
    let Conversation::Pair(one, other) = &entry.conversation else { return None };
    let reader = if *one == entry.from { other } else { one };
    (*reader != entry.from).then(|| reader.user()).flatten()
}

/// An event, ready to be posted.
#[derive(Debug)]
pub(super) struct Event {
    /// The same each time it is told, and of no other.
    pub(super) id: String,
    /// What happened, as JSON.
    pub(super) body: String,
    /// When, Unix time in ms.
    pub(super) time: u64,
}

impl Event {
    pub(super) fn new(kind: Kind, entry: &Entry, log: &str) -> Self {
        #[derive(serde::Serialize)]
        struct Body<'a> {
            r#type: &'a str,
            log: &'a str,
            conversation: String,
            seq: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            to: Option<UserId>,
            entry: Option<Box<RawValue>>,
        }
        let frame = entry.to_frame();
        let json = std::str::from_utf8(frame.as_json()).ok().map(str::to_owned);
        let conversation = entry.conversation.to_string();
        let id = format!("{}/{log}/{conversation}/{}", kind.as_str(), entry.seq);
        let body = Body {
            r#type: kind.as_str(),
            log,
            conversation,
            seq: entry.seq,
            to: reader(entry),
            entry: json.and_then(|json| RawValue::from_string(json).ok()),
        };
        // Texts, numbers and finished JSON can always be written.
        Self { id, body: serde_json::to_string(&body).unwrap_or_default(), time: entry.time }
    }
}

#[cfg(test)]
mod tests {
    use mqttchat_protocol::{MessageId, Party};
    use serde_json::json;

    use super::*;

    fn entry(from: &str, other: &str) -> Entry {
        let from = Party::parse(from).unwrap();
        Entry {
            conversation: Conversation::pair(from.clone(), Party::parse(other).unwrap()),
            seq: 3,
            time: 1000,
            kind: EntryKind::Msg,
            id: MessageId::parse("m1").unwrap(),
            from,
            name: "Ann".into(),
            data: r#"{"text":"hi"}"#.into(),
            marks: None,
            position: 9,
        }
    }

    #[test]
    fn the_body() {
        let event = Event::new(Kind::Undelivered, &entry("bob", "ann"), "l1");
        assert_eq!(event.id, "private.undelivered/l1/pair/ann/bob/3");
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        let frame = json!({"type": "msg", "id": "m1", "dest": "private/ann", "from": "bob", "name": "Ann",
            "time": 1000, "seq": 3, "data": {"text": "hi"}});
        let expected = json!({"type": "private.undelivered", "log": "l1", "conversation": "pair/ann/bob", "seq": 3,
            "to": "ann", "entry": frame});
        assert_eq!(body, expected);
    }

    #[test]
    fn whom_it_concerns() {
        assert!(Kind::Undelivered.concerns(&entry("ann", "bob")));
        assert!(!Kind::Undelivered.concerns(&entry("ann", "ann")), "notes to oneself have arrived");
        assert!(Kind::Message.concerns(&entry("ann", "ann")));
        assert!(!Kind::Message.concerns(&Entry { kind: EntryKind::Edit, ..entry("ann", "bob") }));
    }
}
