//! A room, as clients are shown it (§4).

use std::sync::Arc;

use serde::Serialize;

use crate::{RoomId, UserId};

/// A room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// The title that is shown; the same form as a display name.
    pub title: Arc<str>,
    /// Whether everybody may read and write; else only its members.
    pub open: bool,
    /// Who made it, and may change it.
    pub owner: UserId,
    /// Who belongs to it, the owner included, by id.
    pub members: Vec<UserId>,
    /// When it was made, Unix time in ms.
    pub created: u64,
    /// When its title, openness or members last changed, Unix time in ms.
    pub modified: u64,
    /// Its newest `seq`.
    pub head: u64,
}

impl Room {
    /// Whether `user` belongs to it.
    #[must_use]
    pub fn has(&self, user: &UserId) -> bool {
        self.members.binary_search(user).is_ok()
    }
}

/// What is to change about a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomChange {
    /// It is made.
    Create {
        /// Its title.
        title: Arc<str>,
        /// Whether everybody may come in.
        open: bool,
        /// Who belongs to it from the start, beside its owner.
        members: Vec<UserId>,
    },
    /// It gets another title, or is opened or closed.
    Update {
        /// The new title, if it changes.
        title: Option<Arc<str>>,
        /// Whether everybody may come in, if that changes.
        open: Option<bool>,
    },
    /// It is deleted, with everything said in it.
    Delete,
    /// Somebody belongs to it from now on.
    AddMember(UserId),
    /// Somebody no longer belongs to it.
    RemoveMember(UserId),
}
