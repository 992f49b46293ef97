//! Names of users, rooms and conversations, read and written (docs/protocol.md §1).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use mqttchat_protocol::{ApiSecret, Conversation, Dest, MessageId, Party, RoomId, UserId};
use proptest::prelude::*;

fn id() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?"
}

fn party() -> impl Strategy<Value = Party> {
    (any::<bool>(), id()).prop_filter_map("an id", |(foreign, id)| {
        Party::parse(&if foreign { format!("mqtt:{id}") } else { id })
    })
}

fn dest() -> impl Strategy<Value = Dest> {
    prop_oneof![
        Just(Dest::Public),
        id().prop_filter_map("an id", |id| RoomId::parse(&id).map(Dest::Room)),
        party().prop_map(Dest::Private),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(dest in dest(), me in party()) {
        prop_assert_eq!(Dest::parse(&dest.to_string()), Ok(dest.clone()));
        let conversation = dest.seen_by(&me);
        prop_assert_eq!(Conversation::parse(&conversation.to_string()), Some(conversation.clone()));
        prop_assert_eq!(conversation.dest_for(&me), dest);
        prop_assert!(conversation.has(&me));
    }

    #[test]
    fn a_pair_is_the_same_from_both_sides(one in party(), other in party(), third in party()) {
        let pair = Conversation::pair(one.clone(), other.clone());
        prop_assert_eq!(&pair, &Conversation::pair(other.clone(), one.clone()));
        prop_assert!(pair.has(&one) && pair.has(&other));
        prop_assert_eq!(pair.has(&third), third == one || third == other);
        prop_assert_eq!(pair.dest_for(&other), Dest::Private(one));
    }

    #[test]
    fn no_text_makes_the_parsers_fail(text in any::<String>()) {
        let _ = (UserId::parse(&text), RoomId::parse(&text), MessageId::parse(&text), Dest::parse(&text));
        let read = Conversation::parse(&text).map(|conversation| conversation.to_string());
        // A pair may be written with the larger one first.
        prop_assert!(read.is_none_or(|read| read == text || text.starts_with("pair/")));
    }
}

#[test]
fn users_are_no_strangers() {
    let (ann, bob) = (UserId::parse("ann").unwrap(), UserId::parse("bob").unwrap());
    let (user, stranger) = (Party::from(&ann), Party::parse("mqtt:ann").unwrap());
    assert_eq!((user.user(), stranger.user()), (Some(ann.clone()), None));
    assert!(user == ann && user != bob && stranger != ann);
    assert!(!user.is_foreign() && stranger.is_foreign());
}

#[test]
fn names_of_conversations() {
    for text in ["public", "rooms/ops", "pair/ann/bob", "pair/ann/ann", "pair/bob/mqtt:lamp"] {
        assert_eq!(Conversation::parse(text).map(|c| c.to_string()).as_deref(), Some(text));
    }
    for text in
        ["", "Public", "publi", "public/", "rooms", "rooms/", "rooms/A", "pair/ann", "pair//", "private/ann"]
    {
        assert_eq!(Conversation::parse(text), None, "{text}");
    }
    for text in [
        "",
        "Public",
        "public/",
        "rooms/",
        "rooms/a/b",
        "private/",
        "private/A",
        "pair/ann/bob",
        "private/mqtt:",
    ] {
        assert!(Dest::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_key_is_told_from_a_token() {
    assert!(ApiSecret::is_meant("mck_x"));
    assert!(!ApiSecret::is_meant("mc1.1.ann.1.x") && !ApiSecret::is_meant(""));
}
