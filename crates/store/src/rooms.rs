//! Rooms, who belongs to them, and who may do what there (docs/protocol.md §4).

use mqttchat_protocol::{Party, Room, RoomChange, RoomId, UserId};

use crate::{AppendError, Store, StoreError, User, on_backend};

/// What a party may do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing, not even know of it: there is no such room, or it is closed and they don't belong to it.
    None,
    /// Read and write, because it is open.
    Open,
    /// Read and write, because they belong to it.
    Member,
    /// Change it, too.
    Owner,
}

impl Access {
    /// From what the tables say.
    pub(crate) fn of(open: bool, member: bool, owner: bool) -> Self {
        match (owner, member, open) {
            (true, ..) => Self::Owner,
            (_, true, _) => Self::Member,
            (_, _, true) => Self::Open,
            _ => Self::None,
        }
    }
}

impl Store {
    /// A room, whoever asks; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn room(&self, id: &RoomId) -> Result<Option<Room>, StoreError> {
        on_backend!(self, backend => backend.room(id).await)
    }

    /// The rooms that a user can see: the open ones, and those that they belong to. By id, those after `after`, at
    /// most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn rooms(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: u64,
    ) -> Result<Vec<Room>, StoreError> {
        on_backend!(self, backend => backend.rooms(user, after, limit).await)
    }

    /// What a party may do in a room now. Cheap enough to be asked for every frame.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn room_access(&self, id: &RoomId, party: &Party) -> Result<Access, StoreError> {
        on_backend!(self, backend => backend.room_access(id, party).await)
    }

    /// Those who belong to a room, by id, those after `after`, at most `limit`. Nobody when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn members(
        &self,
        id: &RoomId,
        after: Option<&UserId>,
        limit: u64,
    ) -> Result<Vec<User>, StoreError> {
        on_backend!(self, backend => backend.members(id, after, limit).await)
    }
}

/// Members of one room: every change of it tells of all of them, and has to fit into a packet of the broker.
pub(crate) const MEMBERS: usize = 5000;

/// Who wants to change a room, and when.
pub(crate) struct Wish<'a> {
    pub(crate) id: &'a RoomId,
    pub(crate) change: &'a RoomChange,
    pub(crate) from: &'a Party,
    pub(crate) now: u64,
    /// The `seq` that the entry would get.
    pub(crate) seq: u64,
}

impl Wish<'_> {
    /// The users that have to be there for it.
    pub(crate) fn users(&self) -> &[UserId] {
        match self.change {
            RoomChange::Create { members, .. } => members,
            RoomChange::AddMember(user) => std::slice::from_ref(user),
            RoomChange::Update { .. } | RoomChange::Delete | RoomChange::RemoveMember(_) => &[],
        }
    }

    /// The room as the change leaves it; a deleted one as it was.
    pub(crate) fn grant(&self, room: Option<Room>) -> Result<Room, AppendError> {
        let user = self.from.user().ok_or(AppendError::Forbidden("only users can change rooms"))?;
        let mut room = match (room, self.change) {
            (None, RoomChange::Create { title, open, members }) => Room {
                id: self.id.clone(),
                title: title.clone(),
                open: *open,
                owner: user.clone(),
                members: sorted(members.iter().cloned().chain([user])),
                created: self.now,
                modified: self.now,
                head: self.seq,
            },
            (None, _) => return Err(AppendError::NotFound),
            (Some(_), RoomChange::Create { .. }) => {
                return Err(AppendError::Conflict("there is a room of this name already"));
            }
            (Some(room), change) => changed(room, change, &user)?,
        };
        let adds = matches!(self.change, RoomChange::Create { .. } | RoomChange::AddMember(_));
        if adds && room.members.len() > MEMBERS {
            return Err(AppendError::Conflict("a room has at most 5000 members; an open one needs none"));
        }
        (room.modified, room.head) = (self.now.max(room.modified), self.seq);
        Ok(room)
    }
}

fn changed(mut room: Room, change: &RoomChange, user: &UserId) -> Result<Room, AppendError> {
    let owner = room.owner == *user;
    if !room.open && !room.has(user) {
        return Err(AppendError::NotFound);
    }
    match change {
        RoomChange::Update { .. } | RoomChange::Delete if !owner => {
            return Err(AppendError::Forbidden("only its owner can change a room"));
        }
        RoomChange::AddMember(added) if !(owner || room.open && added == user) => {
            return Err(AppendError::Forbidden("only its owner can add somebody to a room"));
        }
        RoomChange::RemoveMember(removed) if !owner && removed != user => {
            return Err(AppendError::Forbidden("only its owner can remove somebody else from a room"));
        }
        RoomChange::Update { title, open } => {
            room.title = title.clone().unwrap_or(room.title);
            room.open = open.unwrap_or(room.open);
        }
        RoomChange::AddMember(added) => match room.members.binary_search(added) {
            Ok(_) => return Err(AppendError::Conflict("they belong to the room already")),
            Err(place) => room.members.insert(place, added.clone()),
        },
        RoomChange::RemoveMember(removed) if *removed == room.owner => {
            return Err(AppendError::Conflict("a room's owner can't leave it: delete the room instead"));
        }
        RoomChange::RemoveMember(removed) => match room.members.binary_search(removed) {
            Ok(place) => drop(room.members.remove(place)),
            Err(_) => return Err(AppendError::Conflict("they don't belong to the room")),
        },
        RoomChange::Create { .. } | RoomChange::Delete => {}
    }
    Ok(room)
}

fn sorted(users: impl Iterator<Item = UserId>) -> Vec<UserId> {
    let mut users: Vec<_> = users.collect();
    users.sort_unstable();
    users.dedup();
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn grant(by: &str, change: &RoomChange, room: Option<Room>) -> Result<Room, AppendError> {
        let (id, from) = (RoomId::parse("ops").unwrap(), Party::parse(by).unwrap());
        Wish { id: &id, change, from: &from, now: 7, seq: 9 }.grant(room)
    }

    fn ops(open: bool) -> Room {
        let create =
            RoomChange::Create { title: "Ops".into(), open, members: vec![user("dan"), user("bob")] };
        grant("cleo", &create, None).unwrap()
    }

    #[test]
    fn what_somebody_may_in_a_room() {
        let access = |open, member| [Access::of(open, member, false), Access::of(open, member, true)];
        assert_eq!(access(false, false), [Access::None, Access::Owner]);
        assert_eq!(access(true, false), [Access::Open, Access::Owner]);
        assert_eq!([access(false, true), access(true, true)], [[Access::Member, Access::Owner]; 2]);
    }

    #[test]
    fn who_has_to_be_a_user_for_it() {
        let users = |change: &RoomChange| {
            let (id, from) = (RoomId::parse("ops").unwrap(), Party::parse("cleo").unwrap());
            Wish { id: &id, change, from: &from, now: 7, seq: 9 }.users().to_vec()
        };
        let members = vec![user("dan"), user("bob")];
        let create = RoomChange::Create { title: "Ops".into(), open: true, members: members.clone() };
        assert_eq!(users(&create), members);
        assert_eq!(users(&RoomChange::AddMember(user("eve"))), [user("eve")]);
        assert_eq!(users(&RoomChange::RemoveMember(user("eve"))), []);
        assert_eq!(users(&RoomChange::Update { title: None, open: Some(true) }), []);
    }

    #[test]
    fn made_with_its_owner_among_the_members() {
        let room = ops(false);
        assert_eq!(room.members, [user("bob"), user("cleo"), user("dan")]);
        assert_eq!((room.owner.as_str(), room.created, room.modified, room.head), ("cleo", 7, 7, 9));
    }

    #[test]
    fn a_room_has_so_many_members() {
        let people = |count: usize| (0..count).map(|number| user(&format!("p{number}"))).collect();
        let create = |members| RoomChange::Create { title: "All".into(), open: false, members };
        let full = grant("cleo", &create(people(MEMBERS - 1)), None).unwrap();
        assert_eq!(full.members.len(), MEMBERS);
        assert!(matches!(grant("cleo", &create(people(MEMBERS)), None), Err(AppendError::Conflict(_))));
        let add = RoomChange::AddMember(user("eve"));
        assert!(matches!(grant("cleo", &add, Some(full.clone())), Err(AppendError::Conflict(_))));
        let fewer = grant("cleo", &RoomChange::RemoveMember(user("p7")), Some(full)).unwrap();
        assert!(grant("cleo", &add, Some(fewer)).is_ok());
    }

    #[test]
    fn who_may_do_what() {
        use RoomChange::{AddMember, Delete, RemoveMember, Update};
        let update = Update { title: Some("O".into()), open: None };
        for open in [true, false] {
            let ask = |by: &str, change: &RoomChange| grant(by, change, Some(ops(open)));
            for change in [&update, &Delete] {
                assert!(ask("cleo", change).is_ok());
                assert!(matches!(ask("bob", change), Err(AppendError::Forbidden(_))));
            }
            assert!(ask("cleo", &AddMember(user("eve"))).is_ok());
            assert!(matches!(ask("bob", &AddMember(user("eve"))), Err(AppendError::Forbidden(_))));
            assert!(ask("cleo", &RemoveMember(user("bob"))).is_ok());
            assert!(ask("bob", &RemoveMember(user("bob"))).is_ok());
            assert!(matches!(ask("bob", &RemoveMember(user("dan"))), Err(AppendError::Forbidden(_))));
            assert!(matches!(ask("cleo", &RemoveMember(user("cleo"))), Err(AppendError::Conflict(_))));
            assert!(matches!(ask("cleo", &RemoveMember(user("eve"))), Err(AppendError::Conflict(_))));
            assert!(matches!(ask("cleo", &AddMember(user("bob"))), Err(AppendError::Conflict(_))));
            assert!(matches!(ask("mqtt:lamp", &Delete), Err(AppendError::Forbidden(_))));
        }
        let in_open = |change: &RoomChange| grant("eve", change, Some(ops(true)));
        assert!(in_open(&AddMember(user("eve"))).unwrap().has(&user("eve")));
        assert!(matches!(in_open(&Delete), Err(AppendError::Forbidden(_))));
        for change in [&AddMember(user("eve")), &update, &Delete, &RemoveMember(user("bob"))] {
            assert_eq!(grant("eve", change, Some(ops(false))), Err(AppendError::NotFound));
            assert_eq!(grant("cleo", change, None), Err(AppendError::NotFound));
        }
    }
}
