//! docs/asyncapi.yaml is held against itself and the parser: its examples fit its schemas, and what a client sends in
//! them is a frame.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

mod schema;

use mqttchat_protocol::ClientFrame;
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
