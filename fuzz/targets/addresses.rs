//! Names, addresses and topics: what is parsed is written the same way, and stays on its topic. Tokens and keys, which
//! carry names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqttchat_protocol::{
    ApiSecret, Conversation, Dest, DisplayName, Keyring, MessageId, Party, RoomId, Token, Topic, Topics,
    UserId,
};

/// One level of a topic, and no more.
fn assert_level(text: &str) {
    assert!(!text.is_empty() && text.len() <= 64 && !text.contains(['+', '#', '/', '$', '\0']), "{text}");
}

fn user(topics: &Topics, text: &str) {
    let Some(user) = UserId::parse(text) else { return };
    assert_eq!(user.as_str(), text);
    assert_level(text);
    assert_eq!(topics.parse(&topics.status(&user)), Some(Topic::Status(user.clone())));
    assert_eq!(topics.parse(&topics.acks(&user)), Some(Topic::Acks(user.clone())));
    let asked = topics.history_filter().replace('+', text);
    assert_eq!(topics.history_asker(&asked), Some(text));
    let keys = Keyring::new(&[(1, [7; 32])]);
    let token = Token { user, serial: text.len() as u64 };
    assert_eq!(Token::verify(&token.issue(&keys), &keys), Ok(token));
}

fn room(topics: &Topics, text: &str) {
    let Some(room) = RoomId::parse(text) else { return };
    assert_level(room.as_str());
    assert_eq!(topics.parse(&topics.room_acks(&room)), Some(Topic::RoomAcks(room)));
}

fn party(text: &str) {
    // Whatever a stranger calls itself, it is one, and never a user.
    let stranger = Party::foreign(text);
    assert!(stranger.is_foreign() && stranger.user().is_none());
    assert_eq!(Party::parse(stranger.as_str()).as_ref(), Some(&stranger));
    let Some(party) = Party::parse(text) else { return };
    assert_eq!(party.to_string(), text);
    assert_eq!(party.user().is_none(), party.is_foreign());
    assert_level(text.strip_prefix("mqtt:").unwrap_or(text));
}

fn dest(topics: &Topics, text: &str) {
    let Ok(dest) = Dest::parse(text) else { return };
    assert_eq!(dest.to_string(), text);
    if !matches!(&dest, Dest::Private(party) if party.is_foreign()) {
        assert_eq!(topics.parse(&topics.typing(&dest)), Some(Topic::Typing(dest.clone())));
    }
    let ann = Party::parse("ann").unwrap();
    let conversation = dest.seen_by(&ann);
    assert!(conversation.has(&ann));
    assert_eq!(conversation.dest_for(&ann), dest);
}

fn conversation(topics: &Topics, text: &str) {
    let Some(conversation) = Conversation::parse(text) else { return };
    // A pair has one name, whoever is named first.
    assert_eq!(Conversation::parse(&conversation.to_string()), Some(conversation.clone()));
    for topic in topics.msgs(&conversation) {
        assert!(!topic.contains(['+', '#', '\0']), "{topic}");
        let Some(Topic::Msgs(dest)) = topics.parse(&topic) else { panic!("{topic}") };
        match (&conversation, dest) {
            (Conversation::Pair(one, other), Dest::Private(user)) => assert!(user == *one || user == *other),
            (conversation, dest) => assert_eq!(dest.to_string(), conversation.to_string()),
        }
    }
    if let Conversation::Pair(one, other) = &conversation {
        for viewer in [one, other] {
            assert_eq!(conversation.dest_for(viewer).seen_by(viewer), conversation);
        }
    }
}

fn name(text: &str) {
    let Some(name) = DisplayName::parse(text) else { return };
    let hides = |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
    assert!(!name.as_str().contains(hides) && (1..=64).contains(&name.as_str().chars().count()));
    assert_eq!(DisplayName::parse(name.as_str()).as_ref(), Some(&name));
    assert!(UserId::parse(&name.guest_id()).is_some());
    for number in [2, 1000, u32::MAX] {
        let numbered = name.numbered(number);
        assert_eq!(DisplayName::parse(numbered.as_str()), Some(numbered));
    }
}

/// What is read from a topic is written to the same.
fn topic(topics: &Topics, text: &str) {
    let written = match topics.parse(text) {
        Some(Topic::Msgs(Dest::Private(party))) => topics.msgs(&Conversation::pair(party.clone(), party)),
        Some(Topic::Msgs(dest)) => topics.msgs(&dest.seen_by(&Party::foreign("x"))),
        Some(Topic::Typing(dest)) => vec![topics.typing(&dest)],
        Some(Topic::Acks(user)) => vec![topics.acks(&user)],
        Some(Topic::RoomAcks(room)) => vec![topics.room_acks(&room)],
        Some(Topic::Status(user)) => vec![topics.status(&user)],
        Some(Topic::NodePresence(node)) => vec![topics.node_presence(&node)],
        None => return,
    };
    assert_eq!(written, [text]);
}

fuzz_target!(|text: &str| {
    let topics = Topics::new("a/b");
    user(&topics, text);
    room(&topics, text);
    party(text);
    dest(&topics, text);
    conversation(&topics, text);
    name(text);
    topic(&topics, text);
    topic(&topics, &format!("a/b/{text}"));
    topic(&Topics::new(""), text);
    if let Some(id) = MessageId::parse(text) {
        assert!(id.as_str() == text && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
    if let Some(key) = ApiSecret::parse(text) {
        assert_eq!(key.reveal(), text);
    }
    // Nobody finds a signature.
    assert!(Token::verify(text, &Keyring::new(&[(1, [7; 32])])).is_err());
});
