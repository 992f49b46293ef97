//! A message id is spent once: retries are harmless, other content under it is refused.

use anyhow::Result;
use mqttchat_e2e::App;
use serde_json::{Value, json};

#[tokio::test]
async fn a_retry_is_answered_alike_and_stored_once() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let data = json!({"text": "only once", "extra": [1, 2]});
    let first = ann.send_message("m1", "public", &data).await?;
    assert_eq!(ann.send_message("m1", "public", &data).await?, first);

    // Over a new connection, after the first was lost; members in another order are the same data.
    ann.close().await?;
    let mut back = ann.another_session().await?;
    assert_eq!(
        back.send_message("m1", "public", &json!({"extra": [1, 2], "text": "only once"})).await?,
        first
    );

    bob.say("public", "next").await?;
    bob.expect_text("next").await?;
    let seqs: Vec<_> = bob.seen_of("msg").iter().map(|frame| frame["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2]);
    assert_eq!(bob.whole_history("public").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_retry_after_a_restart_is_answered_alike() -> Result<()> {
    let mut app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    let data = json!({"text": "before the crash"});
    let first = ann.send_message("m1", "public", &data).await?;
    app.kill().await?;
    app.start_again().await?;
    let mut back = ann.resume(app.address(), &[]).await?;
    assert_eq!(back.send_message("m1", "public", &data).await?, first);
    assert_eq!(back.whole_history("public").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_same_id_twice_at_the_same_moment_is_stored_once() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    let mut tab = ann.another_session().await?;
    for round in 0..20 {
        let id = format!("race-{round}");
        let frame = json!({"type": "msg", "id": id, "dest": "public", "data": {"text": id}});
        let (one, two) = tokio::join!(ann.send(&frame), tab.send(&frame));
        one.and(two)?;
        assert_eq!(ann.expect_accepted(&id).await?, tab.expect_accepted(&id).await?);
    }
    assert_eq!(ann.whole_history("public").await?.len(), 20);
    Ok(())
}

#[tokio::test]
async fn other_content_under_a_spent_id_is_a_conflict() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    ann.send_message("m1", "public", &json!({"text": "first"})).await?;
    for data in [json!({"text": "second"}), json!({"text": "first", "more": 1}), json!({})] {
        ann.send(&json!({"type": "msg", "id": "m1", "dest": "public", "data": data})).await?;
        let refused = ann.expect_error("m1", "id_conflict").await?;
        assert_eq!(refused["data"]["retry"], false);
    }
    let history: Vec<Value> = ann.whole_history("public").await?;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["data"]["text"], "first");
    Ok(())
}

#[tokio::test]
async fn ids_belong_to_their_senders() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    assert_eq!(ann.send_message("m1", "public", &json!({"text": "Ann's"})).await?.seq, 1);
    assert_eq!(bob.send_message("m1", "public", &json!({"text": "Bob's"})).await?.seq, 2);
    Ok(())
}
