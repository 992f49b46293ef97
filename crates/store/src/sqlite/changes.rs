//! Entries that change a message.

use mqttchat_protocol::{Party, Target};
use rusqlite::{Connection, params};

use super::append::{Verdict, are_users, number};
use super::batch::{Batch, Head};
use super::fault::Fault;
use super::rows::{parsed, text};
use super::search;
use crate::change::{
    EMOJIS, SEQ, ambiguous, no_such_message, too_many_reactions, with_member, with_text, without_text,
};
use crate::integer::{signed, unsigned};
use crate::{Access, AppendError, Change, NewEntry};

const TARGET: &str = "
    SELECT e.position, e.seq, p.name, coalesce(m.data, e.data), e.sender
    FROM entries e CROSS JOIN parties p ON p.id = e.sender LEFT JOIN marks m ON m.position = e.position
    WHERE e.id = ?2 AND e.conversation = ?1 AND e.kind = 'msg' AND coalesce(m.deleted, 0) = 0
        AND e.seq > (SELECT floor FROM conversations WHERE id = ?1)";

#[cfg(test)]
pub(super) const QUESTIONS: &[&str] = &[TARGET];

/// The message that is meant.
struct Message {
    position: i64,
    seq: u64,
    author: Party,
    data: String,
}

/// Changes the message, if it may be, and stores the entry with the message's `seq` in it.
pub(super) fn append(
    batch: &mut Batch<'_>,
    new: &NewEntry,
    change: &Change,
    target: &Target,
) -> Result<Verdict, Fault> {
    let (party, head) = (batch.party(&new.from)?, batch.head(&new.conversation)?);
    let (Some(head), true) = (head, new.may_address()) else {
        let empty = new.may_address() && are_users(batch, &new.conversation)?;
        return Ok(Verdict::Refused(if empty { no_such_message() } else { AppendError::NotFound }));
    };
    let access = batch.access(&new.conversation, head, party)?;
    if access == Access::None {
        return Ok(Verdict::Refused(AppendError::NotFound));
    }
    let message = match find(batch.connection(), head, target)? {
        Ok(message) => message,
        Err(refusal) => return Ok(Verdict::Refused(refusal)),
    };
    if let Err(refusal) = change.check(&new.from, &message.author, access) {
        return Ok(Verdict::Refused(refusal));
    }
    let sender = batch.party_or_new(&new.from)?;
    if let Change::React { emoji, on: true, .. } = change
        && !react(batch.connection(), &message, emoji, sender)?
    {
        return Ok(Verdict::Refused(too_many_reactions()));
    }
    let data = with_member(&new.data, SEQ, message.seq.into())
        .ok_or_else(|| Fault::Unreadable("the data of a change".into()))?;
    let verdict = number(batch, sender, head, new, Some(data))?;
    let Verdict::Stored { time, position, .. } = verdict else { return Ok(verdict) };
    let connection = batch.connection();
    match change {
        Change::Edit(_) => {
            let found_by = search::in_index(connection, message.position)?;
            edit(connection, &message, &new.data, time, position)?;
            if let Some(before) = found_by {
                search::remove(connection, &before)?;
                search::add(connection, &search::now(connection, message.position)?)?;
            }
        }
        Change::Delete(_) => {
            if let Some(before) = search::in_index(connection, message.position)? {
                search::remove(connection, &before)?;
            }
            delete(connection, &message)?;
            batch.has_chores();
        }
        Change::React { emoji, on: false, .. } => {
            let mut statement = connection
                .prepare_cached("DELETE FROM reactions WHERE target = ?1 AND emoji = ?2 AND party = ?3")?;
            statement.execute(params![message.position, emoji, sender])?;
        }
        Change::React { .. } | Change::Room(_) => {}
    }
    Ok(verdict)
}

fn find(connection: &Connection, head: Head, target: &Target) -> Result<Result<Message, AppendError>, Fault> {
    let mut statement = connection.prepare_cached(TARGET)?;
    let mut rows = statement.query(params![head.id, target.id.as_str()])?;
    let mut found = None;
    while let Some(row) = rows.next()? {
        let author = parsed(row, 2, Party::parse)?;
        if target.author.as_ref().is_some_and(|named| *named != author) {
            continue;
        }
        let (seq, data) = (unsigned(row.get(1)?), text(row, 3)?.to_owned());
        let message = Message { position: row.get(0)?, seq, author, data };
        if found.replace(message).is_some() {
            return Ok(Err(ambiguous()));
        }
    }
    Ok(found.ok_or_else(no_such_message))
}

/// Makes sure that there is a row that says how the message is now.
fn mark(connection: &Connection, message: &Message) -> Result<(), Fault> {
    let mut statement =
        connection.prepare_cached("INSERT INTO marks (position) VALUES (?1) ON CONFLICT DO NOTHING")?;
    statement.execute([message.position])?;
    Ok(())
}

fn edit(
    connection: &Connection,
    message: &Message,
    edit: &str,
    time: u64,
    position: u64,
) -> Result<(), Fault> {
    let data =
        with_text(&message.data, edit).ok_or_else(|| Fault::Unreadable("the data of an edit".into()))?;
    mark(connection, message)?;
    let mut statement =
        connection.prepare_cached("UPDATE marks SET data = ?2, edited = ?3 WHERE position = ?1")?;
    statement.execute(params![message.position, data, signed(time)])?;
    let mut statement = connection.prepare_cached("INSERT INTO edits (target, position) VALUES (?1, ?2)")?;
    statement.execute([message.position, signed(position)])?;
    Ok(())
}

/// All that was said is gone: the message's content, its edits' texts, and what people thought of it.
fn delete(connection: &Connection, message: &Message) -> Result<(), Fault> {
    mark(connection, message)?;
    let mut statement = connection
        .prepare_cached("UPDATE marks SET data = NULL, edited = NULL, deleted = 1 WHERE position = ?1")?;
    statement.execute([message.position])?;
    let mut update = connection.prepare_cached("UPDATE entries SET data = ?2 WHERE position = ?1")?;
    update.execute(params![message.position, "{}"])?;
    let mut statement = connection.prepare_cached(
        "SELECT e.position, e.data FROM edits d CROSS JOIN entries e ON e.position = d.position WHERE d.target = ?1",
    )?;
    let edits = statement
        .query_map([message.position], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    for (position, data) in edits {
        update.execute(params![position, without_text(&data).as_deref().unwrap_or("{}")])?;
    }
    connection.prepare_cached("DELETE FROM edits WHERE target = ?1")?.execute([message.position])?;
    connection.prepare_cached("DELETE FROM reactions WHERE target = ?1")?.execute([message.position])?;
    Ok(())
}

/// Adds a reaction; not when that would be one emoji too many.
fn react(connection: &Connection, message: &Message, emoji: &str, sender: i64) -> Result<bool, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT count(DISTINCT emoji) FROM reactions WHERE target = ?1 AND emoji <> ?2")?;
    let others: i64 = statement.query_row(params![message.position, emoji], |row| row.get(0))?;
    if unsigned(others) >= EMOJIS {
        return Ok(false);
    }
    mark(connection, message)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO reactions (target, emoji, party) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    statement.execute(params![message.position, emoji, sender])?;
    Ok(true)
}
