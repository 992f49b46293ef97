//! docs/asyncapi.yaml is held against itself and the parser: its examples fit its schemas, and what a client sends in
//! them is a frame.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

mod schema;

use std::collections::BTreeSet;

use mqttchat_protocol::{ClientFrame, Command, RoomChange};
use schema::{document, messages, misfit};

#[test]
fn examples_fit_their_schemas() {
    let document = document();
    let operations = document["operations"].as_object().unwrap();
    assert!(operations.len() > 2);
    for operation in operations.keys() {
        for (name, message) in messages(&document, operation) {
            let examples = message["examples"].as_array().unwrap();
            assert!(!examples.is_empty(), "{name}");
            for example in examples {
                assert_eq!(misfit(&document, &message["payload"], &example["payload"]), None, "{name}");
            }
        }
    }
}

#[test]
fn schemas_are_not_for_everything() {
    let document = document();
    for (name, message) in messages(&document, "ask").iter().chain(&messages(&document, "tell")) {
        for wrong in
            [serde_json::json!({}), serde_json::json!({"type": "nothing"}), serde_json::json!("text")]
        {
            assert!(misfit(&document, &message["payload"], &wrong).is_some(), "{name} takes {wrong}");
        }
    }
}

#[test]
fn what_a_client_sends_is_a_frame() {
    let document = document();
    let sent = messages(&document, "ask");
    assert!(sent.len() > 15);
    for (name, message) in sent {
        for example in message["examples"].as_array().unwrap() {
            let text = example["payload"].to_string();
            assert!(ClientFrame::parse(&text).is_ok(), "{name}: {text}: {:?}", ClientFrame::parse(&text));
        }
    }
}

/// What the document calls a command. Whoever adds one is stopped here, describes it, and adds it to [`NAMES`].
fn name(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::Hello(_) => "hello",
        Command::Join { .. } => "join",
        Command::Leave => "leave",
        Command::Msg(_) => "say",
        Command::Typing(_) => "typing",
        Command::Read { .. } => "read",
        Command::Received(_) => "received",
        Command::History(_) => "history",
        Command::Roster { .. } => "roster",
        Command::Conversations { .. } => "conversations",
        Command::Edit { .. } => "edit",
        Command::Delete(_) => "delete",
        Command::React { .. } => "react",
        Command::Search { .. } => "search",
        Command::Rooms { .. } => "rooms",
        Command::Room(RoomChange::Create { .. }) => "roomCreate",
        Command::Room(RoomChange::Update { .. }) => "roomUpdate",
        Command::Room(RoomChange::Delete) => "roomDelete",
        Command::Room(RoomChange::AddMember(_)) => "memberAdd",
        Command::Room(RoomChange::RemoveMember(_)) => "memberRemove",
        Command::Token(_) => "token",
        Command::Ping => "ping",
        Command::Pong => "clientPong",
        // An application describes its own.
        Command::Own { .. } => return None,
    })
}

const NAMES: [&str; 23] = [
    "hello",
    "join",
    "leave",
    "say",
    "typing",
    "read",
    "received",
    "history",
    "roster",
    "conversations",
    "edit",
    "delete",
    "react",
    "search",
    "rooms",
    "roomCreate",
    "roomUpdate",
    "roomDelete",
    "memberAdd",
    "memberRemove",
    "token",
    "ping",
    "clientPong",
];

#[test]
fn every_command_is_described() {
    let document = document();
    let mut described = BTreeSet::new();
    for (called, message) in messages(&document, "ask") {
        for example in message["examples"].as_array().unwrap() {
            let frame = ClientFrame::parse(&example["payload"].to_string()).unwrap();
            assert_eq!(name(&frame.command), Some(&*called), "{example}");
        }
        described.insert(called);
    }
    assert_eq!(described, NAMES.map(str::to_owned).into());
}
