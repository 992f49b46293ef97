//! The disk is full.

use anyhow::{Context, Result};
use mqttchat_e2e::chaos::disk::Disk;
use mqttchat_e2e::chaos::say::skipped;
use mqttchat_e2e::{App, eventually};
use serde_json::json;

#[tokio::test]
async fn a_full_disk_is_said_and_got_over() -> Result<()> {
    let mut app = App::builder().no_rate_limit().keeps_port()?.start().await?;
    app.stop().await?;
    let Some(disk) = Disk::mount(&app.data())? else {
        skipped("a full disk", "mounting is not allowed here");
        return Ok(());
    };
    app.start_again().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.say("public", "there is room").await?;

    disk.fill()?;
    let mut refused = Vec::new();
    let text = "x".repeat(4000);
    let mut accepted = 1;
    // What room the database still has in its own files is used first.
    for number in 0.. {
        let id = format!("full-{number}");
        ann.send(&json!({"type": "msg", "id": id, "dest": "public", "data": {"text": text}})).await?;
        let about = |f: &serde_json::Value| f["data"] == id.as_str() || f["re"] == id.as_str();
        let answer =
            ann.expect_where(&format!("an answer to {id}"), |f| f["type"] != "msg" && about(f)).await?;
        if answer["type"] == 100 {
            accepted += 1;
            continue;
        }
        assert_eq!(
            (&answer["data"]["code"], &answer["data"]["retry"]),
            (&json!("unavailable"), &json!(true))
        );
        refused.push(id);
        if refused.len() == 3 {
            break;
        }
    }
    eventually("/readyz to name the store", async || {
        let answer = app.get("/readyz").await?;
        Ok((answer.status == 503 && answer.body.contains("store")).then_some(()))
    })
    .await?;
    // Reading goes on.
    assert_eq!(bob.whole_history("public").await?.len(), accepted);

    disk.make_room()?;
    eventually("/readyz to be content again", async || {
        Ok((app.get("/readyz").await?.status == 200).then_some(()))
    })
    .await?;
    for id in &refused {
        ann.send_message(id, "public", &json!({"text": text})).await?;
    }
    let log = bob.whole_history("public").await?;
    for id in &refused {
        assert_eq!(log.iter().filter(|entry| entry["id"] == id.as_str()).count(), 1, "{id}");
    }
    let last = log.last().context("an empty log")?["seq"].as_u64();
    bob.expect_where("the last message live", |f| f["type"] == "msg" && f["seq"].as_u64() == last).await?;

    app.kill().await?;
    app.start_again().await?;
    let mut back = ann.resume(app.address(), &[]).await?;
    assert_eq!(back.whole_history("public").await?, log);
    drop(disk);
    Ok(())
}
