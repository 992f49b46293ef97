//! What a client sends: one frame parsed once into a command (§2–§4).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::emoji::{EMOJI_MAX, is_emoji};
use crate::error::{ErrorCode, Refusal};
use crate::{Dest, DisplayName, MessageId, Party, RoomChange, Strict, UserId};

/// A client's frame: who asks for an answer, where, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientFrame {
    /// The sender's id for it; always there for data messages.
    pub id: Option<MessageId>,
    /// The conversation; always there where the command needs one.
    pub dest: Option<Dest>,
    /// What to do.
    pub command: Command,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Opens the session.
    Hello(Hello),
    /// Joins `dest`, asking for at most so many of its newest entries.
    Join {
        /// How many entries; 0 for none.
        history: u64,
    },
    /// Leaves `dest`.
    Leave,
    /// Says `data` in `dest`.
    Msg(Map<String, Value>),
    /// Is typing, or no longer.
    Typing(bool),
    /// Has read `dest` up to this `seq`.
    Read {
        /// The last entry read.
        seq: u64,
    },
    /// Has got this private message (200).
    Received(MessageId),
    /// Asks for a page of the log.
    History(HistoryBounds),
    /// Asks for a page of the roster.
    Roster {
        /// The user id after which the page begins.
        after: Option<String>,
        /// How many people at most.
        limit: Option<u64>,
    },
    /// Asks for a page of the user's conversations.
    Conversations {
        /// The dest after which the page begins.
        after: Option<String>,
        /// How many at most.
        limit: Option<u64>,
    },
    /// Changes the text of a message of one's own.
    Edit {
        /// Which.
        target: Target,
        /// Its new text.
        text: String,
    },
    /// Takes a message back.
    Delete(Target),
    /// Reacts to a message, or no longer.
    React {
        /// Which.
        target: Target,
        /// With what: 1 to 32 bytes, no control characters.
        emoji: String,
        /// Whether the reaction is to stand.
        on: bool,
    },
    /// Looks for messages by their text, in `dest` or wherever the user may read.
    Search {
        /// Words, `"a phrase"`, `prefix*`, `from:ann`.
        q: String,
        /// How many at most.
        limit: Option<u64>,
    },
    /// Asks for a page of the rooms that the user can see.
    Rooms {
        /// The room id after which the page begins.
        after: Option<String>,
        /// How many at most.
        limit: Option<u64>,
    },
    /// Makes the room `dest`, changes it, or changes who belongs to it.
    Room(RoomChange),
    /// Shows a fresh token, before the one of the session ends.
    Token(String),
    /// A type of the application around the server: see [`ClientFrame::parse_with`].
    Own {
        /// The `type`.
        kind: String,
        /// The `data` as it came; `null` where there was none.
        data: Value,
    },
    /// 1001.
    Ping,
    /// 1002.
    Pong,
}

/// Which message is meant: by the id that its author gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The message's id.
    pub id: MessageId,
    /// Its author; needed where two of them have used the same id.
    pub author: Option<Party>,
}

/// `hello`: who comes, and what they have seen already (§3).
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The name to be shown.
    pub name: Option<DisplayName>,
    /// The token of an earlier session, or of the operator's application.
    pub token: Option<String>,
    /// The log that `resume` speaks of.
    pub log: Option<String>,
    /// The last `seq` that this client has, by conversation.
    pub resume: BTreeMap<Dest, u64>,
}

/// Which entries of a log: those before or after one, exclusive; without either the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryBounds {
    /// Entries below this `seq`, the newest of them.
    pub before: Option<u64>,
    /// Entries above this `seq`, the oldest of them.
    pub after: Option<u64>,
    /// How many at most.
    pub limit: Option<u64>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: Option<Value>,
    id: Option<Value>,
    dest: Option<Value>,
    #[serde(default, deserialize_with = "strict")]
    data: Option<Value>,
}

fn strict<'de, D: Deserializer<'de>>(data: D) -> Result<Option<Value>, D::Error> {
    Ok(Option::<Strict>::deserialize(data)?.map(|data| data.0))
}

impl ClientFrame {
    /// Parses the text of one frame.
    ///
    /// Nesting is bounded by `serde_json` (128 levels); the frame's size is the caller's to bound.
    ///
    /// # Errors
    /// A [`Refusal`] that says what is wrong and names the frame's id where it has one:
    /// `bad_frame`, `bad_dest` or `unknown_type`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Self::parse_with(text, |_| false)
    }

    /// [`ClientFrame::parse`], where `is_own` tells which `type`s that are not of this protocol are known all the same.
    /// It is asked only about those.
    ///
    /// # Errors
    /// As [`ClientFrame::parse`].
    pub fn parse_with(text: &str, is_own: impl Fn(&str) -> bool) -> Result<Self, Refusal> {
        if !text.trim_start().starts_with('{') {
            return Err(bad("a frame is one JSON object"));
        }
        let raw: Raw = serde_json::from_str(text).map_err(|error| bad(format!("not a frame: {error}")))?;
        let id = match &raw.id {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(MessageId::parse(id).ok_or_else(bad_id)?),
            Some(_) => return Err(bad_id()),
        };
        let dest = match &raw.dest {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(dest)) => Dest::parse(dest).map(Some),
            Some(_) => Err(Refusal::new(ErrorCode::BadDest, "dest must be a string")),
        };
        let command = Self::command(&raw, is_own).map_err(|refusal| refusal.re(id.clone()));
        let (command, dest) = match (command, dest) {
            // What can't be read at all is said before where it should go.
            (Err(refusal), dest) => return Err(refusal.about(dest.ok().flatten())),
            (Ok(_), Err(refusal)) => return Err(refusal.re(id)),
            (Ok(command), Ok(dest)) => (command, dest),
        };
        if command.needs_id() && id.is_none() {
            return Err(bad("this frame needs an id").about(dest));
        }
        if command.needs_dest() && dest.is_none() {
            return Err(Refusal::new(ErrorCode::BadDest, "this frame needs a dest").re(id));
        }
        Ok(Self { id, dest, command })
    }

    fn command(raw: &Raw, is_own: impl Fn(&str) -> bool) -> Result<Command, Refusal> {
        let data = Data(raw.data.as_ref());
        match &raw.kind {
            Some(Value::String(kind)) => match data_command(kind, &data) {
                Err(refusal) if refusal.code == ErrorCode::UnknownType && is_own(kind) => {
                    Ok(Command::Own { kind: kind.clone(), data: raw.data.clone().unwrap_or_default() })
                }
                command => command,
            },
            Some(Value::Number(kind)) => match kind.as_u64() {
                Some(200) => {
                    let id = raw.data.as_ref().and_then(Value::as_str).and_then(MessageId::parse);
                    id.map(Command::Received).ok_or_else(|| bad("data of a 200 is the message id"))
                }
                Some(1001) => Ok(Command::Ping),
                Some(1002) => Ok(Command::Pong),
                _ => Err(unknown(kind)),
            },
            None => Err(bad("a frame needs a type")),
            Some(_) => Err(bad("type is a string or an integer")),
        }
    }
}

fn data_command(kind: &str, data: &Data<'_>) -> Result<Command, Refusal> {
    Ok(match kind {
        "hello" => Command::Hello(hello(data)?),
        "join" => Command::Join { history: data.number("history")?.unwrap_or(0) },
        "leave" => Command::Leave,
        "msg" => match data.0 {
            Some(Value::Object(map)) if map.get("text").is_none_or(Value::is_string) => {
                Command::Msg(map.clone())
            }
            Some(Value::Object(_)) => return Err(bad("data.text must be a string")),
            _ => return Err(bad("data of a msg must be an object")),
        },
        "typing" => {
            Command::Typing(data.boolean("typing")?.ok_or_else(|| bad("data.typing must be true or false"))?)
        }
        "read" => Command::Read { seq: data.number("seq")?.ok_or_else(|| bad("data.seq is missing"))? },
        "history" => {
            let bounds = HistoryBounds {
                before: data.number("before")?,
                after: data.number("after")?,
                limit: data.number("limit")?,
            };
            if bounds.before.is_some() && bounds.after.is_some() {
                return Err(bad("give data.before or data.after, not both"));
            }
            Command::History(bounds)
        }
        "roster" => Command::Roster { after: data.string("after")?, limit: data.number("limit")? },
        "conversations" => {
            Command::Conversations { after: data.string("after")?, limit: data.number("limit")? }
        }
        "edit" => Command::Edit {
            target: target(data)?,
            text: data.string("text")?.ok_or_else(|| bad("data.text is missing"))?,
        },
        "delete" => Command::Delete(target(data)?),
        "react" => Command::React {
            target: target(data)?,
            emoji: emoji(data)?,
            on: data.boolean("on")?.unwrap_or(true),
        },
        "search" => Command::Search {
            q: data.string("q")?.ok_or_else(|| bad("data.q is missing"))?,
            limit: data.number("limit")?,
        },
        "token" => Command::Token(data.string("token")?.ok_or_else(|| bad("data.token is missing"))?),
        "rooms" => Command::Rooms { after: data.string("after")?, limit: data.number("limit")? },
        "room.create" => Command::Room(RoomChange::Create {
            title: title(data)?.ok_or_else(|| bad("data.title is missing"))?,
            open: data.boolean("open")?.unwrap_or(false),
            members: users(data)?,
        }),
        "room.update" => {
            let (title, open) = (title(data)?, data.boolean("open")?);
            if title.is_none() && open.is_none() {
                return Err(bad("give data.title or data.open"));
            }
            Command::Room(RoomChange::Update { title, open })
        }
        "room.delete" => Command::Room(RoomChange::Delete),
        "member.add" => Command::Room(RoomChange::AddMember(user(data)?)),
        "member.remove" => Command::Room(RoomChange::RemoveMember(user(data)?)),
        _ => return Err(unknown(kind)),
    })
}

fn target(data: &Data<'_>) -> Result<Target, Refusal> {
    let id = data.string("target")?.ok_or_else(|| bad("data.target is missing: the id of a message"))?;
    let id = MessageId::parse(&id).ok_or_else(|| bad("data.target is no message id"))?;
    let author = match data.string("author")? {
        Some(author) => Some(Party::parse(&author).ok_or_else(|| bad("data.author is no user id"))?),
        None => None,
    };
    Ok(Target { id, author })
}

fn emoji(data: &Data<'_>) -> Result<String, Refusal> {
    let emoji = data.string("emoji")?.unwrap_or_default();
    if !is_emoji(&emoji) {
        let reason = format!("data.emoji is an emoji or a word, 1 to {EMOJI_MAX} bytes that can be seen");
        return Err(bad(reason));
    }
    Ok(emoji)
}

fn title(data: &Data<'_>) -> Result<Option<Arc<str>>, Refusal> {
    let title = data.string("title")?.map(|title| {
        DisplayName::parse(&title).map(|title| title.to_shared()).ok_or_else(|| {
            bad("a title is 1 to 64 characters, without control, direction-changing or invisible ones")
        })
    });
    title.transpose()
}

fn user(data: &Data<'_>) -> Result<UserId, Refusal> {
    data.string("user")?.as_deref().and_then(UserId::parse).ok_or_else(|| bad("data.user must be a user id"))
}

fn users(data: &Data<'_>) -> Result<Vec<UserId>, Refusal> {
    let wrong = || bad("data.members must be a list of user ids");
    match data.get("members") {
        None => Ok(Vec::new()),
        Some(Value::Array(users)) => {
            users.iter().map(|user| user.as_str().and_then(UserId::parse).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn hello(data: &Data<'_>) -> Result<Hello, Refusal> {
    let name = match data.string("name")? {
        Some(name) => Some(DisplayName::parse(&name).ok_or_else(|| {
            bad("a name is 1 to 64 characters, without control, direction-changing or invisible ones")
        })?),
        None => None,
    };
    let mut resume = BTreeMap::new();
    match data.get("resume") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for (dest, seq) in map {
                let dest =
                    Dest::parse(dest).map_err(|refusal| bad(format!("data.resume: {}", refusal.reason)))?;
                let seq =
                    integer(seq).ok_or_else(|| bad("data.resume must give a seq for each conversation"))?;
                resume.insert(dest, seq);
            }
        }
        Some(_) => return Err(bad("data.resume must be an object")),
    }
    Ok(Hello { name, token: data.string("token")?, log: data.string("log")?, resume })
}

impl Command {
    /// Data messages whose answer can only be found by their id.
    fn needs_id(&self) -> bool {
        matches!(
            self,
            Self::Msg(_) | Self::Edit { .. } | Self::Delete(_) | Self::React { .. } | Self::Room(_)
        )
    }

    fn needs_dest(&self) -> bool {
        matches!(
            self,
            Self::Join { .. }
                | Self::Leave
                | Self::Msg(_)
                | Self::Edit { .. }
                | Self::Delete(_)
                | Self::React { .. }
                | Self::Room(_)
                | Self::Typing(_)
                | Self::Read { .. }
                | Self::History(_)
                | Self::Roster { .. }
        )
    }
}

/// The `data` of a frame, read member by member; `null` is the same as absent.
struct Data<'a>(Option<&'a Value>);

impl<'a> Data<'a> {
    fn get(&self, member: &str) -> Option<&'a Value> {
        self.0?.get(member).filter(|value| !value.is_null())
    }

    fn number(&self, member: &str) -> Result<Option<u64>, Refusal> {
        let number =
            |value| integer(value).ok_or_else(|| bad(format!("data.{member} must be a whole number from 0")));
        self.get(member).map(number).transpose()
    }

    fn boolean(&self, member: &str) -> Result<Option<bool>, Refusal> {
        let boolean = |value: &Value| {
            value.as_bool().ok_or_else(|| bad(format!("data.{member} must be true or false")))
        };
        self.get(member).map(boolean).transpose()
    }

    fn string(&self, member: &str) -> Result<Option<String>, Refusal> {
        let string = |value: &Value| value.as_str().map(str::to_owned);
        self.get(member)
            .map(|value| string(value).ok_or_else(|| bad(format!("data.{member} must be a string"))))
            .transpose()
    }
}

/// A whole number that every JSON implementation holds exactly (RFC 8259 §6), and no negative one.
fn integer(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number <= (1 << 53))
}

fn bad(reason: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::BadFrame, reason)
}

fn bad_id() -> Refusal {
    bad("an id is 1 to 64 printable ASCII characters")
}

fn unknown(kind: impl std::fmt::Display) -> Refusal {
    let kind: String = kind.to_string().chars().take(32).collect();
    Refusal::new(ErrorCode::UnknownType, format!("this server doesn't know the type {kind}"))
}

#[cfg(test)]
mod tests;
