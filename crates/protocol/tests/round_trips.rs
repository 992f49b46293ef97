//! What is written is read as the same, whatever it is: tokens, envelopes, entries, canonical JSON.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;

use mqttchat_protocol::{
    ApiSecret, Conversation, Entry, EntryKind, EnvelopeError, Frame, Keyring, Marks, MessageId, Party,
    RoomId, Token, UserId, canonical,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn user() -> impl Strategy<Value = UserId> {
    "[a-z0-9][a-z0-9_-]{0,63}".prop_filter_map("an id", |id| UserId::parse(&id))
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![
        user().prop_map(Party::from),
        user().prop_filter_map("an id", |id| Party::parse(&format!("mqtt:{id}"))),
    ]
}

fn conversation() -> impl Strategy<Value = Conversation> {
    prop_oneof![
        Just(Conversation::Public),
        user().prop_filter_map("an id", |id| RoomId::parse(id.as_str()).map(Conversation::Room)),
        (party(), party()).prop_map(|(one, other)| Conversation::pair(one, other)),
    ]
}

/// Any JSON, with the numbers that every JSON library has.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_filter_map("a number of JSON", |number| number.is_finite().then(|| json!(number))),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn marks() -> impl Strategy<Value = Option<Box<Marks>>> {
    let reactions = prop::collection::btree_map("\\PC{1,8}", prop::collection::vec(party(), 1..4), 0..4);
    prop::option::of((any::<Option<u32>>(), reactions, any::<bool>()).prop_map(
        |(edited, reactions, deleted)| Box::new(Marks { edited: edited.map(u64::from), reactions, deleted }),
    ))
}

prop_compose! {
    fn entry()(
        place in conversation(), author in party(), seq in any::<u64>(), time in any::<u64>(),
        kind in prop::sample::select(vec!["msg", "edit", "delete", "react", "room"]),
        id in "[!-~]{1,64}", name in any::<String>(),
        members in prop::collection::btree_map(any::<String>(), value(), 0..6), marks in marks(),
    ) -> Entry {
        let from = match &place {
            Conversation::Pair(one, _) => one.clone(),
            _ => author,
        };
        let data = Value::Object(members.into_iter().collect::<Map<_, _>>()).to_string();
        Entry {
            conversation: place, seq, time, kind: EntryKind::parse(kind).unwrap(), id: MessageId::parse(&id).unwrap(),
            from, name: name.into(), data: data.into(), marks, position: 0,
        }
    }
}

/// Where the payload of an unmasked text frame begins, by RFC 6455 §5.2 as its reader has it.
fn payload(wire: &[u8]) -> &[u8] {
    assert_eq!(wire[0], 0x81);
    let (begin, len) = match wire[1] {
        126 => (4, u64::from(u16::from_be_bytes([wire[2], wire[3]]))),
        127 => (10, u64::from_be_bytes(wire[2..10].try_into().unwrap())),
        len => (2, u64::from(len)),
    };
    assert_eq!(len, (wire.len() - begin) as u64);
    &wire[begin..]
}

proptest! {
    #[test]
    fn entries(entry in entry()) {
        let frame = entry.to_frame();
        let read: Value = serde_json::from_slice(payload(frame.wire())).unwrap();
        let none = BTreeMap::new();
        let marks = entry.marks.as_deref();
        let mut written = json!({
            "type": entry.kind.as_str(),
            "id": entry.id.as_str(),
            "dest": entry.dest().to_string(),
            "from": entry.from.to_string(),
            "name": &*entry.name,
            "time": entry.time,
            "seq": entry.seq,
            "data": serde_json::from_str::<Value>(&entry.data).unwrap(),
        });
        if entry.from.is_foreign() {
            written["via"] = "mqtt".into();
        }
        if let Some(edited) = marks.and_then(|marks| marks.edited) {
            written["edited"] = edited.into();
        }
        let reactions = marks.map_or(&none, |marks| &marks.reactions);
        if !reactions.is_empty() {
            written["reactions"] = reactions
                .iter()
                .map(|(emoji, users)| (emoji.clone(), users.iter().map(Party::to_string).collect::<Value>()))
                .collect::<Map<_, _>>()
                .into();
        }
        if marks.is_some_and(|marks| marks.deleted) {
            written["deleted"] = true.into();
        }
        prop_assert_eq!(read, written);
    }

    #[test]
    fn envelopes(entry in entry(), secret in any::<[u8; 32]>(), other in any::<[u8; 32]>(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        prop_assume!(secret != other);
        let (old, new) = (Keyring::new(&[(1, secret)]), Keyring::new(&[(2, other), (1, secret)]));
        let frame = entry.to_frame();
        let mut sealed = old.seal(frame.as_json());
        prop_assert!(serde_json::from_slice::<Value>(&sealed).unwrap()["sign"].is_string());
        for keys in [&old, &new] {
            prop_assert_eq!(keys.open(&sealed).unwrap().to_json(), frame.as_json());
        }
        prop_assert_eq!(old.open(&new.seal(frame.as_json())).unwrap_err(), EnvelopeError::Forged);
        let at = at.index(sealed.len());
        sealed[at] ^= flip;
        prop_assert!(old.open(&sealed).is_err(), "byte {at} is another one");
    }

    #[test]
    fn tokens(user in user(), serial in any::<u64>(), secret in any::<[u8; 32]>(), at in any::<prop::sample::Index>(), put in any::<char>()) {
        let keys = Keyring::new(&[(7, secret)]);
        let token = Token { user, serial };
        let text = token.issue(&keys);
        prop_assert_eq!(Token::verify(&text, &keys), Ok(token));
        prop_assert!(Token::verify(&text, &Keyring::new(&[(8, secret)])).is_err(), "another key id");
        let at = at.index(text.len());
        let changed = format!("{}{put}{}", &text[..at], &text[at + 1..]);
        prop_assert!(changed == text || Token::verify(&changed, &keys).is_err(), "{changed} for {text}");
        prop_assert!(Token::verify(&text[..at], &keys).is_err(), "cut off");
        prop_assert!(Token::verify(&format!("{text}{put}"), &keys).is_err(), "longer");
    }

    #[test]
    fn no_text_is_a_token(text in any::<String>(), parts in prop::collection::vec("[a-zA-Z0-9_-]{0,50}", 0..7)) {
        let keys = Keyring::new(&[(0, [1; 32])]);
        for text in [text, format!("mc1.0.{}", parts.join("."))] {
            prop_assert!(Token::verify(&text, &keys).is_err());
        }
    }

    #[test]
    fn api_keys(_any in any::<u8>()) {
        let secret = ApiSecret::random();
        let text = secret.reveal();
        prop_assert!(ApiSecret::is_meant(&text));
        prop_assert_eq!(ApiSecret::parse(&text).unwrap().hash(), secret.hash());
    }

    #[test]
    fn canonical_json_says_the_same_and_is_one(value in value()) {
        let text = canonical(&value);
        let read: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(canonical(&read), text.as_str());
        let spread = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(canonical(&serde_json::from_str(&spread).unwrap()), text);
    }

    #[test]
    fn frames_of_any_length(len in prop_oneof![0usize..300, 65_500usize..65_600]) {
        let text = "x".repeat(len);
        let frame = Frame::text(text.as_bytes());
        prop_assert_eq!(payload(frame.wire()), text.as_bytes());
        prop_assert_eq!(frame.as_json(), text.as_bytes());
    }
}
