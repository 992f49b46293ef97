//! What somebody with an ordinary MQTT client sees on the broker (docs/mqtt.md).

use anyhow::{Context, Result};
use mqttchat_e2e::mqtt::Subscriber;
use mqttchat_e2e::{App, Mosquitto, signature};

#[tokio::test]
async fn mosquitto_sub_sees_the_signed_envelopes() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let outsider = Subscriber::start(&broker, "public/#").await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    let mut ann = app.member("Ann").await?;
    let accepted = ann.say("public", "hello, broker – ünïcode").await?;

    let seen = outsider.expect_text("hello, broker – ünïcode").await?;
    assert_eq!((seen.topic.as_str(), seen.qos, seen.retain), ("public/msgs", 1, false));
    let envelope = seen.json()?;
    assert_eq!(envelope["type"], "msg");
    assert_eq!(envelope["id"], accepted.id.as_str());
    assert_eq!(envelope["from"], "ann");
    assert_eq!(envelope["name"], "Ann");
    assert_eq!(envelope["dest"], "public");
    assert_eq!(envelope["seq"], accepted.seq);
    assert_eq!(envelope["time"], accepted.time);
    let last = envelope.as_object().and_then(|members| members.keys().next_back());
    assert_eq!(last.map(String::as_str), Some("sign"));

    let key = signature::envelope_key(&signature::master_secret(&app.data())?)?;
    signature::verify(&seen.payload, &key).context("signature of the envelope")?;
    let mut changed = seen.payload.clone();
    let place = changed.windows(5).position(|window| window == b"hello").context("no text")?;
    changed[place] = b'H';
    assert!(signature::verify(&changed, &key).is_err());
    Ok(())
}

#[tokio::test]
async fn the_payload_is_the_frame_that_clients_get() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let outsider = Subscriber::start(&broker, "public/msgs").await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    let mut ann = app.member("Ann").await?;
    ann.say("public", "one and the same").await?;
    let frame = ann.expect_text("one and the same").await?;
    let mut envelope = outsider.expect_text("one and the same").await?.json()?;
    envelope.as_object_mut().context("no object")?.shift_remove("sign");
    assert_eq!(envelope, frame);
    Ok(())
}

#[tokio::test]
async fn topics_have_the_configured_prefix() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let outsider = Subscriber::start(&broker, "#").await?;
    let app =
        App::builder().broker(&broker.url()).variable("MQTTCHAT_MQTT__PREFIX", "site/one").start().await?;
    app.member("Ann").await?.say("public", "prefixed").await?;
    assert_eq!(outsider.expect_text("prefixed").await?.topic, "site/one/public/msgs");
    for delivery in outsider.deliveries() {
        assert!(delivery.topic.starts_with("site/one/"), "{}", delivery.topic);
    }
    Ok(())
}

#[tokio::test]
async fn somebodys_state_is_retained_and_ends_with_the_session() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    let outsider = Subscriber::start(&broker, "private/ann/status").await?;
    let mut ann = app.member("Ann").await?;
    let is_state = |state: &'static str| {
        move |delivery: &mqttchat_e2e::mqtt::Delivery| {
            delivery.json().is_ok_and(|json| json["state"] == state)
        }
    };
    let online = outsider.expect("Ann online", is_state("online")).await?.json()?;
    assert_eq!(online["user"], "ann");
    assert!(online["session"].is_string() && online["last_seen"].is_u64(), "{online}");
    // Somebody who subscribes later is told by the retained message.
    let later = Subscriber::start(&broker, "private/+/status").await?;
    assert!(later.expect("Ann online, retained", is_state("online")).await?.retain);
    ann.close().await?;
    outsider.expect("Ann offline", is_state("offline")).await?;
    Ok(())
}
