//! What the server answers when it can't do what was asked (§4).

use crate::{Dest, Frame, MessageId};
use serde::ser::SerializeMap;

/// The codes of an `error` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not a frame of the protocol.
    BadFrame,
    /// Not the name of a conversation.
    BadDest,
    /// No such message to change, or more than one.
    BadTarget,
    /// Larger than `limits` allow.
    TooLarge,
    /// A `type` that this server doesn't know.
    UnknownType,
    /// Something other than `hello` came first.
    HelloFirst,
    /// The name's id belongs to somebody else.
    NameTaken,
    /// A bad, expired or missing token or signature.
    Unauthorized,
    /// Known, but not allowed.
    Forbidden,
    /// Unknown, or not to be known by this user.
    NotFound,
    /// Needs a `join` first.
    NotJoined,
    /// It is there already.
    Conflict,
    /// The same message id with another content.
    IdConflict,
    /// Too much in too short a time.
    RateLimited,
    /// The store is away; it may or may not have been stored.
    Unavailable,
}

impl ErrorCode {
    /// The code as it is written in a frame.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad_frame",
            Self::BadDest => "bad_dest",
            Self::BadTarget => "bad_target",
            Self::TooLarge => "too_large",
            Self::UnknownType => "unknown_type",
            Self::HelloFirst => "hello_first",
            Self::NameTaken => "name_taken",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NotJoined => "not_joined",
            Self::Conflict => "conflict",
            Self::IdConflict => "id_conflict",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the same frame can succeed when it is sent again later.
    #[must_use]
    pub fn retry(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable)
    }
}

/// Why something was not done, told to whoever asked for it: an `error` frame to be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {reason}", code.as_str())]
pub struct Refusal {
    /// The kind of refusal.
    pub code: ErrorCode,
    /// One sentence that a person can act on.
    pub reason: String,
    /// The id of the frame that is refused.
    pub re: Option<MessageId>,
    /// The conversation it is about.
    pub dest: Option<Dest>,
    /// When to try again, in ms (`rate_limited`).
    pub retry_after: Option<u64>,
    /// A free name (`name_taken`).
    pub suggestion: Option<String>,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), re: None, dest: None, retry_after: None, suggestion: None }
    }

    /// Names the frame that is refused.
    #[must_use]
    pub fn re(mut self, id: Option<MessageId>) -> Self {
        self.re = id;
        self
    }

    /// Names the conversation.
    #[must_use]
    pub fn about(mut self, dest: Option<Dest>) -> Self {
        self.dest = dest;
        self
    }

    /// The `error` frame that says it.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        Frame::json(self)
    }
}

impl serde::Serialize for Refusal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Data<'a> {
            code: &'a str,
            reason: &'a str,
            retry: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            suggestion: Option<&'a str>,
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "error")?;
        if let Some(re) = &self.re {
            map.serialize_entry("re", re)?;
        }
        if let Some(dest) = &self.dest {
            map.serialize_entry("dest", dest)?;
        }
        map.serialize_entry(
            "data",
            &Data {
                code: self.code.as_str(),
                reason: &self.reason,
                retry: self.code.retry(),
                retry_after: self.retry_after,
                suggestion: self.suggestion.as_deref(),
            },
        )?;
        map.end()
    }
}
