//! What the server writes: errors, frames, names; and the topics of its MQTT clients (docs/protocol.md §4, docs/mqtt.md).

#![allow(clippy::unwrap_used, reason = "a test")]

use mqttchat_protocol::{
    Conversation, Dest, DisplayName, Entry, EntryKind, ErrorCode, Frame, Keyring, MessageId, Party, Refusal,
    Room, RoomId, Topic, Topics, UserId,
};
use serde_json::{Value, json};

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

#[test]
fn each_error_says_its_code_and_whether_to_try_again() {
    use ErrorCode::*;
    let codes = [
        (BadFrame, "bad_frame", false),
        (BadDest, "bad_dest", false),
        (BadTarget, "bad_target", false),
        (TooLarge, "too_large", false),
        (UnknownType, "unknown_type", false),
        (HelloFirst, "hello_first", false),
        (NameTaken, "name_taken", false),
        (Unauthorized, "unauthorized", false),
        (Forbidden, "forbidden", false),
        (NotFound, "not_found", false),
        (NotJoined, "not_joined", false),
        (Conflict, "conflict", false),
        (IdConflict, "id_conflict", false),
        (RateLimited, "rate_limited", true),
        (Unavailable, "unavailable", true),
    ];
    for (code, name, retry) in codes {
        let refusal = Refusal::new(code, "why").re(MessageId::parse("m1")).about(Some(Dest::Public));
        let written: Value = serde_json::from_slice(refusal.to_frame().as_json()).unwrap();
        let data = json!({"code": name, "reason": "why", "retry": retry});
        assert_eq!(written, json!({"type": "error", "re": "m1", "dest": "public", "data": data}));
        assert_eq!(refusal.to_string(), format!("{name}: why"));
    }
}

#[test]
fn a_frame_is_its_header_and_its_text() {
    let frame = Frame::text(b"{}");
    assert_eq!((frame.wire().as_ref(), frame.as_json()), (&b"\x81\x02{}"[..], &b"{}"[..]));
    assert!(!frame.is_empty() && Frame::text(b"").is_empty());
}

#[test]
fn an_entry_weighs_what_it_carries() {
    let entry = |name: &str, data: &str| Entry {
        conversation: Conversation::Public,
        seq: 1,
        time: 2,
        kind: EntryKind::Msg,
        id: MessageId::parse("m1").unwrap(),
        from: Party::from(user("ann")),
        name: name.into(),
        data: data.into(),
        marks: None,
        position: 3,
    };
    let light = entry("", "").weight();
    assert!(light >= 100, "an empty one is something in memory too");
    assert_eq!(entry("Ann", r#"{"text":"hi"}"#).weight(), light + 3 + 13);
}

#[test]
fn names_are_shown_and_numbered_within_their_length() {
    let name = DisplayName::parse("Ann").unwrap();
    assert_eq!((name.to_string().as_str(), name.numbered(2).as_str()), ("Ann", "Ann 2"));
    let long = DisplayName::parse(&"ä".repeat(64)).unwrap().numbered(123);
    assert_eq!(long.as_str(), format!("{} 123", "ä".repeat(60)));
    assert_eq!(DisplayName::parse(long.as_str()).as_ref(), Some(&long));
}

#[test]
fn who_belongs_to_a_room() {
    let room = Room {
        id: RoomId::parse("ops").unwrap(),
        title: "Ops".into(),
        open: false,
        owner: user("ann"),
        members: vec![user("ann"), user("cleo")],
        created: 1,
        modified: 1,
        head: 1,
    };
    assert!(room.has(&user("ann")) && room.has(&user("cleo")) && !room.has(&user("bob")));
}

#[test]
fn filters_match_what_is_published() {
    for prefix in ["", "chat/"] {
        let topics = Topics::new(prefix);
        assert_eq!(topics.private_filter(&user("ann")), format!("{prefix}private/ann/+"));
        let ops = Dest::Room(RoomId::parse("ops").unwrap());
        let msgs = topics.msgs(&ops.seen_by(&Party::from(user("ann"))));
        assert_eq!(msgs, [format!("{prefix}rooms/ops/msgs")]);
        assert_eq!(topics.parse(&msgs[0]), Some(Topic::Msgs(ops.clone())));
        assert_eq!(topics.parse(&topics.typing(&ops)), Some(Topic::Typing(ops)));
        for other in ["rooms/Ops/msgs", "rooms/ops/else", "rooms/ops", "private/ann", "nodes/n1/else"] {
            assert_eq!(topics.parse(&format!("{prefix}{other}")), None, "{other}");
        }
    }
}

#[test]
fn keys_are_not_shown() {
    // Their versions are.
    assert_eq!(format!("{:?}", Keyring::new(&[(1, [7; 32])])), "[1]");
}

#[test]
fn a_symbol_may_be_shown_as_emoji_and_nothing_else_may() {
    for good in ["Ann \u{2764}\u{fe0f}", "\u{2139}\u{fe0f}", "\u{24c2}\u{fe0e}"] {
        assert!(DisplayName::parse(good).is_some(), "{good:?}");
    }
    for bad in
        ["Ann\u{fe0f}", "\u{e9}\u{fe0f}", "x!\u{fe0f}", "a \u{fe0f}b", "a\u{3000}\u{fe0f}b", "\u{fe0f}Ann"]
    {
        assert!(DisplayName::parse(bad).is_none(), "{bad:?}");
    }
}
