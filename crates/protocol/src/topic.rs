//! MQTT topics (docs/mqtt.md "Topics"): conversations and users ↔ topic names.

use crate::{Conversation, Dest, Party, RoomId, UserId};

/// The topics of one installation, all below its prefix.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
}

/// What a topic is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Log entries. A private one names the user whose copy it carries.
    Msgs(Dest),
    /// Who is typing.
    Typing(Dest),
    /// Acknowledgements for a user.
    Acks(UserId),
    /// Who has read how far in a room.
    RoomAcks(RoomId),
    /// Whether a user is there.
    Status(UserId),
    /// Who is on a node.
    NodePresence(String),
}

impl Topics {
    /// Topics below `prefix`, which is empty or ends in `/`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        Self { prefix: format!("{prefix}{slash}") }
    }

    /// Where an entry of `conversation` is published: one topic, or one for each user of a pair. Strangers have none.
    #[must_use]
    pub fn msgs(&self, conversation: &Conversation) -> Vec<String> {
        self.leaves(conversation, "msgs")
    }

    fn leaves(&self, conversation: &Conversation, leaf: &str) -> Vec<String> {
        let private = |party: &Party| format!("{}private/{party}/{leaf}", self.prefix);
        match conversation {
            Conversation::Public | Conversation::Room(_) => {
                vec![format!("{}{conversation}/{leaf}", self.prefix)]
            }
            Conversation::Pair(one, other) => {
                let other = (other != one).then_some(other);
                [one].into_iter().chain(other).filter(|party| !party.is_foreign()).map(private).collect()
            }
        }
    }

    /// Where typing is published: a private one goes to the other party only.
    #[must_use]
    pub fn typing(&self, dest: &Dest) -> String {
        format!("{}{dest}/typing", self.prefix)
    }

    /// Where acknowledgements for a user are published.
    #[must_use]
    pub fn acks(&self, user: &UserId) -> String {
        format!("{}private/{user}/acks", self.prefix)
    }

    /// Where it is published who has read how far in a room.
    #[must_use]
    pub fn room_acks(&self, room: &RoomId) -> String {
        format!("{}rooms/{room}/acks", self.prefix)
    }

    /// Where a user's presence is published.
    #[must_use]
    pub fn status(&self, user: &UserId) -> String {
        format!("{}private/{user}/status", self.prefix)
    }

    /// Where a node says who is there.
    #[must_use]
    pub fn node_presence(&self, node: &str) -> String {
        format!("{}nodes/{node}/presence", self.prefix)
    }

    /// The filter for everything of a user's private conversations.
    #[must_use]
    pub fn private_filter(&self, user: &UserId) -> String {
        format!("{}private/{user}/+", self.prefix)
    }

    /// The filters of a node's hub: the public conversation, and the nodes' presence.
    #[must_use]
    pub fn hub_filters(&self) -> [String; 2] {
        [format!("{}public/+", self.prefix), format!("{}nodes/+/presence", self.prefix)]
    }

    /// The filter for everything of a room, for the hubs of nodes where somebody reads it.
    #[must_use]
    pub fn room_filter(&self, room: &RoomId) -> String {
        format!("{}rooms/{room}/+", self.prefix)
    }

    /// The filters under which strangers' messages come in. They don't overlap.
    #[must_use]
    pub fn ingest_filters(&self) -> [String; 3] {
        ["public/msgs", "rooms/+/msgs", "private/+/msgs"].map(|filter| format!("{}{filter}", self.prefix))
    }

    /// The filter of programs' questions for history.
    #[must_use]
    pub fn history_filter(&self) -> String {
        format!("{}history/+/get", self.prefix)
    }

    /// Where a program's questions for history are answered.
    #[must_use]
    pub fn history_got(&self, client: &str) -> String {
        format!("{}history/{client}/got", self.prefix)
    }

    /// The program that asks for history on this topic, by the name that it gave itself.
    #[must_use]
    pub fn history_asker<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let client = topic.strip_prefix(&self.prefix)?.strip_prefix("history/")?.strip_suffix("/get")?;
        UserId::parse(client).map(|_| client)
    }

    /// Parses a topic; `None` when it is none of this installation's.
    #[must_use]
    pub fn parse(&self, topic: &str) -> Option<Topic> {
        let levels: Vec<&str> = topic.strip_prefix(&self.prefix)?.split('/').collect();
        match levels[..] {
            ["public", leaf] => conversation_topic(Dest::Public, leaf),
            ["rooms", room, "acks"] => RoomId::parse(room).map(Topic::RoomAcks),
            ["rooms", room, leaf] => conversation_topic(Dest::Room(RoomId::parse(room)?), leaf),
            ["private", user, "acks"] => UserId::parse(user).map(Topic::Acks),
            ["private", user, "status"] => UserId::parse(user).map(Topic::Status),
            ["private", user, leaf] => conversation_topic(Dest::Private(UserId::parse(user)?.into()), leaf),
            ["nodes", node, "presence"] => Some(Topic::NodePresence(node.to_owned())),
            _ => None,
        }
    }
}

fn conversation_topic(dest: Dest, leaf: &str) -> Option<Topic> {
    match leaf {
        "msgs" => Some(Topic::Msgs(dest)),
        "typing" => Some(Topic::Typing(dest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_there_and_back() {
        for prefix in ["", "chat", "chat/", "a/b"] {
            let topics = Topics::new(prefix);
            let (ann, bob) = (UserId::parse("ann").unwrap(), UserId::parse("bob").unwrap());
            let pair = Conversation::pair((&bob).into(), (&ann).into());
            let msgs = topics.msgs(&pair);
            assert_eq!(msgs.len(), 2);
            assert_eq!(topics.parse(&msgs[0]), Some(Topic::Msgs(Dest::Private((&ann).into()))));
            assert_eq!(topics.parse(&topics.status(&ann)), Some(Topic::Status(ann.clone())));
            assert_eq!(topics.parse(&topics.acks(&bob)), Some(Topic::Acks(bob)));
            let ops = RoomId::parse("ops").unwrap();
            assert_eq!(topics.room_filter(&ops).replace('+', "acks"), topics.room_acks(&ops));
            assert_eq!(topics.parse(&topics.room_acks(&ops)), Some(Topic::RoomAcks(ops)));
            let asked = topics.history_filter().replace('+', "lamp");
            assert_eq!(topics.history_asker(&asked), Some("lamp"));
            assert_eq!(topics.history_got("lamp"), asked.replace("/get", "/got"));
            assert_eq!(topics.history_asker(&asked.replace("lamp", "a/b")), None);
            assert_eq!(topics.parse(&topics.typing(&Dest::Public)), Some(Topic::Typing(Dest::Public)));
            assert_eq!(topics.parse(&topics.node_presence("n1")), Some(Topic::NodePresence("n1".into())));
        }
        let topics = Topics::new("chat");
        assert_eq!(topics.msgs(&Conversation::Public), ["chat/public/msgs"]);
        for stranger in
            ["public/msgs", "chat/public/msgs/x", "chat/private/+/msgs", "chat/rooms//msgs", "chat/public/x"]
        {
            assert_eq!(topics.parse(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn notes_and_strangers_have_one_topic() {
        let topics = Topics::new("");
        let ann = Party::parse("ann").unwrap();
        assert_eq!(topics.msgs(&Conversation::pair(ann.clone(), ann.clone())), ["private/ann/msgs"]);
        assert_eq!(topics.msgs(&Conversation::pair(Party::foreign("lamp"), ann)), ["private/ann/msgs"]);
        let lamp = || Party::foreign("lamp");
        assert_eq!(topics.msgs(&Conversation::pair(lamp(), lamp())), [""; 0]);
    }
}
