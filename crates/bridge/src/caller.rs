//! Who asks for something: a session's user, or a program's.

use std::sync::Arc;

use mqttchat_protocol::{Party, UserId};

/// A user who is signed in, whatever they came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user.
    pub(crate) user: UserId,
    /// The same, as an author.
    pub(crate) party: Party,
    /// The name that is shown.
    pub(crate) name: Arc<str>,
}

impl Caller {
    /// A user under their name.
    pub(crate) fn new(user: UserId, name: Arc<str>) -> Self {
        Self { party: Party::from(&user), user, name }
    }
}
