//! The database can be read, and not written.

use anyhow::Result;
use mqttchat_e2e::chaos::read_only::ReadOnly;
use mqttchat_e2e::chaos::say::skipped;
use mqttchat_e2e::chaos::stage::Database;
use mqttchat_e2e::{App, Mosquitto, User, eventually};
use serde_json::json;

use crate::database::postgres;

/// What somebody says is refused for now, with a reason to be read, and nothing else is lost.
async fn is_refused(app: &App, ann: &mut User, bob: &mut User, ids: &[&str]) -> Result<()> {
    for id in ids {
        let message = json!({"type": "msg", "id": id, "dest": "public", "data": {"text": id}});
        // Where a write was going on, the first may be answered late; it is refused all the same.
        ann.send(&message).await?;
        let refusal = ann.expect_error(*id, "unavailable").await?;
        assert_eq!(refusal["data"]["retry"], true, "{refusal}");
    }
    eventually("/readyz to name the store", async || {
        let answer = app.get("/readyz").await?;
        Ok((answer.status == 503 && answer.body.contains("store")).then_some(()))
    })
    .await?;
    eventually("/readyz to say why", async || {
        Ok(app.get("/readyz").await?.body.contains("read-only").then_some(()))
    })
    .await?;
    assert_eq!(app.get("/healthz").await?.status, 200, "it lives");
    assert_eq!(bob.whole_history("public").await?.len(), 1, "reading goes on");
    ann.ping().await
}

/// It is written again, without anybody doing anything.
async fn is_over(app: &App, ann: &mut User, bob: &mut User, ids: &[&str]) -> Result<()> {
    eventually("/readyz to be content again", async || {
        Ok((app.get("/readyz").await?.status == 200).then_some(()))
    })
    .await?;
    for id in ids {
        ann.send_message(id, "public", &json!({"text": id})).await?;
        bob.expect_text(id).await?;
    }
    let log = bob.whole_history("public").await?;
    let stored: Vec<_> = log.iter().filter_map(|entry| entry["id"].as_str()).skip(1).collect();
    assert_eq!(stored, ids, "each once, in order");
    Ok(())
}

async fn members(app: &App) -> Result<(User, User)> {
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.say("public", "it can be written").await?;
    bob.expect_text("it can be written").await?;
    Ok((ann, bob))
}

#[tokio::test]
async fn on_sqlite_it_is_said_and_got_over() -> Result<()> {
    if !ReadOnly::is_possible(tempfile::tempdir()?.path())? {
        skipped("a read-only SQLite database", "files cannot be made immutable here (chattr +i)");
        return Ok(());
    }
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, mut bob) = members(&app).await?;
    let read_only = ReadOnly::begin(&app.data())?;
    is_refused(&app, &mut ann, &mut bob, &["one", "two", "three"]).await?;
    drop(read_only);
    is_over(&app, &mut ann, &mut bob, &["one", "two", "three"]).await
}

#[tokio::test]
async fn on_postgresql_it_is_said_and_got_over() -> Result<()> {
    let (database, broker) = (postgres(), Mosquitto::start().await?);
    let options = App::builder().no_rate_limit().args(["--database", &database.url()]);
    let app = options.broker(&broker.url()).start().await?;
    let (mut ann, mut bob) = members(&app).await?;
    database.set_read_only(true);
    is_refused(&app, &mut ann, &mut bob, &["one", "two", "three"]).await?;
    database.set_read_only(false);
    is_over(&app, &mut ann, &mut bob, &["one", "two", "three"]).await
}
