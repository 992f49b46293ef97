//! Rooms in a batch: who may write there, what becomes of those that are changed, and how that is written.
//!
//! Rooms and their members are only changed by who holds the conversation's row. So whoever appends to it sees them as
//! they are at that place of its log, whichever node it is on.

use std::collections::{BTreeSet, HashMap};

use mqttchat_protocol::{Party, Room, RoomChange};

use super::batch::{ask, do_all};
use super::fault::Fault;
use super::rooms::{ROOMS_BY_NUMBER, room};
use super::rows::value;
use super::session::{Params, Session};
use crate::integer::signed;
use crate::rooms::Wish;
use crate::{Access, AppendError};

const ACCESS: &str = "
    SELECT k.room, k.party, r.open, b.party IS NOT NULL, r.owner = k.party
    FROM unnest($1::bigint[], $2::bigint[]) AS k(room, party)
    JOIN rooms r ON r.conversation = k.room
    LEFT JOIN members b ON b.conversation = k.room AND b.party = k.party";

const LEAVE_ALL: &str = "DELETE FROM members WHERE conversation = ANY($1)";
const DELETE: &str = "DELETE FROM rooms WHERE conversation = ANY($1)";
/// What the room held is removed later, by the purger.
const PURGE: &str = "
    INSERT INTO purges (conversation, below)
    SELECT room, below FROM unnest($1::bigint[], $2::bigint[]) AS n(room, below) ORDER BY room
    ON CONFLICT (conversation) DO UPDATE SET below = excluded.below";
const FLOOR: &str = "
    UPDATE conversations c SET floor = n.floor FROM unnest($1::bigint[], $2::bigint[]) AS n(room, floor)
    WHERE c.id = n.room";
const PUT: &str = "
    INSERT INTO rooms (conversation, title, open, owner, created, modified)
    SELECT n.room, n.title, n.open, u.party, n.created, n.modified
    FROM unnest($1::bigint[], $2::text[], $3::bool[], $4::text[], $5::bigint[], $6::bigint[])
         AS n(room, title, open, owner, created, modified)
    JOIN users u ON u.id = n.owner
    ON CONFLICT (conversation) DO UPDATE
    SET title = excluded.title, open = excluded.open, owner = excluded.owner,
        created = excluded.created, modified = excluded.modified";
const LEAVE: &str = "
    DELETE FROM members b USING unnest($1::bigint[], $2::text[]) AS n(room, id), users u
    WHERE u.id = n.id AND b.conversation = n.room AND b.party = u.party";
const COME: &str = "
    INSERT INTO members (conversation, party)
    SELECT n.room, u.party FROM unnest($1::bigint[], $2::text[]) AS n(room, id) JOIN users u ON u.id = n.id";

pub(super) const STATEMENTS: &[&str] =
    &[ROOMS_BY_NUMBER, ACCESS, LEAVE_ALL, DELETE, PURGE, FLOOR, PUT, LEAVE, COME];

/// A room that is to be changed.
#[derive(Default)]
struct State {
    before: Option<Room>,
    /// As it is at this point of the batch.
    now: Option<Room>,
    changed: bool,
    /// Below which `seq` all is gone.
    gone_below: Option<u64>,
    /// Up to which `seq` nothing is shown, where that changes.
    floor: Option<u64>,
}

/// The rooms of a batch.
#[derive(Default)]
pub(super) struct Rooms {
    /// What parties may do in rooms that no entry of the batch changes, both by number.
    access: HashMap<(i64, i64), Access>,
    /// Rooms that some entry may change.
    states: HashMap<i64, State>,
}

impl Rooms {
    /// Reads who may do what (`access`: rooms and parties), and all of those rooms that may be changed.
    pub(super) async fn read(
        session: &Session,
        access: &BTreeSet<(i64, i64)>,
        changed: &BTreeSet<i64>,
    ) -> Result<Self, Fault> {
        let (rooms, parties): (Vec<i64>, Vec<i64>) = access.iter().copied().unzip();
        let changed: Vec<i64> = changed.iter().copied().collect();
        let (pairs, numbers): (Params<'_>, Params<'_>) = (&[&rooms, &parties], &[&changed]);
        let (access, whole) = tokio::join!(
            biased;
            ask(session, !rooms.is_empty(), ACCESS, pairs),
            ask(session, !changed.is_empty(), ROOMS_BY_NUMBER, numbers),
        );
        let mut read = Self::default();
        for row in &access? {
            let access = Access::of(value(row, 2)?, value(row, 3)?, value(row, 4)?);
            read.access.insert((value(row, 0)?, value(row, 1)?), access);
        }
        read.states = changed.iter().map(|number| (*number, State::default())).collect();
        for row in &whole? {
            let room = room(row)?;
            let state = State { before: Some(room.clone()), now: Some(room), ..State::default() };
            read.states.insert(value(row, 8)?, state);
        }
        Ok(read)
    }

    /// What a party may do in a room at this point of the batch.
    pub(super) fn access(&self, room: i64, party: &Party, number: i64) -> Access {
        match self.states.get(&room) {
            None => self.access.get(&(room, number)).copied().unwrap_or(Access::None),
            Some(State { now: None, .. }) => Access::None,
            Some(State { now: Some(room), .. }) => {
                let user = party.user();
                let is =
                    |check: &dyn Fn(&mqttchat_protocol::UserId) -> bool| user.as_ref().is_some_and(check);
                Access::of(room.open, is(&|user| room.has(user)), is(&|user| room.owner == *user))
            }
        }
    }

    /// The room as the change would leave it; a deleted one as it was.
    pub(super) fn grant(&self, number: i64, wish: &Wish<'_>) -> Result<Room, AppendError> {
        wish.grant(self.states.get(&number).and_then(|state| state.now.clone()))
    }

    /// Changes the room.
    pub(super) fn apply(&mut self, number: i64, change: &RoomChange, after: Room, seq: u64) {
        let state = self.states.entry(number).or_default();
        state.changed = true;
        state.now = match change {
            RoomChange::Delete => {
                // What was said is shown no more. That the room is gone can be read until it is made again.
                (state.gone_below, state.floor) = (Some(seq), Some(seq - 1));
                None
            }
            RoomChange::Create { .. } => {
                state.floor = Some(seq - 1);
                Some(after)
            }
            _ => Some(after),
        };
    }

    /// Writes what has changed. All is sent at once.
    pub(super) async fn write(&self, session: &Session) -> Result<(), Fault> {
        let changed: Vec<_> = self.states.iter().filter(|(_, state)| state.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let (mut gone, mut floors, mut rooms) = (Pairs::default(), Pairs::default(), Columns::default());
        let (mut left, mut come) = (Pairs::default(), Pairs::default());
        for (number, state) in changed {
            gone.extend(*number, state.gone_below.map(signed));
            floors.extend(*number, state.floor.map(signed));
            let before = state.before.as_ref().filter(|_| state.gone_below.is_none());
            let members = |room: Option<&Room>| room.map_or_else(Vec::new, |room| room.members.clone());
            let (were, are) = (members(before), members(state.now.as_ref()));
            let text = |user: &mqttchat_protocol::UserId| user.as_str().to_owned();
            left.extend(*number, were.iter().filter(|user| are.binary_search(user).is_err()).map(text));
            come.extend(*number, are.iter().filter(|user| were.binary_search(user).is_err()).map(text));
            if let Some(room) = &state.now {
                rooms.push(*number, room);
            }
        }
        let (deleted, below): (Params<'_>, Params<'_>) = (&[&gone.0], &[&gone.0, &gone.1]);
        let (raise, put): (Params<'_>, Params<'_>) = (&[&floors.0, &floors.1], &rooms.params());
        let (leave, enter): (Params<'_>, Params<'_>) = (&[&left.0, &left.1], &[&come.0, &come.1]);
        let any = !gone.0.is_empty();
        let all: [(bool, &'static str, Params<'_>); 7] = [
            (any, LEAVE_ALL, deleted),
            (any, DELETE, deleted),
            (any, PURGE, below),
            (!floors.0.is_empty(), FLOOR, raise),
            (!rooms.numbers.is_empty(), PUT, put),
            (!left.0.is_empty(), LEAVE, leave),
            (!come.0.is_empty(), COME, enter),
        ];
        do_all(session, &all).await
    }
}

/// Rooms with something, by columns.
struct Pairs<T>(Vec<i64>, Vec<T>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new(), Vec::new())
    }
}

impl<T> Pairs<T> {
    fn extend(&mut self, room: i64, values: impl IntoIterator<Item = T>) {
        for value in values {
            self.0.push(room);
            self.1.push(value);
        }
    }
}

/// Rooms by columns.
#[derive(Default)]
struct Columns<'a> {
    numbers: Vec<i64>,
    titles: Vec<&'a str>,
    open: Vec<bool>,
    owners: Vec<&'a str>,
    created: Vec<i64>,
    modified: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, number: i64, room: &'a Room) {
        self.numbers.push(number);
        self.titles.push(&room.title);
        self.open.push(room.open);
        self.owners.push(room.owner.as_str());
        self.created.push(signed(room.created));
        self.modified.push(signed(room.modified));
    }

    fn params(&self) -> [&(dyn tokio_postgres::types::ToSql + Sync); 6] {
        [&self.numbers, &self.titles, &self.open, &self.owners, &self.created, &self.modified]
    }
}
