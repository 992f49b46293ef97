//! Rows as values.

use mqttchat_protocol::{Conversation, Entry, EntryKind, MessageId, Party, UserId};
use rusqlite::Row;

use super::fault::Fault;
use crate::User;
use crate::change::Earlier;
use crate::integer::unsigned;
use crate::marks::marks;

/// The columns of an entry, of `entries e`, `parties p` and, joined from the left, `marks m`.
macro_rules! entry_columns {
    () => {
        "e.seq, e.time, e.kind, e.id, p.name, e.name, coalesce(m.data, e.data), e.position, m.edited, m.deleted,
         CASE WHEN m.position IS NOT NULL THEN
             (SELECT json_group_array(json_array(r.emoji, rp.name)) FROM reactions r CROSS JOIN parties rp ON rp.id = r.party
              WHERE r.target = m.position)
         END"
    };
}
pub(super) use entry_columns;

/// Where what [`entry_columns`] names comes from, behind `entries e`.
macro_rules! entry_joins {
    () => {
        " CROSS JOIN parties p ON p.id = e.sender LEFT JOIN marks m ON m.position = e.position "
    };
}
pub(super) use entry_joins;

/// An entry by its sender's number (?1) and id (?2).
pub(super) const ENTRY_BY_ID: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", c.key, e.data FROM entries e",
    entry_joins!(),
    "CROSS JOIN conversations c ON c.id = e.conversation WHERE e.sender = ?1 AND e.id = ?2"
);

/// The last entry of a packet id (?1) in a broker session (?2).
pub(super) const ENTRY_BY_INGEST: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", c.key, e.data FROM ingested i CROSS JOIN entries e ON e.position = i.position",
    entry_joins!(),
    "CROSS JOIN conversations c ON c.id = e.conversation WHERE i.packet = ?1 AND i.session = ?2"
);

/// How many columns an entry has; what comes after begins there.
pub(super) const ENTRY_WIDTH: usize = 11;

/// An entry of a conversation that is known.
pub(super) fn entry(row: &Row<'_>, conversation: Conversation) -> Result<Entry, Fault> {
    entry_at(row, 0, conversation)
}

/// An entry whose columns begin at `first`.
pub(super) fn entry_at(row: &Row<'_>, first: usize, conversation: Conversation) -> Result<Entry, Fault> {
    let edited: Option<i64> = row.get(first + 8)?;
    let reactions = row.get_ref(first + 10)?.as_str_or_null().map_err(unreadable)?;
    let deleted: Option<bool> = row.get(first + 9)?;
    let marks =
        marks(edited.map(unsigned), deleted.unwrap_or(false), reactions).map_err(Fault::Unreadable)?;
    Ok(Entry {
        conversation,
        seq: unsigned(row.get(first)?),
        time: unsigned(row.get(first + 1)?),
        kind: parsed(row, first + 2, EntryKind::parse)?,
        id: parsed(row, first + 3, MessageId::parse)?,
        from: parsed(row, first + 4, Party::parse)?,
        name: text(row, first + 5)?.into(),
        data: text(row, first + 6)?.into(),
        marks,
        position: unsigned(row.get(first + 7)?),
    })
}

fn unreadable(error: impl std::fmt::Display) -> Fault {
    Fault::Unreadable(error.to_string())
}

/// An entry with its conversation's key and its stored data behind it.
pub(super) fn earlier(row: &Row<'_>) -> Result<Earlier, Fault> {
    Ok(Earlier { entry: entry_with_conversation(row)?, stored: text(row, ENTRY_WIDTH + 1)?.into() })
}

/// An entry with its conversation's key behind it.
pub(super) fn entry_with_conversation(row: &Row<'_>) -> Result<Entry, Fault> {
    entry(row, parsed(row, ENTRY_WIDTH, Conversation::parse)?)
}

/// The columns of a user.
macro_rules! user_columns {
    () => {
        "id, name, issuer, serial, blocked, created, last_seen, blocks"
    };
}
pub(super) use user_columns;

/// A user.
pub(super) fn user(row: &Row<'_>) -> Result<User, Fault> {
    Ok(User {
        id: parsed(row, 0, UserId::parse)?,
        name: text(row, 1)?.into(),
        issuer: text(row, 2)?.into(),
        serial: unsigned(row.get(3)?),
        blocked: row.get(4)?,
        created: unsigned(row.get(5)?),
        last_seen: unsigned(row.get(6)?),
        blocks: unsigned(row.get(7)?),
    })
}

/// A text, borrowed from the row.
pub(super) fn text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, Fault> {
    row.get_ref(column)?
        .as_str()
        .map_err(|error| Fault::Unreadable(format!("column {column} is not a text: {error}")))
}

/// A text that stands for a value.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
    let text = text(row, column)?;
    parse(text).ok_or_else(|| Fault::Unreadable(format!("{text:?} in column {column}")))
}
