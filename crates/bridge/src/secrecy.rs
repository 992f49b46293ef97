//! What of the log stays off the broker where strangers can read that (docs/mqtt.md "Private content").

use std::collections::HashSet;

use bytes::Bytes;
use mqttchat_protocol::{Conversation, Entry, Party};
use mqttchat_store::Access;

use crate::hub::Hub;

/// The conversations, of those looked at, that are only rung for.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    pairs: bool,
    rooms: HashSet<Conversation>,
}

impl Secrets {
    /// Whether what is said there stays off the broker.
    pub(crate) fn has(&self, conversation: &Conversation) -> bool {
        match conversation {
            Conversation::Public => false,
            Conversation::Pair(..) => self.pairs,
            Conversation::Room(_) => self.rooms.contains(conversation),
        }
    }
}

impl Hub {
    /// Which of these conversations stay off the broker: private ones, and the rooms that are not open now. To be asked
    /// when what is to be published is in the log.
    pub(crate) async fn secrets<'a>(
        &self,
        conversations: impl Iterator<Item = &'a Conversation> + Send,
    ) -> Secrets {
        if !self.bells_only() {
            return Secrets::default();
        }
        let mut secrets = Secrets { pairs: true, rooms: HashSet::new() };
        let anybody = Party::foreign("");
        let mut looked_at = HashSet::new();
        for conversation in conversations {
            let Conversation::Room(room) = conversation else { continue };
            if !looked_at.insert(room) {
                continue;
            }
            // What can't be found out counts as closed.
            if !matches!(self.store.room_access(room, &anybody).await, Ok(Access::Open)) {
                secrets.rooms.insert(conversation.clone());
            }
        }
        secrets
    }

    /// What goes over MQTT for an entry: its frame, or in its place a bell.
    pub(crate) fn payload(&self, entry: &Entry, frame: &[u8], bell: bool) -> Bytes {
        if bell {
            return self.keys.seal(self.bell(entry).to_string().as_bytes()).into();
        }
        self.keys.seal(frame).into()
    }

    /// Says that there is an entry, not what it says.
    pub(crate) fn bell(&self, entry: &Entry) -> serde_json::Value {
        serde_json::json!({
            "type": "bell", "dest": entry.dest(), "from": entry.from.as_str(), "seq": entry.seq
        })
    }
}
