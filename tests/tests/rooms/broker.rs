//! What of rooms goes over the broker, and what comes in from there.

use anyhow::Result;
use mqttchat_e2e::mqtt::{Subscriber, publish};
use mqttchat_e2e::{App, Mosquitto, eventually};
use serde_json::json;

use crate::steps::{OPS, change, create, log_of};

#[tokio::test]
async fn where_strangers_read_along_a_closed_room_only_rings() -> Result<()> {
    let broker = Mosquitto::start_anonymous().await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    eventually("the broker to be probed", async || {
        Ok(app.output().iter().any(|line| line.contains("lets anybody in")).then_some(()))
    })
    .await?;
    let outsider = Subscriber::start(&broker, "rooms/+/+").await?;
    let mut ann = app.user("Ann").await?;
    create(&mut ann, true, &[]).await?;
    ann.say(OPS, "for everybody").await?;
    outsider.expect_text("for everybody").await?;
    change(&mut ann, "room.update", json!({"open": false, "title": "Closed now"})).await?;
    let secret = ann.say(OPS, "among ourselves").await?;
    let rung = outsider
        .expect("the bell", |delivery| delivery.json().is_ok_and(|json| json["seq"] == secret.seq))
        .await?
        .json()?;
    assert_eq!((&rung["type"], &rung["dest"], &rung["data"]), (&json!("bell"), &json!(OPS), &json!(null)));
    change(&mut ann, "room.update", json!({"open": true})).await?;
    ann.say(OPS, "open again").await?;
    outsider.expect_text("open again").await?;
    let told = outsider.deliveries();
    let said = told.iter().map(|one| String::from_utf8_lossy(&one.payload).into_owned());
    assert!(!said.into_iter().any(|text| text.contains("among ourselves")));
    let closing = told.iter().find_map(|one| one.json().ok().filter(|json| json["seq"] == secret.seq - 1));
    assert_eq!(closing.map(|json| json["type"].clone()), Some(json!("bell")), "nor what it is called now");
    Ok(())
}

#[tokio::test]
async fn strangers_write_into_open_rooms_only() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    broker.expect_subscriptions("rooms/+/msgs", 1).await?;
    let mut ann = app.user("Ann").await?;
    create(&mut ann, true, &[]).await?;
    ann.join(OPS).await?;
    publish(&broker, "rooms/ops/msgs", "the door is open").await?;
    let seen = ann.expect_text("the door is open").await?;
    assert_eq!(
        (&seen["from"], &seen["dest"], &seen["via"]),
        (&json!("mqtt:guest"), &json!(OPS), &json!("mqtt"))
    );
    change(&mut ann, "room.update", json!({"open": false})).await?;
    for topic in ["rooms/ops/msgs", "rooms/nowhere/msgs"] {
        publish(&broker, topic, "let me in").await?;
    }
    change(&mut ann, "room.update", json!({"open": true})).await?;
    eventually("both to be refused", async || {
        let metrics = app.get("/metrics").await?.body;
        let line = r#"mqttchat_ingest_total{result="no_such_place"} 2"#;
        Ok(metrics.lines().any(|found| found == line).then_some(()))
    })
    .await?;
    publish(&broker, "rooms/ops/msgs", "and open again").await?;
    ann.expect_text("and open again").await?;
    assert!(!log_of(&ann, OPS).iter().any(|(_, entry)| entry["data"]["text"] == "let me in"));
    Ok(())
}
