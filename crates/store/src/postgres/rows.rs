//! Rows as values.

use mqttchat_protocol::{Conversation, Entry, EntryKind, MessageId, Party, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::fault::Fault;
use crate::User;
use crate::integer::unsigned;

/// The columns of an entry, of `entries e` and `parties p`.
macro_rules! entry_columns {
    () => {
        "e.seq, e.time, e.kind, e.id, p.name, e.name, e.data, e.position"
    };
}
pub(super) use entry_columns;

/// How many columns an entry has; what comes after begins there.
pub(super) const ENTRY_WIDTH: usize = 8;

/// An entry whose columns begin at `first`.
pub(super) fn entry_at(row: &Row, first: usize, conversation: Conversation) -> Result<Entry, Fault> {
    Ok(Entry {
        conversation,
        seq: number(row, first)?,
        time: number(row, first + 1)?,
        kind: parsed(row, first + 2, EntryKind::parse)?,
        id: parsed(row, first + 3, MessageId::parse)?,
        from: parsed(row, first + 4, Party::parse)?,
        name: value::<&str>(row, first + 5)?.into(),
        data: value::<&str>(row, first + 6)?.into(),
        marks: None,
        position: number(row, first + 7)?,
    })
}

/// An entry with its conversation's key behind it.
pub(super) fn entry_with_conversation(row: &Row) -> Result<Entry, Fault> {
    entry_at(row, 0, parsed(row, ENTRY_WIDTH, Conversation::parse)?)
}

/// The columns of a user.
macro_rules! user_columns {
    () => {
        "id, name, issuer, serial, blocked, created, last_seen"
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
