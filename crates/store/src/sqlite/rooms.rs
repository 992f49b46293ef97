//! Reading rooms.

use mqttchat_protocol::{Conversation, Party, Room, RoomId, UserId};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::Sqlite;
use super::fault::Fault;
use super::rows::{parsed, text, user};
use crate::integer::{signed, unsigned};
use crate::{Access, StoreError, User};

/// The columns of a room, of `rooms r` and `conversations c`.
macro_rules! room_columns {
    () => {
        "c.key, r.title, r.open, (SELECT id FROM users WHERE party = r.owner), r.created, r.modified,
         (SELECT max(seq) FROM entries WHERE conversation = c.id),
         (SELECT group_concat(u.id, ' ') FROM members b CROSS JOIN users u ON u.party = b.party WHERE b.conversation = c.id)"
    };
}

const ROOM: &str = concat!(
    "SELECT ",
    room_columns!(),
    " FROM conversations c CROSS JOIN rooms r ON r.conversation = c.id WHERE c.key = ?1"
);

/// ?2: above which key.
const ROOMS: &str = concat!(
    "SELECT ",
    room_columns!(),
    " FROM conversations c CROSS JOIN rooms r ON r.conversation = c.id
     WHERE c.key > ?2 AND c.key < 'rooms0' AND (r.open OR EXISTS (
         SELECT 1 FROM members WHERE conversation = c.id AND party = (SELECT party FROM users WHERE id = ?1)))
     ORDER BY c.key LIMIT ?3"
);

const ACCESS: &str = "
    SELECT r.open, r.owner = ?2, EXISTS (SELECT 1 FROM members WHERE conversation = ?1 AND party = ?2)
    FROM rooms r WHERE r.conversation = ?1";

const MEMBERS: &str = "
    SELECT u.id, u.name, u.issuer, u.serial, u.blocked, u.created, u.last_seen, u.blocks
    FROM members b CROSS JOIN users u ON u.party = b.party
    WHERE b.conversation = (SELECT id FROM conversations WHERE key = ?1) AND u.id > ?2 ORDER BY u.id LIMIT ?3";

#[cfg(test)]
pub(super) const QUESTIONS: &[&str] = &[ROOM, ROOMS, ACCESS, MEMBERS];

impl Sqlite {
    pub(crate) async fn room(&self, id: &RoomId) -> Result<Option<Room>, StoreError> {
        let conversation = Conversation::Room(id.clone());
        self.readers.read(move |connection| room(connection, &conversation)).await
    }

    pub(crate) async fn rooms(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u64,
    ) -> Result<Vec<Room>, StoreError> {
        let (user, after) = (user.clone(), format!("rooms/{}", after.map_or("", |id| id.as_str())));
        self.readers
            .read(move |connection| all(connection, ROOMS, params![user.as_str(), after, signed(limit)]))
            .await
    }

    pub(crate) async fn room_access(&self, id: &RoomId, party: &Party) -> Result<Access, StoreError> {
        let (key, party) = (Conversation::Room(id.clone()).to_string(), party.clone());
        self.readers
            .read(move |connection| {
                let number = |sql, name: &str| {
                    connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()
                };
                let Some(room) = number("SELECT id FROM conversations WHERE key = ?1", &key)? else {
                    return Ok(Access::None);
                };
                let party = number("SELECT id FROM parties WHERE name = ?1", party.as_str())?;
                access(connection, room, party.unwrap_or(0))
            })
            .await
    }

    pub(crate) async fn members(
        &self,
        id: &RoomId,
        after: Option<&UserId>,
        limit: u64,
    ) -> Result<Vec<User>, StoreError> {
        let (key, after) = (Conversation::Room(id.clone()).to_string(), after.cloned());
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(MEMBERS)?;
                let after = after.as_ref().map_or("", |user| user.as_str());
                let mut rows = statement.query(params![key, after, signed(limit)])?;
                let mut members = Vec::new();
                while let Some(row) = rows.next()? {
                    members.push(user(row)?);
                }
                Ok(members)
            })
            .await
    }
}

/// What a party may do in a room, both by number.
pub(super) fn access(connection: &Connection, room: i64, party: i64) -> Result<Access, Fault> {
    let mut statement = connection.prepare_cached(ACCESS)?;
    let access = statement
        .query_row([room, party], |row| Ok(Access::of(row.get(0)?, row.get(2)?, row.get(1)?)))
        .optional()?;
    Ok(access.unwrap_or(Access::None))
}

/// A room as it is now.
pub(super) fn room(connection: &Connection, conversation: &Conversation) -> Result<Option<Room>, Fault> {
    Ok(all(connection, ROOM, [conversation.to_string()])?.pop())
}

fn all(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Room>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut rooms = Vec::new();
    while let Some(row) = rows.next()? {
        rooms.push(from_row(row)?);
    }
    Ok(rooms)
}

fn from_row(row: &Row<'_>) -> Result<Room, Fault> {
    let unreadable = |id: &str| Fault::Unreadable(format!("the member {id:?}"));
    let mut members = text(row, 7)?
        .split(' ')
        .map(|id| UserId::parse(id).ok_or_else(|| unreadable(id)))
        .collect::<Result<Vec<_>, _>>()?;
    members.sort_unstable();
    Ok(Room {
        id: parsed(row, 0, |key| RoomId::parse(key.strip_prefix("rooms/")?))?,
        title: text(row, 1)?.into(),
        open: row.get(2)?,
        owner: parsed(row, 3, UserId::parse)?,
        members,
        created: unsigned(row.get(4)?),
        modified: unsigned(row.get(5)?),
        head: unsigned(row.get(6)?),
    })
}
