//! Messages are found by their text, by those who may read them.

mod support;

use serde_json::{Value, json};
use support::{App, Client};

const OPS: &str = "rooms/ops";

/// What a search finds: the texts, newest first.
async fn found(client: &mut Client, q: &str, dest: Option<&str>) -> Vec<String> {
    let mut frame = json!({"type":"search","id":q,"data":{"q":q}});
    if let Some(dest) = dest {
        frame["dest"] = dest.into();
    }
    client.send(frame).await;
    loop {
        let answer = client.next().await;
        if answer["re"] == q {
            let messages = answer["data"]["messages"].as_array().cloned().unwrap_or_default();
            return messages
                .iter()
                .map(|entry| entry["data"]["text"].as_str().unwrap_or("").to_owned())
                .collect();
        }
    }
}

/// The index follows the log: searches until it has.
async fn eventually(client: &mut Client, q: &str, expected: &[&str]) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let texts = found(client, q, None).await;
        if texts == expected {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{q}: {texts:?} is not {expected:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_finds_what_they_may_read() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    ann.reply("room.create", OPS, json!({"title":"Ops","members":["bob"]})).await;
    for (id, dest) in [("m1", "public"), ("m2", "private/bob"), ("m3", OPS), ("m4", "private/ann")] {
        ann.ask_as(id, "msg", dest, json!({"text":format!("needle in {dest}")})).await;
    }
    let all = ["needle in private/ann", "needle in rooms/ops", "needle in private/bob", "needle in public"];
    eventually(&mut ann, "needle", &all).await;
    assert_eq!(found(&mut bob, "NEEDLE from:ann", None).await, all[1..]);
    assert_eq!(found(&mut bob, "\"needle in\" roo*", None).await, all[1..2]);
    assert_eq!(found(&mut bob, "needle", Some(OPS)).await, all[1..2]);
    ann.reply("member.remove", OPS, json!({"user":"bob"})).await;
    assert_eq!(found(&mut bob, "needle", None).await, all[2..]);
    let refused = bob.ask("search", OPS, json!({"q":"needle"})).await;
    assert_eq!(refused["data"]["code"], "not_found");
    for empty in ["", "   ", "\"\""] {
        let refused = bob.ask("search", "public", json!({"q":empty})).await;
        assert_eq!(refused["data"]["code"], "bad_frame", "{empty:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_is_found_as_it_is() {
    let app = App::start().await;
    let mut ann = app.sign_in("Ann").await;
    ann.ask_as("m1", "msg", "public", json!({"text":"the first haystack"})).await;
    ann.ask_as("m2", "msg", "public", json!({"text":"another haystack"})).await;
    eventually(&mut ann, "haystack", &["another haystack", "the first haystack"]).await;
    ann.ask("edit", "public", json!({"target":"m1","text":"the first meadow"})).await;
    eventually(&mut ann, "haystack", &["another haystack"]).await;
    eventually(&mut ann, "meadow", &["the first meadow"]).await;
    ann.ask("delete", "public", json!({"target":"m2"})).await;
    // Deleted is deleted at once: the content is not there any more, whatever the index says.
    let texts = found(&mut ann, "haystack", None).await;
    assert!(texts.iter().all(|text| !text.contains("haystack")), "{texts:?}");
    eventually(&mut ann, "haystack", &[]).await;
    let answer: Value = ann.reply("search", "public", json!({"q":"first","limit":0})).await;
    assert_eq!(answer["messages"], json!([]));
}
