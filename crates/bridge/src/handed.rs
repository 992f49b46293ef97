//! Which private messages a session was handed and may confirm with 200.

use std::collections::VecDeque;

use mqttchat_protocol::{Conversation, MessageId};

/// How many are remembered. Confirming one confirms all before it, so older ones are seldom asked for.
const REMEMBERED: usize = 1000;

/// The newest private entries that went to this client.
#[derive(Debug, Default)]
pub(crate) struct Handed(VecDeque<(MessageId, Conversation, u64)>);

impl Handed {
    /// Remembers one.
    pub(crate) fn note(&mut self, id: &MessageId, conversation: &Conversation, seq: u64) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((id.clone(), conversation.clone(), seq));
    }

    /// Where entries with this id stand; more than one, since ids are unique per sender only.
    pub(crate) fn find(&self, id: &MessageId) -> Vec<(Conversation, u64)> {
        let same = self.0.iter().filter(|(known, _, _)| known == id);
        same.map(|(_, conversation, seq)| (conversation.clone(), *seq)).collect()
    }
}
