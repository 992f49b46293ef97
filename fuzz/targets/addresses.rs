//! Names, addresses and topics: what is parsed is written the same way, and stays on its topic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqttchat_protocol::{Conversation, Dest, DisplayName, MessageId, Party, RoomId, Topic, Topics, UserId};

fuzz_target!(|text: &str| {
    let topics = Topics::new("a/b");
    if let Some(user) = UserId::parse(text) {
        assert_eq!(user.as_str(), text);
        assert_eq!(topics.parse(&topics.status(&user)), Some(Topic::Status(user)));
    }
    if let Some(room) = RoomId::parse(text) {
        assert_eq!(topics.parse(&topics.room_acks(&room)), Some(Topic::RoomAcks(room)));
    }
    if let Some(party) = Party::parse(text) {
        assert_eq!(party.to_string(), text);
    }
    if let Ok(dest) = Dest::parse(text) {
        assert_eq!(dest.to_string(), text);
    }
    if let Some(conversation) = Conversation::parse(text) {
        // A pair has one name, whoever is named first.
        assert_eq!(Conversation::parse(&conversation.to_string()), Some(conversation.clone()));
        for topic in topics.msgs(&conversation) {
            assert!(!topic.contains(['+', '#', '\0']), "{topic}");
            assert!(matches!(topics.parse(&topic), Some(Topic::Msgs(_))), "{topic}");
        }
    }
    let _ = (DisplayName::parse(text), MessageId::parse(text), topics.parse(text), topics.history_asker(text));
    let _ = topics.parse(&format!("a/b/{text}"));
});
