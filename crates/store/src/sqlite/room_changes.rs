//! Entries that make, change or delete a room.

use mqttchat_protocol::{Party, Room, RoomChange, RoomId, UserId};
use rusqlite::{Connection, params};

use super::append::{Verdict, is_user, number};
use super::batch::{Batch, Head};
use super::chores::purge_below;
use super::fault::Fault;
use super::rooms::room;
use crate::change::{ROOM, with_member};
use crate::integer::signed;
use crate::rooms::Wish;
use crate::{AppendError, NewEntry};

/// Changes the room, if it may be, and stores the entry with the room in it.
pub(super) fn append(
    batch: &mut Batch<'_>,
    new: &NewEntry,
    id: &RoomId,
    change: &RoomChange,
) -> Result<Verdict, Fault> {
    let head = batch.head(&new.conversation)?;
    let Head { seq, time, .. } = head.unwrap_or(Head { id: 0, seq: 0, time: 0 });
    let before = room(batch.connection(), &new.conversation)?;
    let wish = Wish { id, change, from: &new.from, now: batch.now().max(time), seq: seq + 1 };
    let after = match wish.grant(before) {
        Ok(room) => room,
        Err(refusal) => return Ok(Verdict::Refused(refusal)),
    };
    for user in wish.users() {
        if !is_user(batch, &user.into())? {
            return Ok(Verdict::Refused(AppendError::NoSuchUser));
        }
    }
    let (Some(sender), true) = (batch.party(&new.from)?, is_user(batch, &new.from)?) else {
        return Ok(Verdict::Refused(AppendError::NoSuchUser));
    };
    let head = match head {
        Some(head) => head,
        None => batch.new_room(&new.conversation)?,
    };
    apply(batch.connection(), head, change, &after)?;
    if matches!(change, RoomChange::Create { .. } | RoomChange::Delete) {
        // What was there under this id before is not shown any more.
        let mut statement =
            batch.connection().prepare_cached("UPDATE conversations SET floor = ?2 WHERE id = ?1")?;
        statement.execute([head.id, signed(head.seq)])?;
    }
    batch.room_changed();
    let data = serde_json::to_value(&after).ok().and_then(|room| with_member(&new.data, ROOM, room));
    let data = data.ok_or_else(|| Fault::Unreadable("the data of a room entry".into()))?;
    if *change == RoomChange::Delete {
        purge_below(batch.connection(), head.id, seq + 1)?;
        batch.has_chores();
    }
    number(batch, sender, head, new, Some(data))
}

fn apply(connection: &Connection, head: Head, change: &RoomChange, room: &Room) -> Result<(), Fault> {
    match change {
        RoomChange::Create { .. } => {
            let mut statement = connection.prepare_cached(
                "INSERT INTO rooms (conversation, title, open, owner, created, modified)
                 SELECT ?1, ?2, ?3, party, ?5, ?5 FROM users WHERE id = ?4",
            )?;
            let Room { title, open, owner, created, .. } = room;
            statement.execute(params![head.id, &**title, open, owner.as_str(), signed(*created)])?;
            room.members.iter().try_for_each(|member| add(connection, head.id, member))
        }
        RoomChange::Update { .. } => modified(connection, head.id, room),
        RoomChange::AddMember(user) => {
            add(connection, head.id, user)?;
            modified(connection, head.id, room)
        }
        RoomChange::RemoveMember(user) => {
            let mut statement = connection.prepare_cached(
                "DELETE FROM members WHERE conversation = ?1 AND party = (SELECT party FROM users WHERE id = ?2)",
            )?;
            statement.execute(params![head.id, user.as_str()])?;
            modified(connection, head.id, room)
        }
        RoomChange::Delete => {
            connection.prepare_cached("DELETE FROM members WHERE conversation = ?1")?.execute([head.id])?;
            connection.prepare_cached("DELETE FROM rooms WHERE conversation = ?1")?.execute([head.id])?;
            Ok(())
        }
    }
}

fn add(connection: &Connection, room: i64, user: &UserId) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO members (conversation, party) SELECT ?1, party FROM users WHERE id = ?2",
    )?;
    statement.execute(params![room, Party::from(user).as_str()])?;
    Ok(())
}

fn modified(connection: &Connection, id: i64, room: &Room) -> Result<(), Fault> {
    let mut statement = connection
        .prepare_cached("UPDATE rooms SET title = ?2, open = ?3, modified = ?4 WHERE conversation = ?1")?;
    statement.execute(params![id, &*room.title, room.open, signed(room.modified)])?;
    Ok(())
}
