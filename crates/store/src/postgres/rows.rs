//! Rows as values.

use mqttchat_protocol::{Conversation, Entry, EntryKind, MessageId, Party, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

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
             (SELECT json_agg(json_build_array(r.emoji, rp.name))::text FROM reactions r JOIN parties rp ON rp.id = r.party
              WHERE r.target = m.position)
         END"
    };
}
pub(super) use entry_columns;

/// Where what [`entry_columns`] names comes from, behind `entries e`.
macro_rules! entry_joins {
    () => {
        " JOIN parties p ON p.id = e.sender LEFT JOIN marks m ON m.position = e.position "
    };
}
pub(super) use entry_joins;

/// How many columns an entry has; what comes after begins there.
pub(super) const ENTRY_WIDTH: usize = 11;

/// An entry whose columns begin at `first`.
pub(super) fn entry_at(row: &Row, first: usize, conversation: Conversation) -> Result<Entry, Fault> {
    let edited: Option<i64> = value(row, first + 8)?;
    let deleted: Option<bool> = value(row, first + 9)?;
    let marks = marks(edited.map(unsigned), deleted.unwrap_or(false), value(row, first + 10)?)
        .map_err(Fault::Unreadable)?;
    Ok(Entry {
        conversation,
        seq: number(row, first)?,
        time: number(row, first + 1)?,
        kind: parsed(row, first + 2, EntryKind::parse)?,
        id: parsed(row, first + 3, MessageId::parse)?,
        from: parsed(row, first + 4, Party::parse)?,
        name: value::<&str>(row, first + 5)?.into(),
        data: value::<&str>(row, first + 6)?.into(),
        marks,
        position: number(row, first + 7)?,
    })
}

/// An entry with its conversation's key behind it.
pub(super) fn entry_with_conversation(row: &Row) -> Result<Entry, Fault> {
    entry_at(row, 0, parsed(row, ENTRY_WIDTH, Conversation::parse)?)
}

/// An entry with its conversation's key and its stored data behind it.
pub(super) fn earlier(row: &Row) -> Result<Earlier, Fault> {
    Ok(Earlier { entry: entry_with_conversation(row)?, stored: value::<&str>(row, ENTRY_WIDTH + 1)?.into() })
}

/// How many columns that has.
pub(super) const EARLIER_WIDTH: usize = ENTRY_WIDTH + 2;

/// The columns of a user.
macro_rules! user_columns {
    () => {
        "id, name, issuer, serial, blocked, created, last_seen, blocks"
    };
}
pub(super) use user_columns;

/// A user.
pub(super) fn user(row: &Row) -> Result<User, Fault> {
    Ok(User {
        id: parsed(row, 0, UserId::parse)?,
        name: value::<&str>(row, 1)?.into(),
        issuer: value::<&str>(row, 2)?.into(),
        serial: number(row, 3)?,
        blocked: value(row, 4)?,
        created: number(row, 5)?,
        last_seen: number(row, 6)?,
        blocks: number(row, 7)?,
    })
}

/// A column, of the type that our schema gives it.
pub(super) fn value<'row, T: FromSql<'row>>(row: &'row Row, column: usize) -> Result<T, Fault> {
    row.try_get(column).map_err(|error| Fault::Unreadable(format!("column {column}: {error}")))
}

/// A number that is never below zero.
pub(super) fn number(row: &Row, column: usize) -> Result<u64, Fault> {
    Ok(unsigned(value(row, column)?))
}

/// A text that stands for a value.
pub(super) fn parsed<T>(row: &Row, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
    let text: &str = value(row, column)?;
    parse(text).ok_or_else(|| Fault::Unreadable(format!("{text:?} in column {column}")))
}

/// All rows as values.
pub(super) fn all<T>(
    rows: &[Row],
    convert: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<Vec<T>, crate::StoreError> {
    rows.iter().map(convert).collect::<Result<_, _>>().map_err(|fault| (&fault).into())
}
