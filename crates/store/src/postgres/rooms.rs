//! Reading rooms.

use mqttchat_protocol::{Conversation, Party, Room, RoomId, UserId};
use tokio_postgres::Row;

use super::Postgres;
use super::fault::Fault;
use super::rows::{all, number, parsed, user, value};
use crate::integer::signed;
use crate::{Access, StoreError, User};

/// The columns of a room, of `rooms r` and `conversations c`.
macro_rules! room_columns {
    () => {
        "c.key, r.title, r.open, (SELECT id FROM users WHERE party = r.owner), r.created, r.modified, c.head,
         (SELECT array_agg(u.id ORDER BY u.id) FROM members b JOIN users u ON u.party = b.party
          WHERE b.conversation = c.id)"
    };
}

const ROOM: &str = concat!(
    "SELECT ",
    room_columns!(),
    " FROM conversations c JOIN rooms r ON r.conversation = c.id WHERE c.key = $1"
);

/// $2: above which key.
const ROOMS: &str = concat!(
    "SELECT ",
    room_columns!(),
    " FROM conversations c JOIN rooms r ON r.conversation = c.id
     WHERE c.key > $2 AND c.key < 'rooms0' AND (r.open OR EXISTS (
         SELECT FROM members WHERE conversation = c.id AND party = (SELECT party FROM users WHERE id = $1)))
     ORDER BY c.key LIMIT $3"
);

/// Rooms by their numbers ($1), which stand behind all else.
pub(super) const ROOMS_BY_NUMBER: &str = concat!(
    "SELECT ",
    room_columns!(),
    ", c.id FROM conversations c JOIN rooms r ON r.conversation = c.id WHERE c.id = ANY($1)"
);

const ACCESS: &str = "
    SELECT r.open, b.party IS NOT NULL, r.owner IS NOT DISTINCT FROM u.party
    FROM conversations c JOIN rooms r ON r.conversation = c.id
    LEFT JOIN users u ON u.id = $2
    LEFT JOIN members b ON b.conversation = c.id AND b.party = u.party
    WHERE c.key = $1";

const MEMBERS: &str = "
    SELECT u.id, u.name, u.issuer, u.serial, u.blocked, u.created, u.last_seen, u.blocks
    FROM members b JOIN users u ON u.party = b.party
    WHERE b.conversation = (SELECT id FROM conversations WHERE key = $1) AND u.id > $2 ORDER BY u.id LIMIT $3";

impl Postgres {
    pub(crate) async fn room(&self, id: &RoomId) -> Result<Option<Room>, StoreError> {
        Ok(all(&self.pool.read(ROOM, &[&format!("rooms/{id}")]).await?, room)?.pop())
    }

    pub(crate) async fn rooms(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u64,
    ) -> Result<Vec<Room>, StoreError> {
        let after = format!("rooms/{}", after.map_or("", |id| id.as_str()));
        all(&self.pool.read(ROOMS, &[&user.as_str(), &after, &signed(limit)]).await?, room)
    }

    pub(crate) async fn room_access(&self, id: &RoomId, party: &Party) -> Result<Access, StoreError> {
        let key = Conversation::Room(id.clone()).to_string();
        let rows = self.pool.read(ACCESS, &[&key, &party.as_str()]).await?;
        let access = all(&rows, |row| Ok(Access::of(value(row, 0)?, value(row, 1)?, value(row, 2)?)))?.pop();
        Ok(access.unwrap_or(Access::None))
    }

    pub(crate) async fn members(
        &self,
        id: &RoomId,
        after: Option<&UserId>,
        limit: u64,
    ) -> Result<Vec<User>, StoreError> {
        let (key, after) = (format!("rooms/{id}"), after.map_or("", |user| user.as_str()));
        all(&self.pool.read(MEMBERS, &[&key, &after, &signed(limit)]).await?, user)
    }
}

/// A room from its columns.
pub(super) fn room(row: &Row) -> Result<Room, Fault> {
    let members: Vec<&str> = value(row, 7)?;
    let unreadable = |id: &str| Fault::Unreadable(format!("the member {id:?}"));
    Ok(Room {
        id: parsed(row, 0, |key| RoomId::parse(key.strip_prefix("rooms/")?))?,
        title: value::<&str>(row, 1)?.into(),
        open: value(row, 2)?,
        owner: parsed(row, 3, UserId::parse)?,
        members: members
            .into_iter()
            .map(|id| UserId::parse(id).ok_or_else(|| unreadable(id)))
            .collect::<Result<_, _>>()?,
        created: number(row, 4)?,
        modified: number(row, 5)?,
        head: number(row, 6)?,
    })
}
