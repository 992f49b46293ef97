//! Entries that change something: a message, or the room itself (docs/protocol.md §4), and who may.

use mqttchat_protocol::{Entry, EntryKind, Party, RoomChange, Target};
use serde_json::Value;

use crate::content::{parsed, same_value};
use crate::rooms::Access;
use crate::{AppendError, NewEntry};

/// How many different reactions a message can have: it is shown with all of them.
pub(crate) const EMOJIS: u64 = 50;

/// What an entry changes, beside being one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A message gets the `text` of the entry's data.
    Edit(Target),
    /// A message ends: its content is gone from the store, its entry stays.
    Delete(Target),
    /// Somebody reacts to a message, or no longer.
    React {
        /// Which.
        target: Target,
        /// With what.
        emoji: String,
        /// Whether the reaction is to stand.
        on: bool,
    },
    /// The room is made, changed or deleted, or who belongs to it is.
    Room(RoomChange),
}

impl Change {
    /// The message that it is about.
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Edit(target) | Self::Delete(target) | Self::React { target, .. } => Some(target),
            Self::Room(_) => None,
        }
    }

    /// Whether `from` may do that to a message of `author`, given that they may write there.
    pub(crate) fn check(&self, from: &Party, author: &Party, access: Access) -> Result<(), AppendError> {
        match self {
            Self::Edit(_) if from != author => {
                Err(AppendError::Forbidden("only its author can change a message"))
            }
            Self::Delete(_) if from != author && access != Access::Owner => {
                Err(AppendError::Forbidden("only its author or the room's owner can delete a message"))
            }
            _ => Ok(()),
        }
    }
}

/// Why a target isn't one.
pub(crate) fn no_such_message() -> AppendError {
    AppendError::BadTarget("there is no such message here, or it is deleted")
}

/// The same.
pub(crate) fn ambiguous() -> AppendError {
    AppendError::BadTarget("several messages here have this id: name data.author")
}

/// Why a reaction isn't taken.
pub(crate) fn too_many_reactions() -> AppendError {
    AppendError::Conflict("this message has as many different reactions as it can have")
}

/// The member that the store adds to the data of a change.
pub(crate) const SEQ: &str = "seq";
/// The same for a change of a room.
pub(crate) const ROOM: &str = "room";

/// An entry that is stored under the id of a new one.
pub(crate) struct Earlier {
    /// As it is now.
    pub(crate) entry: Entry,
    /// Its data as it was stored, or what is left of it.
    pub(crate) stored: Box<str>,
}

impl Earlier {
    /// Whether a new entry is the same again. What the store has added doesn't count, nor what is deleted.
    pub(crate) fn is_same_as(&self, new: &NewEntry) -> bool {
        if new.kind != self.entry.kind || new.conversation != self.entry.conversation {
            return false;
        }
        if *self.stored == *new.data {
            return true;
        }
        let (Some(Value::Object(mut stored)), Some(new)) = (parsed(&self.stored), parsed(&new.data)) else {
            return false;
        };
        match self.entry.kind {
            EntryKind::Msg if self.entry.marks.as_ref().is_some_and(|marks| marks.deleted) => return true,
            EntryKind::Msg => {}
            EntryKind::Edit if !stored.contains_key("text") => return true,
            EntryKind::Edit | EntryKind::Delete | EntryKind::React => drop(stored.shift_remove(SEQ)),
            EntryKind::Room => drop(stored.shift_remove(ROOM)),
        }
        same_value(&Value::Object(stored), &new)
    }
}

/// The data of a message with another text.
pub(crate) fn with_text(data: &str, edit: &str) -> Option<String> {
    let (Value::Object(mut data), Value::Object(mut edit)) = (parsed(data)?, parsed(edit)?) else {
        return None;
    };
    data.insert("text".into(), edit.shift_remove("text")?);
    Some(Value::Object(data).to_string())
}

/// The data of a change with the `seq` of its target, or of a room entry with the room as it is then.
pub(crate) fn with_member(data: &str, name: &str, value: Value) -> Option<Box<str>> {
    let Value::Object(mut data) = parsed(data)? else { return None };
    data.insert(name.into(), value);
    Some(Value::Object(data).to_string().into())
}

/// What stays of the data of an edit when its message is deleted.
pub(crate) fn without_text(edit: &str) -> Option<String> {
    let Value::Object(mut edit) = parsed(edit)? else { return None };
    edit.retain(|member, _| ["target", "author", SEQ].contains(&member.as_str()));
    Some(Value::Object(edit).to_string())
}
