//! Every frame that a client can send, and what the server reads in it (docs/protocol.md §2 to §4).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;

use mqttchat_protocol::{
    ClientFrame, Command, Dest, DisplayName, ErrorCode, Hello, HistoryBounds, MessageId, Party, Refusal,
    RoomChange, RoomId, Target, UserId,
};
use serde_json::{Value, json};

fn read(frame: &Value) -> ClientFrame {
    ClientFrame::parse(&frame.to_string()).unwrap_or_else(|refusal| panic!("{frame}: {refusal:?}"))
}

fn refusal(frame: &Value) -> Refusal {
    match ClientFrame::parse(&frame.to_string()) {
        Ok(read) => panic!("{frame} was read as {read:?}"),
        Err(refusal) => refusal,
    }
}

fn refused(frame: &Value) -> ErrorCode {
    refusal(frame).code
}

fn message(id: &str) -> MessageId {
    MessageId::parse(id).unwrap()
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

/// A command, and the `type` and `data` that it is read from.
fn commands() -> Vec<(Value, Value, Command)> {
    let target = |author: Option<&str>| Target {
        id: message("m1"),
        author: author.map(|author| Party::parse(author).unwrap()),
    };
    let title = |text: &str| DisplayName::parse(text).unwrap().to_shared();
    let text = json!({"text": "hi", "more": 1});
    let Value::Object(said) = text.clone() else { panic!() };
    let bounds = |before, after, limit| Command::History(HistoryBounds { before, after, limit });
    vec![
        (json!("join"), json!({"history": 7}), Command::Join { history: 7 }),
        (json!("join"), json!(null), Command::Join { history: 0 }),
        (json!("leave"), json!({}), Command::Leave),
        (json!("msg"), text, Command::Msg(said)),
        (json!("typing"), json!({"typing": true}), Command::Typing(true)),
        (json!("typing"), json!({"typing": false}), Command::Typing(false)),
        (json!("read"), json!({"seq": 41}), Command::Read { seq: 41 }),
        (json!(200), json!("m1"), Command::Received(message("m1"))),
        (json!("history"), json!({"before": 5}), bounds(Some(5), None, None)),
        (json!("history"), json!({"after": 6, "limit": 3}), bounds(None, Some(6), Some(3))),
        (json!("history"), json!({"before": null, "after": 0}), bounds(None, Some(0), None)),
        (
            json!("roster"),
            json!({"after": "ann", "limit": 9}),
            Command::Roster { after: Some("ann".to_owned()), limit: Some(9) },
        ),
        (
            json!("conversations"),
            json!({"after": "private/bob", "limit": 8}),
            Command::Conversations { after: Some("private/bob".to_owned()), limit: Some(8) },
        ),
        (
            json!("edit"),
            json!({"target": "m1", "text": "new"}),
            Command::Edit { target: target(None), text: "new".to_owned() },
        ),
        (
            json!("delete"),
            json!({"target": "m1", "author": "mqtt:lamp"}),
            Command::Delete(target(Some("mqtt:lamp"))),
        ),
        (
            json!("react"),
            json!({"target": "m1", "emoji": "👍"}),
            Command::React { target: target(None), emoji: "👍".to_owned(), on: true },
        ),
        (
            json!("react"),
            json!({"target": "m1", "author": "bob", "emoji": "👍", "on": false}),
            Command::React { target: target(Some("bob")), emoji: "👍".to_owned(), on: false },
        ),
        (
            json!("search"),
            json!({"q": "tea", "limit": 2}),
            Command::Search { q: "tea".to_owned(), limit: Some(2) },
        ),
        (
            json!("rooms"),
            json!({"after": "ops", "limit": 1}),
            Command::Rooms { after: Some("ops".to_owned()), limit: Some(1) },
        ),
        (
            json!("room.create"),
            json!({"title": "Ops", "open": true, "members": ["bob", "eve"]}),
            Command::Room(RoomChange::Create {
                title: title("Ops"),
                open: true,
                members: vec![user("bob"), user("eve")],
            }),
        ),
        (
            json!("room.update"),
            json!({"open": false}),
            Command::Room(RoomChange::Update { title: None, open: Some(false) }),
        ),
        (
            json!("room.update"),
            json!({"title": "Tea"}),
            Command::Room(RoomChange::Update { title: Some(title("Tea")), open: None }),
        ),
        (json!("room.delete"), json!(null), Command::Room(RoomChange::Delete)),
        (json!("member.add"), json!({"user": "bob"}), Command::Room(RoomChange::AddMember(user("bob")))),
        (
            json!("member.remove"),
            json!({"user": "bob"}),
            Command::Room(RoomChange::RemoveMember(user("bob"))),
        ),
        (json!(1001), json!(null), Command::Ping),
        (json!(1002), json!(null), Command::Pong),
    ]
}

#[test]
fn each_type_is_read_as_what_it_says() {
    let room = Dest::Room(RoomId::parse("r").unwrap());
    for (kind, data, command) in commands() {
        let frame = read(&json!({"type": kind, "id": "c1", "dest": "rooms/r", "data": data}));
        assert_eq!(frame, ClientFrame { id: Some(message("c1")), dest: Some(room.clone()), command });
    }
}

#[test]
fn what_needs_an_id_or_a_dest_is_refused_without() {
    let without_id = ["msg", "edit", "delete", "react", "room.", "member."];
    let with_dest = ["join", "leave", "typing", "read", "history", "roster"];
    for (kind, data, _) in commands() {
        let name = kind.as_str().unwrap_or_default();
        let needs_id = without_id.iter().any(|prefix| name.starts_with(prefix));
        let needs_dest = needs_id || with_dest.contains(&name);
        let frame = json!({"type": kind, "dest": "rooms/r", "data": data});
        if needs_id {
            assert_eq!(refused(&frame), ErrorCode::BadFrame, "{frame}");
        } else {
            assert_eq!(read(&frame).id, None);
        }
        let frame = json!({"type": kind, "id": "c1", "data": data});
        if needs_dest {
            assert_eq!(refused(&frame), ErrorCode::BadDest, "{frame}");
        } else {
            assert_eq!(read(&frame).dest, None);
        }
    }
}

#[test]
fn a_hello_with_everything() {
    let data = json!({"name": "Ann", "token": "t", "log": "l", "resume": {"public": 3}});
    let hello = Hello {
        name: DisplayName::parse("Ann"),
        token: Some("t".to_owned()),
        log: Some("l".to_owned()),
        resume: BTreeMap::from([(Dest::Public, 3)]),
    };
    assert_eq!(read(&json!({"type": "hello", "data": data})).command, Command::Hello(hello));
}

#[test]
fn data_of_another_kind_is_refused() {
    let wrong = [
        ("join", json!({"history": -1})),
        ("join", json!({"history": "7"})),
        ("msg", json!("hi")),
        ("msg", json!({"text": ["hi"]})),
        ("typing", json!({"typing": 1})),
        ("typing", json!({})),
        ("read", json!({})),
        ("read", json!({"seq": 9_007_199_254_740_993_u64})),
        ("history", json!({"before": 1, "after": 1})),
        ("roster", json!({"after": 1})),
        ("edit", json!({"target": "m1", "text": 1})),
        ("edit", json!({"target": "", "text": "x"})),
        ("react", json!({"target": "m1", "emoji": "x", "on": "yes"})),
        ("room.create", json!({"open": true})),
        ("room.create", json!({"title": "R", "open": 1})),
        ("room.create", json!({"title": "R", "members": "bob"})),
        ("room.create", json!({"title": "R", "members": [1]})),
        ("room.update", json!({"title": "x\u{202e}y"})),
        ("member.remove", json!({})),
    ];
    for (kind, data) in wrong {
        let frame = json!({"type": kind, "id": "c1", "dest": "rooms/r", "data": data});
        assert_eq!(refused(&frame), ErrorCode::BadFrame, "{frame}");
    }
    for data in [json!(null), json!(7), json!("")] {
        assert_eq!(refused(&json!({"type": 200, "data": data})), ErrorCode::BadFrame);
    }
    let largest = read(&json!({"type": "read", "dest": "public", "data": {"seq": 1_u64 << 53}}));
    assert_eq!(largest.command, Command::Read { seq: 1 << 53 });
    for kind in [json!(100), json!(0), json!(-1), json!(1.5), json!("Msg"), json!("room.")] {
        assert_eq!(refused(&json!({"type": kind, "id": "c1", "dest": "public"})), ErrorCode::UnknownType);
    }
}

#[test]
fn an_emoji_is_one_to_32_bytes_without_space() {
    let react = |emoji: &str| {
        let data = json!({"target": "m1", "emoji": emoji});
        ClientFrame::parse(&json!({"type": "react", "id": "c1", "dest": "public", "data": data}).to_string())
            .map_err(|refusal| refusal.code)
    };
    for good in ["x", "👩‍👩‍👧‍👦", &"x".repeat(32)] {
        assert!(react(good).is_ok(), "{good}");
    }
    for bad in ["", "a b", "a\n", "\u{7f}", "\u{a0}", &"x".repeat(33)] {
        assert_eq!(react(bad), Err(ErrorCode::BadFrame), "{bad:?}");
    }
}

#[test]
fn a_refusal_says_what_is_wrong() {
    let wrong = [
        (json!({"type": "msg", "id": "m", "dest": "public", "data": {"text": 7}}), "data.text"),
        (json!({"type": "msg", "id": "m", "dest": "public", "data": "hi"}), "an object"),
        (json!({"type": "msg", "id": 7, "dest": "public", "data": {}}), "an id is 1 to 64"),
        (json!({"type": "join", "dest": "public", "data": {"history": "7"}}), "data.history"),
        (json!({"type": "typing", "dest": "public", "data": {"typing": 1}}), "data.typing"),
        (json!({"type": "roster", "dest": "public", "data": {"after": 1}}), "data.after"),
        (json!({"type": "hello", "data": {"resume": {"nowhere": 1}}}), "data.resume"),
        (json!({"type": "hello", "data": {"resume": {"public": "1"}}}), "data.resume"),
        (json!({"type": "hello", "data": {"resume": [1]}}), "data.resume"),
        (json!({"type": "dance"}), "dance"),
        (json!({"type": 4711}), "4711"),
        (json!({"type": true}), "type is"),
        (json!({"data": {}}), "needs a type"),
    ];
    for (frame, named) in wrong {
        let reason = refusal(&frame).reason;
        assert!(reason.contains(named), "{frame}: {reason}");
    }
    let reason = refusal(&json!({"type": "x".repeat(5000)})).reason;
    assert!(reason.contains(&"x".repeat(32)) && !reason.contains(&"x".repeat(33)), "{reason}");
}
