//! The entries of a log, as clients are shown them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One entry of a log, or of somebody's view of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place.
    pub seq: u64,
    /// The sender's id for it.
    pub id: String,
    /// Who wrote it.
    pub from: String,
    /// Unix time in ms.
    pub time: u64,
    /// What it says: the text of a message, which is different for each of a run, or what [`said`] makes of a change.
    pub text: String,
    /// What it changes, when it is no message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub does: Option<Deed>,
    /// What later entries have made of it.
    #[serde(default, skip_serializing_if = "Marks::are_none")]
    pub marks: Marks,
}

/// What an entry does to others, or to a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// The message at this place says something else now.
    Edit(u64),
    /// It is gone.
    Delete(u64),
    /// Its author thinks something of it, or no longer.
    React {
        /// The message's place.
        seq: u64,
        /// What they think.
        emoji: String,
        /// Whether they do.
        on: bool,
    },
    /// The room is made, for these.
    Make(Vec<String>),
    /// They belong to the room.
    Add(String),
    /// They do no longer.
    Remove(String),
}

/// What stands beside a message that was changed (docs/protocol.md, "Changing messages").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// When its text was changed last.
    #[serde(default)]
    pub edited: Option<u64>,
    /// Who reacts, by emoji, in the order of their ids.
    #[serde(default)]
    pub reactions: BTreeMap<String, Vec<String>>,
    /// Whether its content is gone.
    #[serde(default)]
    pub deleted: bool,
}

impl Marks {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Deed {
    /// The place of the message that it changes.
    #[must_use]
    pub fn target(&self) -> Option<u64> {
        match self {
            Self::Edit(seq) | Self::Delete(seq) | Self::React { seq, .. } => Some(*seq),
            Self::Make(_) | Self::Add(_) | Self::Remove(_) => None,
        }
    }
}

impl Entry {
    /// Reads an entry as everybody gets it.
    ///
    /// # Errors
    /// When the frame is no entry, or something is missing.
    pub fn read(frame: &Value) -> Result<Self> {
        let (seq, time) = (number(&frame["seq"])?, number(&frame["time"])?);
        let (id, from) = (text(&frame["id"])?, text(&frame["from"])?);
        let kind = frame["type"].as_str().context("an entry without a type")?;
        let data = &frame["data"];
        let does = match kind {
            "msg" => None,
            "edit" => Some(Deed::Edit(number(&data["seq"])?)),
            "delete" => Some(Deed::Delete(number(&data["seq"])?)),
            "react" => Some(Deed::React {
                seq: number(&data["seq"])?,
                emoji: text(&data["emoji"])?,
                on: data["on"] != false,
            }),
            "room" => Some(match data["change"].as_str() {
                Some("create") => Deed::Make(users(&data["room"]["members"])?),
                Some("add") => Deed::Add(text(&data["user"])?),
                Some("remove") => Deed::Remove(text(&data["user"])?),
                _ => bail!("nobody changes a room like that: {frame}"),
            }),
            _ => bail!("no entry: {frame}"),
        };
        let kind = match does {
            Some(Deed::Make(_)) => "room.create",
            Some(Deed::Add(_)) => "member.add",
            Some(Deed::Remove(_)) => "member.remove",
            _ => kind,
        };
        let reactions = frame["reactions"].as_object().into_iter().flatten();
        let marks = Marks {
            edited: frame["edited"].as_u64(),
            reactions: reactions
                .map(|(emoji, who)| Ok((emoji.clone(), users(who)?)))
                .collect::<Result<_>>()?,
            deleted: frame["deleted"] == true,
        };
        Ok(Self { seq, id, from, time, text: said(kind, data), does, marks })
    }
}

/// What a frame of this kind says with this `data`, in a line; of what is gone, nothing.
#[must_use]
pub fn said(kind: &str, data: &Value) -> String {
    let member = |name: &str| data[name].as_str().unwrap_or_default();
    match kind {
        "msg" => member("text").to_owned(),
        "edit" => edited(member("target"), member("text")),
        "delete" => format!("delete {}", member("target")),
        "react" => format!("react to {} {} {}", member("target"), member("emoji"), data["on"] != false),
        "member.add" | "member.remove" => format!("{kind} {}", member("user")),
        _ => kind.to_owned(),
    }
}

/// What an edit of this message to this text says.
#[must_use]
pub fn edited(target: &str, text: &str) -> String {
    format!("edit {target}: {text}")
}

fn users(value: &Value) -> Result<Vec<String>> {
    value.as_array().context("no list of users")?.iter().map(text).collect()
}

pub(super) fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} where a number belongs"))
}

pub(super) fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value} where a text belongs"))
}
