//! What an entry does to those who read its conversation, beyond being shown to them.

use std::sync::Arc;

use mqttchat_protocol::{EntryKind, UserId};
use serde::Deserialize;

/// What an entry of the log changes for its readers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    #[default]
    Nothing,
    /// The entry with this `seq` reads otherwise from now on.
    Changes(u64),
    /// The content of an entry before it is gone: nothing of that is served from memory any more.
    Erases,
    /// It says who belongs to the room from here on.
    Room(Arc<Membership>),
}

impl Effect {
    /// The effect of an entry with this content, as the store keeps it.
    pub(crate) fn of(kind: EntryKind, data: &str) -> Self {
        match kind {
            EntryKind::Msg => Self::Nothing,
            EntryKind::Delete => Self::Erases,
            EntryKind::Edit | EntryKind::React => Self::Changes(target(data)),
            EntryKind::Room => Self::Room(Arc::new(Membership::of(data))),
        }
    }

    /// Whether it ends the room.
    pub(crate) fn deletes_room(&self) -> bool {
        matches!(self, Self::Room(membership) if membership.deleted)
    }

    /// Whether nothing after this entry is for `user`; of one that they are `granted` to read past, only the room's end.
    pub(crate) fn ends_for(&self, user: &UserId, granted: bool) -> bool {
        matches!(self, Self::Room(membership) if membership.deleted || !granted && membership.ends_for(user))
    }
}

/// The `seq` of the entry that is changed. Where it can't be told, any: nothing up to the change is as it was.
fn target(data: &str) -> u64 {
    #[derive(Deserialize)]
    struct Changed {
        seq: u64,
    }
    serde_json::from_str::<Changed>(data).map_or(u64::MAX, |changed| changed.seq)
}

/// Who may read a room behind an entry that changes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The room is gone.
    pub(crate) deleted: bool,
    /// Who was removed.
    pub(crate) removed: Option<UserId>,
    /// Whether everybody may read it.
    pub(crate) open: bool,
    /// Its members, by id; of a deleted room those that it had.
    pub(crate) members: Vec<UserId>,
}

impl Membership {
    /// Reads the content of a `room` entry.
    fn of(data: &str) -> Self {
        #[derive(Deserialize)]
        struct Said<'a> {
            #[serde(borrow)]
            change: std::borrow::Cow<'a, str>,
            user: Option<String>,
            #[serde(default, borrow)]
            room: Room<'a>,
        }
        #[derive(Default, Deserialize)]
        struct Room<'a> {
            open: bool,
            #[serde(borrow)]
            members: Vec<&'a str>,
        }
        let Ok(said) = serde_json::from_str::<Said<'_>>(data) else {
            // What can't be read is for nobody.
            return Self { deleted: true, removed: None, open: false, members: Vec::new() };
        };
        let mut members: Vec<UserId> = said.room.members.into_iter().filter_map(UserId::parse).collect();
        members.sort_unstable();
        Self {
            deleted: said.change == "delete",
            removed: said.user.filter(|_| said.change == "remove").as_deref().and_then(UserId::parse),
            open: said.room.open,
            members,
        }
    }

    fn ends_for(&self, user: &UserId) -> bool {
        self.deleted
            || self.removed.as_ref() == Some(user)
            || !self.open && self.members.binary_search(user).is_err()
    }

    /// Everybody who is to hear of it, joined or not: the members, and who is none any more.
    pub(crate) fn concerned(&self) -> impl Iterator<Item = &UserId> {
        let removed = self.removed.iter().filter(|user| self.members.binary_search(user).is_err());
        self.members.iter().chain(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn room(data: &str) -> Effect {
        Effect::of(EntryKind::Room, data)
    }

    #[test]
    fn who_is_removed_reads_no_further() {
        let open =
            room(r#"{"change":"remove","user":"bob","room":{"id":"r","open":true,"members":["ann"]}}"#);
        let ends = |id: &str| open.ends_for(&user(id), false);
        assert!(ends("bob") && !ends("ann") && !ends("eve"));
        assert!(!open.ends_for(&user("bob"), true), "taken in again");
        let Effect::Room(membership) = &open else { panic!("no room") };
        assert_eq!(membership.concerned().map(UserId::as_str).collect::<Vec<_>>(), ["ann", "bob"]);
    }

    #[test]
    fn a_room_that_is_closed_is_for_its_members() {
        let closed =
            room(r#"{"change":"update","open":false,"room":{"open":false,"members":["bob","ann"]}}"#);
        assert!(!closed.ends_for(&user("ann"), false) && closed.ends_for(&user("eve"), false));
    }

    #[test]
    fn a_deleted_room_is_for_nobody_and_neither_is_what_cannot_be_read() {
        for data in [r#"{"change":"delete","room":{"open":true,"members":["ann"]}}"#, "{}"] {
            assert!(room(data).ends_for(&user("ann"), true) && room(data).deletes_room(), "{data}");
        }
    }

    #[test]
    fn changes_name_what_they_change() {
        assert_eq!(Effect::of(EntryKind::Edit, r#"{"target":"m","text":"x","seq":4}"#), Effect::Changes(4));
        assert_eq!(Effect::of(EntryKind::React, r#"{"target":"m"}"#), Effect::Changes(u64::MAX));
        assert_eq!(Effect::of(EntryKind::Delete, r#"{"target":"m","seq":4}"#), Effect::Erases);
        assert_eq!(Effect::of(EntryKind::Msg, r#"{"change":"delete"}"#), Effect::Nothing);
    }
}
