//! What the server sends: every frame but log entries and errors (§2–§5).

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;

use serde::Serialize;

use crate::{Dest, Entry, Frame, MessageId, UserId};

/// What a client may do and expect, told in the 1000 frame (§3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Unicode characters of `data.text`.
    pub text: usize,
    /// Bytes of one frame.
    pub frame: usize,
    /// Entries in one answer.
    pub history: u64,
    /// Conversations in one `hello`'s `resume`.
    pub resume: usize,
    /// How often a sign of life is expected at least, in ms.
    pub ping: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { text: 4096, frame: 65_536, history: 200, resume: 100, ping: 25_000 }
    }
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonState {
    /// At least one session on any node.
    Online,
    /// None.
    Offline,
}

/// A line of the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The user.
    pub id: UserId,
    /// The name that is shown.
    pub name: Arc<str>,
    /// Whether they are there; left out in `presence`, whose lists say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PersonState>,
    /// When they were last there, Unix time in ms; of those online, the present moment.
    pub last_seen: u64,
}

/// The content of a `presence` frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PresenceChange {
    /// How many users are there now.
    pub online: usize,
    /// Who came; in large conversations only the first of them.
    pub joined: Vec<Person>,
    /// Who went; in large conversations only the first of them.
    pub left: Vec<Person>,
}

/// The content of a 1000 frame.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// Who one is now.
    pub user: ReadyUser,
    /// This session's id.
    pub session: String,
    /// What proves it next time; `None` where the operator issues tokens.
    pub token: Option<String>,
    /// When the token that was shown ends, Unix time in ms, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What this session signs with, where signatures are looked at (§7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The version of the protocol: 1.
    pub protocol: u32,
    /// Which log `seq` counts in.
    pub log: String,
    /// What one may do.
    pub limits: Limits,
    /// Messages of others that the user hasn't read, by conversation: private ones, and rooms they belong to.
    pub unread: std::collections::BTreeMap<String, u64>,
}

/// Oneself in a 1000 frame.
#[derive(Clone, Debug, Serialize)]
pub struct ReadyUser {
    /// The id.
    pub id: UserId,
    /// The name that is shown.
    pub name: Arc<str>,
}

/// The frames that aren't entries of a log.
#[derive(Clone, Debug)]
pub enum ServerFrame<'a> {
    /// 1000: the session is ready.
    Ready {
        /// The `hello` answered.
        re: Option<&'a MessageId>,
        /// Its content.
        data: &'a Ready,
    },
    /// 100: on disk.
    Accepted {
        /// The entry.
        entry: &'a Entry,
    },
    /// 300: the other party has got it.
    Delivered {
        /// The message.
        id: &'a MessageId,
        /// Its conversation, as the sender names it.
        dest: &'a Dest,
        /// Its place.
        seq: u64,
        /// Who has got it.
        by: &'a UserId,
    },
    /// `reply`, with a finished JSON object.
    Reply {
        /// The frame answered.
        re: Option<&'a MessageId>,
        /// The conversation.
        dest: Option<&'a Dest>,
        /// Its content, a JSON object.
        data: &'a [u8],
    },
    /// `presence`.
    Presence {
        /// The conversation.
        dest: &'a Dest,
        /// Who came and went.
        data: &'a PresenceChange,
    },
    /// `status` of a private partner.
    Status {
        /// The partner.
        from: &'a UserId,
        /// Whether they are there.
        state: PersonState,
        /// When they were last there, Unix time in ms.
        last_seen: u64,
    },
    /// `typing`.
    Typing {
        /// The conversation.
        dest: &'a Dest,
        /// Who.
        from: &'a UserId,
        /// Their name.
        name: &'a str,
        /// Whether they still are.
        typing: bool,
    },
    /// `receipt`: somebody has read up to here.
    Receipt {
        /// The conversation, as `from` names it.
        dest: &'a Dest,
        /// Who.
        from: &'a UserId,
        /// Up to this `seq`.
        read: u64,
    },
    /// `gap`: entries that are not sent, to be fetched by `history`.
    Gap {
        /// The conversation.
        dest: &'a Dest,
        /// Those after this `seq` …
        after: u64,
        /// … and before this one.
        before: u64,
        /// Whether what the client has of it is of another log.
        reset: bool,
    },
    /// `bye`: the server stops.
    Bye {
        /// When to come back, in ms.
        retry_after: u64,
    },
    /// 1002.
    Pong {
        /// The ping answered.
        re: Option<&'a MessageId>,
    },
}

impl ServerFrame<'_> {
    /// Serialises it for the wire.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        Frame::text(&self.to_json())
    }

    /// Serialises it as JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        match self {
            Self::Ready { re, data } => answer(JsonWriter::transport(1000), *re, None).with("data", data),
            Self::Accepted { entry } => {
                let mut json = answer(JsonWriter::transport(100), Some(&entry.id), Some(&entry.dest()));
                json.number("seq", entry.seq);
                json.number("time", entry.time);
                json.string("data", entry.id.as_str());
                json.finish()
            }
            Self::Delivered { id, dest, seq, by } => {
                let mut json = answer(JsonWriter::transport(300), None, Some(dest));
                json.number("seq", *seq);
                json.string("by", by.as_str());
                json.string("data", id.as_str());
                json.finish()
            }
            Self::Reply { re, dest, data } => {
                let mut json = answer(JsonWriter::frame("reply", data.len() + 128), *re, *dest);
                json.raw("data", data);
                json.finish()
            }
            Self::Presence { dest, data } => {
                answer(JsonWriter::frame("presence", 256), None, Some(dest)).with("data", data)
            }
            Self::Status { from, state, last_seen } => {
                #[derive(Serialize)]
                struct Data {
                    state: PersonState,
                    last_seen: u64,
                }
                let mut json = JsonWriter::frame("status", 128);
                json.string("from", from.as_str());
                json.with("data", &Data { state: *state, last_seen: *last_seen })
            }
            Self::Typing { dest, from, name, typing } => {
                let mut json = answer(JsonWriter::frame("typing", 160), None, Some(dest));
                json.string("from", from.as_str());
                json.string("name", name);
                json.with("data", &serde_json::json!({ "typing": typing }))
            }
            Self::Receipt { dest, from, read } => {
                let mut json = answer(JsonWriter::frame("receipt", 128), None, Some(dest));
                json.string("from", from.as_str());
                json.with("data", &serde_json::json!({ "read": read }))
            }
            Self::Gap { dest, after, before, reset } => {
                let mut data = serde_json::json!({ "after": after, "before": before });
                if *reset {
                    data["reset"] = true.into();
                }
                answer(JsonWriter::frame("gap", 128), None, Some(dest)).with("data", &data)
            }
            Self::Bye { retry_after } => {
                JsonWriter::frame("bye", 64).with("data", &serde_json::json!({ "retry_after": retry_after }))
            }
            Self::Pong { re } => answer(JsonWriter::transport(1002), *re, None).finish(),
        }
    }
}

fn answer(mut json: JsonWriter, re: Option<&MessageId>, dest: Option<&Dest>) -> JsonWriter {
    if let Some(re) = re {
        json.string("re", re.as_str());
    }
    if let Some(dest) = dest {
        json.display("dest", dest);
    }
    json
}

/// Writes one JSON object member by member, in the order of the protocol's documents, without a tree in between.
pub(crate) struct JsonWriter(Vec<u8>);

impl JsonWriter {
    /// A frame with a string `type`.
    pub(crate) fn frame(kind: &str, capacity: usize) -> Self {
        let mut json = Vec::with_capacity(capacity);
        json.extend_from_slice(br#"{"type":""#);
        json.extend_from_slice(kind.as_bytes());
        json.push(b'"');
        Self(json)
    }

    /// A frame with an integer `type`.
    pub(crate) fn transport(kind: u32) -> Self {
        let mut json = Vec::with_capacity(256);
        // Writing to a Vec can't fail.
        let _ = write!(json, r#"{{"type":{kind}"#);
        Self(json)
    }

    fn key(&mut self, key: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    pub(crate) fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        // A string is always serialisable, and writing to a Vec can't fail.
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    /// A value whose text needs no escaping.
    pub(crate) fn display(&mut self, key: &str, value: &impl Display) {
        self.key(key);
        let _ = write!(self.0, "\"{value}\"");
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    pub(crate) fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.0.extend_from_slice(json);
    }

    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.key(key);
        let before = self.0.len();
        if serde_json::to_writer(&mut self.0, value).is_err() {
            self.0.truncate(before);
            self.0.extend_from_slice(b"null");
        }
    }

    fn with<T: Serialize + ?Sized>(mut self, key: &str, value: &T) -> Vec<u8> {
        self.value(key, value);
        self.finish()
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frame: &ServerFrame<'_>) -> String {
        String::from_utf8(frame.to_json()).unwrap()
    }

    #[test]
    fn frames_as_documented() {
        let ann = UserId::parse("ann").unwrap();
        let id = MessageId::parse("m1").unwrap();
        let dest = Dest::parse("private/bob").unwrap();
        assert_eq!(
            text(&ServerFrame::Delivered { id: &id, dest: &dest, seq: 4, by: &ann }),
            r#"{"type":300,"dest":"private/bob","seq":4,"by":"ann","data":"m1"}"#
        );
        assert_eq!(
            text(&ServerFrame::Gap { dest: &dest, after: 41, before: 900, reset: false }),
            r#"{"type":"gap","dest":"private/bob","data":{"after":41,"before":900}}"#
        );
        assert_eq!(
            text(&ServerFrame::Typing { dest: &Dest::Public, from: &ann, name: "A\"", typing: true }),
            r#"{"type":"typing","dest":"public","from":"ann","name":"A\"","data":{"typing":true}}"#
        );
        assert_eq!(
            text(&ServerFrame::Status { from: &ann, state: PersonState::Offline, last_seen: 5 }),
            r#"{"type":"status","from":"ann","data":{"state":"offline","last_seen":5}}"#
        );
        assert_eq!(
            text(&ServerFrame::Reply { re: Some(&id), dest: Some(&Dest::Public), data: b"{}" }),
            r#"{"type":"reply","re":"m1","dest":"public","data":{}}"#
        );
        assert_eq!(text(&ServerFrame::Pong { re: None }), r#"{"type":1002}"#);
        assert_eq!(text(&ServerFrame::Bye { retry_after: 9 }), r#"{"type":"bye","data":{"retry_after":9}}"#);
    }
}
