//! Messages that are changed: edited, deleted, reacted to.

mod support;

use mqttchat_bridge::BridgeOptions;
use serde_json::{Value, json};
use support::{App, Client, kind};

/// The newest entries of the public conversation, as somebody new is shown them.
async fn as_joined(app: &App, name: &str) -> Vec<Value> {
    let mut client = app.sign_in(name).await;
    let joined = client.reply("join", "public", json!({"history":50})).await;
    joined["messages"].as_array().cloned().unwrap_or_default()
}

async fn accepted(client: &mut Client, kind: &str, data: Value) -> Value {
    let answer = client.ask(kind, "public", data).await;
    assert_eq!(answer["type"], 100, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_seen_now_and_later() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.join("Ann").await, app.join("Bob").await);
    ann.ask_as("m1", "msg", "public", json!({"text":"helo","mood":"hasty"})).await;
    assert_eq!(as_joined(&app, "Early").await[0]["data"]["text"], "helo");
    let changed = accepted(&mut ann, "edit", json!({"target":"m1","text":"hello"})).await;
    let live = bob.expect("edit").await;
    assert_eq!(
        (&live["seq"], &live["time"], &live["data"]),
        (&json!(2), &changed["time"], &json!({"target":"m1","text":"hello","seq":1}))
    );
    let joined = as_joined(&app, "Late").await;
    assert_eq!(
        (&joined[0]["data"], &joined[0]["edited"]),
        (&json!({"text":"hello","mood":"hasty"}), &changed["time"])
    );
    assert_eq!((&joined[1]["type"], &joined[1]["data"]["seq"]), (&json!("edit"), &json!(1)));
    assert_eq!(
        bob.refused("edit", "public", json!({"target":"m1","author":"ann","text":"x"})).await,
        "forbidden"
    );
    assert_eq!(bob.refused("edit", "public", json!({"target":"m9","text":"x"})).await, "bad_target");
    assert_eq!(
        ann.refused("edit", "public", json!({"target":"m1","text":"x".repeat(5000)})).await,
        "too_large"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_change_again_is_stored_once() {
    let app = App::start().await;
    let mut ann = app.join("Ann").await;
    ann.ask_as("m1", "msg", "public", json!({"text":"one"})).await;
    let first = ann.ask_as("e1", "edit", "public", json!({"target":"m1","text":"two"})).await;
    assert_eq!(ann.ask_as("e1", "edit", "public", json!({"target":"m1","text":"two"})).await, first);
    let other = ann.ask_as("e1", "edit", "public", json!({"target":"m1","text":"three"})).await;
    assert_eq!(other["data"]["code"], "id_conflict");
    let deleted = ann.ask_as("d1", "delete", "public", json!({"target":"m1"})).await;
    assert_eq!(deleted["seq"], 3);
    assert_eq!(ann.ask_as("d1", "delete", "public", json!({"target":"m1"})).await, deleted);
    assert_eq!(ann.ask_as("m1", "msg", "public", json!({"text":"one"})).await["seq"], 1);
    assert_eq!(ann.refused("delete", "public", json!({"target":"m1"})).await, "bad_target");
}

#[tokio::test(flavor = "multi_thread")]
async fn reactions_are_counted_by_who_reacts() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.join("Ann").await, app.join("Bob").await);
    ann.ask_as("m1", "msg", "public", json!({"text":"done"})).await;
    let yes = json!({"target":"m1","emoji":"🎉","on":true});
    accepted(&mut bob, "react", yes.clone()).await;
    accepted(&mut ann, "react", yes.clone()).await;
    accepted(&mut ann, "react", yes).await;
    assert_eq!(as_joined(&app, "One").await[0]["reactions"], json!({"🎉":["ann","bob"]}));
    accepted(&mut ann, "react", json!({"target":"m1","emoji":"🎉","on":false})).await;
    assert_eq!(as_joined(&app, "Two").await[0]["reactions"], json!({"🎉":["bob"]}));
    let live = bob.expect("react").await;
    assert_eq!(live["data"], json!({"target":"m1","emoji":"🎉","on":true,"seq":1}));
    accepted(&mut bob, "react", json!({"target":"m1","emoji":"🎉","on":false})).await;
    let plain = &as_joined(&app, "Three").await[0];
    assert!(plain["reactions"].is_null(), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_is_a_tombstone_for_everybody() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.join("Ann").await, app.join("Bob").await);
    let mut slow = app.connect_slowly(2);
    slow.send(json!({"type":"hello","id":"h","data":{"name":"Slow"}})).await;
    slow.expect("1000").await;
    slow.reply("join", "public", json!({})).await;
    let token = bob.next_token();
    for number in 0..60 {
        ann.say(&format!("pad {number}"), "public", &"x".repeat(3000)).await;
    }
    ann.entries(60).await;
    ann.ask_as("m1", "msg", "public", json!({"text":"the password is swordfish"})).await;
    ann.ask_as("e1", "edit", "public", json!({"target":"m1","text":"the word is swordfish"})).await;
    accepted(&mut ann, "react", json!({"target":"m1","emoji":"!"})).await;
    bob.expect("react").await;
    accepted(&mut ann, "delete", json!({"target":"m1"})).await;
    let live = bob.expect("delete").await;
    assert_eq!((&live["seq"], &live["data"]), (&json!(64), &json!({"target":"m1","seq":61})));

    slow.allow(1000);
    slow.expect("delete").await;
    let mut again = app.connect();
    again
        .send(json!({"type":"hello","id":"h","data":{"name":"Bob","token":token,"resume":{"public":60}}}))
        .await;
    again.expect("delete").await;
    let joined = as_joined(&app, "Late").await;
    let history = bob.reply("history", "public", json!({"after":60})).await;
    for seen in [&slow.seen, &again.seen, &joined, history["messages"].as_array().unwrap()] {
        let message = seen.iter().find(|frame| frame["seq"] == 61 && kind(frame) == "msg").unwrap();
        assert_eq!((&message["data"], &message["deleted"]), (&json!({}), &json!(true)));
        assert!(message["reactions"].is_null() && message["edited"].is_null(), "{message}");
        let edit = seen.iter().find(|frame| frame["seq"] == 62).unwrap();
        assert_eq!(edit["data"], json!({"target":"m1","seq":61}));
        assert!(!format!("{seen:?}").contains("swordfish"));
    }
    assert_eq!(bob.refused("react", "public", json!({"target":"m1","emoji":"!"})).await, "bad_target");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_author_or_the_rooms_owner_deletes() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    let dest = "rooms/ops";
    ann.reply("room.create", dest, json!({"title":"Ops","open":true})).await;
    for client in [&mut ann, &mut bob] {
        client.ask_as("m1", "msg", dest, json!({"text":"hi"})).await;
    }
    assert_eq!(bob.refused("delete", dest, json!({"target":"m1"})).await, "bad_target", "two have this id");
    assert_eq!(bob.refused("delete", dest, json!({"target":"m1","author":"ann"})).await, "forbidden");
    assert_eq!(ann.ask("delete", dest, json!({"target":"m1","author":"bob"})).await["type"], 100);
    assert_eq!(ann.ask("delete", dest, json!({"target":"m1"})).await["type"], 100);
    assert_eq!(
        bob.refused("edit", dest, json!({"target":"m1","author":"bob","text":"x"})).await,
        "bad_target"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn private_messages_are_changed_for_both() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    let mut eve = app.sign_in("Eve").await;
    ann.ask_as("m1", "msg", "private/bob", json!({"text":"helo"})).await;
    bob.entries(1).await;
    ann.ask_as("e1", "edit", "private/bob", json!({"target":"m1","text":"hello"})).await;
    let edit = bob.expect("edit").await;
    assert_eq!(
        (&edit["dest"], &edit["from"], &edit["seq"]),
        (&json!("private/bob"), &json!("ann"), &json!(2))
    );
    bob.send(json!({"type":200,"data":"e1"})).await;
    assert_eq!(ann.expect("300").await["data"], "m1");
    assert_eq!(bob.refused("edit", "private/ann", json!({"target":"m1","text":"x"})).await, "forbidden");
    let seqs = |session: &support::Client| -> Vec<_> {
        session.seen.iter().filter(|frame| kind(frame) == "300").map(|frame| frame["seq"].clone()).collect()
    };
    bob.settled().await;
    ann.settled().await;
    assert_eq!(seqs(&ann), [1], "an edit is no message");
    eve.ask_as("m2", "msg", "private/ann", json!({"text":"what are you two saying?"})).await;
    assert_eq!(eve.refused("react", "private/ann", json!({"target":"m1","emoji":"!"})).await, "bad_target");
    assert_eq!(bob.ask("react", "private/ann", json!({"target":"m1","emoji":"!"})).await["type"], 100);
    assert_eq!(ann.expect("react").await["dest"], "private/ann");
    ann.ask("delete", "private/bob", json!({"target":"m1"})).await;
    bob.expect("delete").await;
    let history = bob.reply("history", "private/ann", json!({})).await;
    assert_eq!(
        (&history["messages"][0]["deleted"], &history["messages"][0]["data"]),
        (&json!(true), &json!({}))
    );
    eve.settled().await;
    assert!(eve.seen.iter().all(|frame| !["edit", "react", "delete"].contains(&kind(frame).as_str())));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_outlive_a_restart() {
    let app = App::start().await;
    let mut ann = app.join("Ann").await;
    ann.ask_as("m1", "msg", "public", json!({"text":"one"})).await;
    ann.ask_as("m2", "msg", "public", json!({"text":"gone"})).await;
    ann.ask_as("e1", "edit", "public", json!({"target":"m1","text":"two"})).await;
    ann.ask_as("d1", "delete", "public", json!({"target":"m2"})).await;
    ann.vanish();
    let app = app.restart(BridgeOptions::default()).await;
    let joined = as_joined(&app, "Late").await;
    let shown: Vec<_> =
        joined.iter().map(|entry| (entry["data"]["text"].clone(), entry["deleted"].clone())).collect();
    assert_eq!(shown[..2], [(json!("two"), json!(null)), (json!(null), json!(true))]);
    assert_eq!(joined.len(), 4);
}
