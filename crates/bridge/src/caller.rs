//! Who asks for something: a session's user, or a program's.

use std::sync::Arc;

use mqttchat_protocol::{Conversation, Party, RoomId, UserId};

/// A user who is signed in, whatever they came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user.
    pub(crate) user: UserId,
    /// The same, as an author.
    pub(crate) party: Party,
    /// The name that is shown.
    pub(crate) name: Arc<str>,
    /// The only rooms that they may use, of those that are theirs; `None`: all.
    rooms: Option<Arc<[RoomId]>>,
}

impl Caller {
    /// A user under their name.
    pub(crate) fn new(user: UserId, name: Arc<str>) -> Self {
        Self { party: Party::from(&user), user, name, rooms: None }
    }

    /// Somebody whose token is for these rooms.
    pub(crate) fn for_rooms(mut self, rooms: Option<Arc<[RoomId]>>) -> Self {
        self.rooms = rooms;
        self
    }

    /// Whether their token is for this conversation; what they may do there is another question.
    pub(crate) fn covers(&self, conversation: &Conversation) -> bool {
        match (conversation, &self.rooms) {
            (Conversation::Room(room), Some(rooms)) => rooms.contains(room),
            _ => true,
        }
    }
}
