//! People and devices who take part with an ordinary MQTT client (docs/mqtt.md).

use anyhow::{Context, Result};
use mqttchat_e2e::mqtt::{Subscriber, publish, publish_bytes, publish_retained};
use mqttchat_e2e::{App, Mosquitto, User};
use serde_json::{Value, json};

async fn app_on(broker: &Mosquitto) -> Result<(App, User)> {
    let app = App::builder().broker(&broker.url()).start().await?;
    // What was published before the first subscription would be nobody's.
    broker.expect_subscriptions("public/msgs", 1).await?;
    let ann = app.member("Ann").await?;
    Ok((app, ann))
}

/// What the log of a conversation says, in order.
async fn texts(user: &mut User, dest: &str) -> Result<Vec<String>> {
    let log = user.whole_history(dest).await?;
    Ok(log.iter().map(|message| message["data"]["text"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test]
async fn plain_text_shows_up_for_everybody_once() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (_app, mut ann) = app_on(&broker).await?;
    let outsider = Subscriber::start(&broker, "public/msgs").await?;
    publish(&broker, "public/msgs", "hello from the broker – ünïcode").await?;
    let seen = ann.expect_text("hello from the broker – ünïcode").await?;
    assert_eq!((&seen["type"], &seen["dest"], &seen["seq"]), (&json!("msg"), &json!("public"), &json!(1)));
    assert_eq!((&seen["from"], &seen["via"]), (&json!("mqtt:guest"), &json!("mqtt")));
    assert!(seen["time"].is_u64() && seen["id"].is_string() && seen["name"].is_string(), "{seen}");

    // It comes back signed, as everything else; and that is not taken in a second time.
    let published = outsider.expect_text("hello from the broker – ünïcode").await?.json()?;
    assert_eq!((&published["seq"], published["sign"].is_string()), (&json!(1), true));
    publish(&broker, "public/msgs", "next").await?;
    assert_eq!(ann.expect_text("next").await?["seq"], 2);
    assert_eq!(texts(&mut ann, "public").await?, ["hello from the broker – ünïcode", "next"]);
    Ok(())
}

#[tokio::test]
async fn an_object_may_name_its_sender_and_its_id() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (_app, mut ann) = app_on(&broker).await?;
    let reading = json!({"text": "21.5 °C", "from": "thermometer", "id": "reading-1"}).to_string();
    for _ in 0..2 {
        publish(&broker, "public/msgs", &reading).await?;
    }
    publish(&broker, "public/msgs", r#"{"text":"I am Ann","from":"ann"}"#).await?;
    assert_eq!(ann.expect_text("21.5 °C").await?["from"], "mqtt:thermometer");
    assert_eq!(ann.expect_text("I am Ann").await?["from"], "mqtt:ann");
    assert_eq!(texts(&mut ann, "public").await?, ["21.5 °C", "I am Ann"], "the same id is taken in once");
    Ok(())
}

#[tokio::test]
async fn what_is_forged_or_no_message_disturbs_nobody() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (app, mut ann) = app_on(&broker).await?;
    let forged = [
        r#"{"type":"msg","id":"x","dest":"public","from":"ann","name":"Ann","time":1,"seq":1,"data":{"text":"forged"}}"#,
        r#"{"type":"msg","id":"x","dest":"public","from":"ann","name":"Ann","time":1,"seq":1,"data":{"text":"forged"},"sign":"oDkDA38aDJhrqWt4brH3oy9xCgq1yodqwISJYIZBWWk"}"#,
        r#"{"text":"forged","sign":"x"}"#,
        r#"{"text":"forged","type":"msg"}"#,
        r#"{"text":5}"#,
        r#"{"no":"text"}"#,
        "",
    ];
    for payload in forged {
        publish(&broker, "public/msgs", payload).await?;
    }
    let too_long = "x".repeat(100_000);
    publish(&broker, "public/msgs", &too_long).await?;
    for topic in
        ["public/typing", "private/ann/acks", "private/ann/status", "nodes/x/presence", "public/other"]
    {
        publish(&broker, topic, r#"{"type":"typing","from":"bob","data":{"typing":true}}"#).await?;
    }
    publish_bytes(&broker, "public/msgs", &[0xff, 0xfe, 0x00, 0x80, b'{']).await?;

    publish(&broker, "public/msgs", "the only good one").await?;
    ann.expect_text("the only good one").await?;
    assert_eq!(texts(&mut ann, "public").await?, ["the only good one"]);
    assert_eq!(ann.seen_of("typing"), Vec::<Value>::new());
    let metrics = app.get("/metrics").await?.body;
    for (result, least) in [("forged", 4), ("malformed", 2), ("too_long", 1), ("not_text", 1)] {
        let name = format!("mqttchat_ingest_total{{result=\"{result}\"}} ");
        let counted = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok());
        assert!(counted >= Some(least), "{result} is counted {counted:?} times:\n{metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn a_genuine_envelope_that_is_replayed_or_changed_changes_nothing() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (_app, mut ann) = app_on(&broker).await?;
    let outsider = Subscriber::start(&broker, "public/msgs").await?;
    ann.say("public", "the original").await?;
    let genuine = String::from_utf8(outsider.expect_text("the original").await?.payload)?;
    publish(&broker, "public/msgs", &genuine).await?;
    publish(&broker, "public/msgs", &genuine.replace("the original", "a falsification")).await?;
    publish(&broker, "rooms/other/msgs", &genuine).await?;
    publish(&broker, "public/msgs", "after it").await?;
    ann.expect_text("after it").await?;
    let seqs: Vec<_> = ann.seen_of("msg").iter().map(|frame| frame["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2]);
    assert_eq!(texts(&mut ann, "public").await?, ["the original", "after it"]);
    Ok(())
}

#[tokio::test]
async fn a_retained_message_from_before_is_not_news() -> Result<()> {
    let broker = Mosquitto::start().await?;
    publish_retained(&broker, "public/msgs", "stale").await?;
    let (_app, mut ann) = app_on(&broker).await?;
    publish(&broker, "public/msgs", "fresh").await?;
    ann.expect_text("fresh").await?;
    assert_eq!(texts(&mut ann, "public").await?, ["fresh"]);
    Ok(())
}

#[tokio::test]
async fn two_installations_on_one_broker_do_not_feed_each_other() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let ((_one, mut ann), (_other, mut bob)) = (app_on(&broker).await?, app_on(&broker).await?);
    broker.expect_subscriptions("public/msgs", 2).await?;
    ann.say("public", "said in the one").await?;
    bob.say("public", "said in the other").await?;
    publish(&broker, "public/msgs", "said to both").await?;
    for person in [&ann, &bob] {
        person.expect_text("said to both").await?;
    }
    assert_eq!(texts(&mut ann, "public").await?, ["said in the one", "said to both"]);
    assert_eq!(texts(&mut bob, "public").await?, ["said in the other", "said to both"]);
    Ok(())
}

#[tokio::test]
async fn what_was_published_while_the_server_was_away_is_taken_in_afterwards() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (mut app, ann) = app_on(&broker).await?;
    publish(&broker, "public/msgs", "before").await?;
    ann.expect_text("before").await?;
    app.stop().await?;
    publish(&broker, "public/msgs", "meanwhile").await?;
    app.start_again().await?;
    let back = ann.resume(app.address(), &[("public", 1)]).await?;
    assert_eq!(back.expect_text("meanwhile").await?["seq"], 2);
    Ok(())
}

#[tokio::test]
async fn a_foreign_private_message_is_one_way() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (app, mut ann) = app_on(&broker).await?;
    let mut bob = app.user("Bob").await?;
    publish(&broker, "private/ann/msgs", r#"{"text":"your parcel is here","from":"doorbell"}"#).await?;
    let seen = ann.expect_text("your parcel is here").await?;
    assert_eq!((&seen["from"], &seen["dest"]), (&json!("mqtt:doorbell"), &json!("private/ann")));
    assert_eq!(texts(&mut ann, "private/mqtt:doorbell").await?, ["your parcel is here"]);
    bob.send(&json!({"type": "history", "id": "q1", "dest": "private/mqtt:doorbell", "data": {}})).await?;
    bob.expect_error("q1", "not_found").await?;
    ann.send(
        &json!({"type": "msg", "id": "a1", "dest": "private/mqtt:doorbell", "data": {"text": "thanks"}}),
    )
    .await?;
    let refused = ann.expect_where("a refusal", |frame| frame["re"] == "a1").await?;
    assert_eq!(refused["type"], "error", "{refused}");
    publish(&broker, "private/nobody/msgs", "to nobody").await?;
    publish(&broker, "public/msgs", "the server lives").await?;
    ann.join("public").await?;
    ann.expect_text("the server lives").await.context("after a message to nobody")?;
    Ok(())
}
