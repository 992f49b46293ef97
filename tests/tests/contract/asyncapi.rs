//! What the server says is what docs/asyncapi.yaml describes: frames of sessions, and payloads on the broker.

#[path = "../../../crates/protocol/tests/schema/mod.rs"]
pub(crate) mod schema;

use std::collections::BTreeSet;

use anyhow::Result;
use mqttchat_e2e::mqtt::{Delivery, Subscriber, publish};
use mqttchat_e2e::{App, Mosquitto, User};
use schema::{document, messages, misfit};
use serde_json::{Value, json};

const OPS: &str = "rooms/ops";

/// Does what there is to do, with three people; returns all their sessions.
async fn a_lively_day(app: &App) -> Result<Vec<User>> {
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let eve = app.user("Eve").await?;
    let asked = std::cell::Cell::new(0);
    let mut ask = async |mut frame: Value| {
        asked.set(asked.get() + 1);
        if frame["id"].is_null() {
            frame["id"] = json!(format!("asked {}", asked.get()));
        }
        ann.send(&frame).await?;
        let answer = ann.expect_where("an answer", |answer| answer["re"] == frame["id"]).await?;
        anyhow::ensure!(answer["type"] != "error", "{frame} is answered with {answer}");
        anyhow::Ok(())
    };
    let text = |id: &str, dest: &str, text: &str| json!({"type": "msg", "id": id, "dest": dest, "data": {"text": text}});
    ask(json!({"type": "room.create", "id": "r1", "dest": OPS, "data": {"title": "Ops", "open": false, "members": ["bob"]}})).await?;
    ask(json!({"type": "join", "dest": OPS, "data": {"history": 10}})).await?;
    ask(json!({"type": "join", "dest": "private/bob", "data": {"history": 10}})).await?;
    for (id, dest) in [("m1", "public"), ("m2", OPS), ("m3", "private/bob")] {
        ask(text(id, dest, "good morning")).await?;
        ask(json!({"type": "edit", "id": format!("{id}e"), "dest": dest, "data": {"target": id, "text": "good evening"}})).await?;
        ask(json!({"type": "react", "id": format!("{id}r"), "dest": dest, "data": {"target": id, "emoji": "👍"}})).await?;
    }
    ask(json!({"type": "delete", "id": "d", "dest": "public", "data": {"target": "m1"}})).await?;
    ask(json!({"type": "history", "dest": OPS, "data": {}})).await?;
    ask(json!({"type": "conversations", "data": {}})).await?;
    ask(json!({"type": "rooms", "data": {}})).await?;
    ask(json!({"type": "roster", "dest": "public", "data": {}})).await?;
    ask(json!({"type": "search", "data": {"q": "evening"}})).await?;
    ask(json!({"type": "room.update", "id": "u", "dest": OPS, "data": {"title": "Operations"}})).await?;
    ask(json!({"type": "member.add", "id": "a", "dest": OPS, "data": {"user": "eve"}})).await?;
    ask(json!({"type": "member.remove", "id": "x", "dest": OPS, "data": {"user": "eve"}})).await?;

    bob.join(OPS).await?;
    bob.expect_where("a private message", |frame| frame["id"] == "m3").await?;
    for frame in [
        json!({"type": "typing", "dest": OPS, "data": {"typing": true}}),
        json!({"type": "typing", "dest": "public", "data": {"typing": true}}),
        json!({"type": 200, "data": "m3"}),
        json!({"type": "read", "dest": "private/ann", "data": {"seq": 1}}),
        json!({"type": "read", "dest": OPS, "data": {"seq": 2}}),
        json!({"type": "edit", "id": "no", "dest": "public", "data": {"target": "none", "text": "x"}}),
    ] {
        bob.send(&frame).await?;
    }
    bob.ping().await?;
    bob.leave("public").await?;
    for kind in [json!(300), json!("receipt"), json!("typing"), json!("status"), json!("presence")] {
        ann.expect(kind).await?;
    }
    // Eve was told by herself that she was taken in and removed.
    eve.expect_where("her removal", |frame| frame["type"] == "room" && frame["data"]["change"] == "remove")
        .await?;
    let late = bob.resume(app.address(), &[("public", 99)]).await?;
    late.expect("gap").await?;
    bob.expect("error").await?;
    Ok(vec![ann, bob, eve, late])
}

/// The messages among these that a payload fits.
fn fitting<'m>(document: &Value, messages: &'m [(String, &Value)], payload: &Value) -> Vec<&'m str> {
    let fits = |message: &&'m (String, &Value)| misfit(document, &message.1["payload"], payload).is_none();
    messages.iter().filter(fits).map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn frames_and_payloads_are_as_described() -> Result<()> {
    let document = document();
    let broker = Mosquitto::start().await?;
    let outsider = Subscriber::start(&broker, "#").await?;
    let mut app =
        App::builder().broker(&broker.url()).variable("MQTTCHAT_MQTT__HISTORY", "true").start().await?;
    let sessions = a_lively_day(&app).await?;
    publish(&broker, "public/msgs", r#"{"text":"21.5 °C","from":"thermometer"}"#).await?;
    sessions[3].expect_text("21.5 °C").await?;
    publish(&broker, "history/lamp/get", r#"{"dest":"public","limit":2,"id":"q1"}"#).await?;
    publish(&broker, "history/lamp/get", r#"{"dest":"rooms/none"}"#).await?;
    for refused in [false, true] {
        let is_it = |delivery: &Delivery| {
            delivery.topic == "history/lamp/got"
                && delivery.json().is_ok_and(|json| json["error"].is_object() == refused)
        };
        outsider.expect("an answer", is_it).await?;
    }
    app.stop().await?;
    sessions[0].expect("bye").await?;

    let told = messages(&document, "tell");
    let mut seen = BTreeSet::new();
    for frame in sessions.iter().flat_map(|user| user.seen()) {
        let fitting = fitting(&document, &told, &frame);
        assert_eq!(fitting.len(), 1, "{frame} is {fitting:?}");
        seen.extend(fitting.into_iter().map(str::to_owned));
    }
    let all: BTreeSet<String> = told.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(seen, all, "every frame of the server was among them");

    let operations = document["operations"].as_object().into_iter().flatten();
    let published = operations.filter(|(_, operation)| operation["bindings"]["mqtt"].is_object());
    let published: Vec<_> = published.collect();
    let mut used = BTreeSet::new();
    for delivery in outsider.deliveries() {
        let text = String::from_utf8(delivery.payload.clone())?;
        let payload: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let here = published.iter().filter(|(_, operation)| {
            let channel = schema::referred(&document, &operation["channel"]["$ref"]).0;
            is_at(channel["address"].as_str().unwrap_or_default(), &delivery.topic)
        });
        let fits = here
            .clone()
            .find(|(name, _)| !fitting(&document, &messages(&document, name), &payload).is_empty());
        let Some((name, operation)) = fits else { panic!("{} is not described: {payload}", delivery.topic) };
        let bindings = &operation["bindings"]["mqtt"];
        assert_eq!(bindings["qos"], delivery.qos, "{name}: {payload}");
        used.insert(name.as_str());
    }
    for name in [
        "publishPublic",
        "publishRoom",
        "publishPrivate",
        "tellPublicTyping",
        "tellRoomTyping",
        "tellPrivateAcks",
        "tellStatus",
        "askHistory",
        "answerHistory",
        "ingestPublic",
    ] {
        assert!(used.contains(name), "{name} is not among {used:?}");
    }
    Ok(())
}

/// Whether a topic is one of a channel's address.
fn is_at(address: &str, topic: &str) -> bool {
    let (address, topic): (Vec<_>, Vec<_>) = (address.split('/').collect(), topic.split('/').collect());
    let same = |(named, level): (&&str, &&str)| named.starts_with('{') || named == level;
    address.len() == topic.len() && address.iter().zip(&topic).all(same)
}
