//! Which private messages a session was handed and may confirm with 200.

use std::collections::VecDeque;

use mqttchat_protocol::{Conversation, MessageId};

/// How many are remembered. Confirming one confirms all before it, so older ones are seldom asked for.
const REMEMBERED: usize = 1000;

/// The newest private entries that went to this client.
#[derive(Debug, Default)]
pub(crate) struct Handed(VecDeque<One>);

#[derive(Debug)]
struct One {
    id: MessageId,
    conversation: Conversation,
    seq: u64,
    /// Whether the client has confirmed it.
    confirmed: bool,
}

impl Handed {
    /// Remembers one.
    pub(crate) fn note(&mut self, id: &MessageId, conversation: &Conversation, seq: u64) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(One { id: id.clone(), conversation: conversation.clone(), seq, confirmed: false });
    }

    /// Where entries with this id stand, more than one, since ids are unique per sender only; and whether that any of them
    /// was got is news.
    pub(crate) fn confirm(&mut self, id: &MessageId) -> (Vec<(Conversation, u64)>, bool) {
        let (mut found, mut is_news) = (Vec::new(), false);
        for one in self.0.iter_mut().filter(|one| one.id == *id) {
            is_news |= !std::mem::replace(&mut one.confirmed, true);
            found.push((one.conversation.clone(), one.seq));
        }
        (found, is_news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_news_once() {
        let id = |text: &str| MessageId::parse(text).unwrap();
        let mut handed = Handed::default();
        handed.note(&id("a"), &Conversation::Public, 1);
        assert_eq!(handed.confirm(&id("b")), (vec![], false));
        assert_eq!(handed.confirm(&id("a")), (vec![(Conversation::Public, 1)], true));
        assert_eq!(handed.confirm(&id("a")), (vec![(Conversation::Public, 1)], false));
        for seq in 2..=REMEMBERED as u64 + 1 {
            handed.note(&id("c"), &Conversation::Public, seq);
        }
        assert_eq!(handed.confirm(&id("a")), (vec![], false), "it is long ago");
    }
}
