//! The access control files of docs/acl, on the brokers that they are for (docs/mqtt.md "Who may read and write").

use std::path::Path;

use anyhow::{Result, bail};
use mqttchat_e2e::mqtt::{Access, Subscriber, publish};
use mqttchat_e2e::rabbitmq::RabbitMq;
use mqttchat_e2e::{App, Mosquitto, eventually};
use serde_json::json;

const MOSQUITTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/acl/mosquitto.acl");
const RABBITMQ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/acl/rabbitmq.json");

#[tokio::test]
async fn on_mosquitto_devices_take_part_in_public_and_nowhere_else() -> Result<()> {
    let home = tempfile::tempdir()?;
    // With the example of an open room as it stands there.
    let acl = home.path().join("acl");
    std::fs::write(
        &acl,
        std::fs::read_to_string(MOSQUITTO)?.replace("#pattern read rooms/", "pattern read rooms/"),
    )?;
    let broker = Mosquitto::builder().login("mqttchat", "of-the-server").user("device", "of-devices");
    let broker = broker.acl(acl).start().await?;
    let app = App::builder().broker(&broker.url()).config("[mqtt]\nhistory = true\n").start().await?;
    expect_closed(&app).await?;
    broker.expect_subscriptions("history/+/get", 1).await?;
    let server = Access::from(&broker);
    let login = Some(("device".to_owned(), "of-devices".to_owned()));
    take_part(&app, &server, &Access { login, ..server.clone() }, Some("lobby")).await
}

#[tokio::test]
async fn on_rabbitmq_devices_take_part_in_public_and_nowhere_else() -> Result<()> {
    let broker = RabbitMq::start(Path::new(RABBITMQ)).await?;
    let (server, device) = (broker.access("mqttchat"), broker.access("device"));
    let mut app =
        App::builder().broker(&broker.url("mqttchat")).config("[mqtt]\nhistory = true\n").start().await?;
    expect_closed(&app).await?;
    // What is published at QoS 1 waits for the server, once it has been there.
    let mut eve = app.user("Eve").await?;
    eventually("what a device says", async || {
        publish(device.clone(), "public/msgs", "is anybody there?").await?;
        Ok((!eve.whole_history("public").await?.is_empty()).then_some(()))
    })
    .await?;
    app.stop().await?;
    publish(device.clone(), "public/msgs", "while it was away").await?;
    app.start_again().await?;
    let mut eve = app.user("Eva").await?;
    eventually("what was said meanwhile", async || {
        let log = eve.whole_history("public").await?;
        Ok(log.iter().any(|entry| entry["data"]["text"] == "while it was away").then_some(()))
    })
    .await?;
    take_part(&app, &server, &device, None).await?;
    // It cuts off who asks for more than it may read.
    tokio::select! {
        // Cut off, mosquitto_sub tries again and again.
        subscribed = Subscriber::start(device, "private/bob/msgs") => bail!("subscribed: {subscribed:?}"),
        refused = broker.expect_refusal("access to topic 'private.bob.msgs'", "device") => refused,
    }
}

/// Waits until the server knows that strangers can't read the broker.
async fn expect_closed(app: &App) -> Result<()> {
    eventually("the server to know that strangers stay out", async || {
        Ok(app.output().iter().any(|line| line.contains("the broker asks for a login")).then_some(()))
    })
    .await
}

/// What a device sees and does with these files, and what it doesn't.
async fn take_part(app: &App, server: &Access, device: &Access, open: Option<&str>) -> Result<()> {
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    for (room, is_open) in [("lobby", true), ("board", false)] {
        let data = json!({"title": room, "open": is_open});
        ann.request(json!({"type": "room.create", "dest": format!("rooms/{room}"), "data": data})).await?;
    }
    let all = Subscriber::start(server.clone(), "#").await?;
    let seen = Subscriber::start(device.clone(), "public/+").await?;
    let seen_open = match open {
        Some(room) => Some(Subscriber::start(device.clone(), &format!("rooms/{room}/msgs")).await?),
        None => None,
    };

    // What people say goes over the broker, private conversations too, and gets no further than to the server.
    ann.say("private/bob", "for Bob").await?;
    ann.say("rooms/board", "for the board").await?;
    ann.say("rooms/lobby", "for the lobby").await?;
    bob.say("public", "for everybody").await?;
    for text in ["for Bob", "for the board", "for the lobby", "for everybody"] {
        all.expect_text(text).await?;
    }
    seen.expect_text("for everybody").await?;
    if let Some(seen) = &seen_open {
        seen.expect_text("for the lobby").await?;
    }

    // What a device says in public is taken in, and what it says elsewhere reaches nobody; a broker may cut it off.
    for topic in
        ["private/bob/msgs", "rooms/board/msgs", "rooms/lobby/msgs", "nodes/n1/presence", "private/ann/acks"]
    {
        let _ = publish(device.clone(), topic, "where it may not").await;
    }
    let _ = publish(device.clone(), "history/somebody/get", r#"{"dest":"public"}"#).await;
    publish(device.clone(), "public/msgs", "where it may").await?;
    ann.expect_text("where it may").await?;
    all.expect_text("where it may").await?;
    for delivery in all.deliveries() {
        let payload = String::from_utf8_lossy(&delivery.payload).into_owned();
        assert!(!payload.contains("where it may not"), "{}", delivery.topic);
        assert!(delivery.topic != "history/somebody/got", "{payload}");
    }

    // History comes under the name of its own login.
    let answers = Subscriber::start(device.clone(), "history/device/got").await?;
    publish(device.clone(), "history/device/get", r#"{"dest":"public"}"#).await?;
    let answer =
        answers.expect("history", |delivery| delivery.topic == "history/device/got").await?.json()?;
    assert!(answer["messages"].to_string().contains("for everybody"), "{answer}");
    for delivery in seen.deliveries() {
        assert!(delivery.topic.starts_with("public/"), "{}", delivery.topic);
    }
    Ok(())
}
