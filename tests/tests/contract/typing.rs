//! Somebody is typing.

use std::time::Instant;

use anyhow::Result;
use mqttchat_e2e::App;
use serde_json::{Value, json};

fn typing(on: bool) -> Value {
    json!({"type": "typing", "dest": "public", "data": {"typing": on}})
}

#[tokio::test]
async fn others_see_it_and_the_writer_does_not() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let mut tab = ann.another_session().await?;
    tab.join("public").await?;

    ann.send(&typing(true)).await?;
    let seen = bob.expect("typing").await?;
    assert_eq!((&seen["from"], &seen["dest"]), (&json!("ann"), &json!("public")));
    assert_eq!(seen["data"]["typing"], true);
    ann.send(&typing(false)).await?;
    assert_eq!(bob.expect("typing").await?["data"]["typing"], false);

    // What Bob types goes the same way, so Ann's own would have come before it.
    bob.send(&typing(true)).await?;
    for session in [&ann, &tab] {
        session.expect("typing").await?;
        let writers: Vec<_> = session.seen_of("typing").iter().map(|frame| frame["from"].clone()).collect();
        assert_eq!(writers, ["bob"]);
    }
    assert_eq!(ann.history("public", json!({})).await?["messages"], json!([]), "it is not stored");
    Ok(())
}

#[tokio::test]
async fn it_ends_by_itself_after_six_seconds() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.send(&typing(true)).await?;
    assert_eq!(bob.expect("typing").await?["data"]["typing"], true);
    let begun = Instant::now();
    let ended = bob.expect("typing").await?;
    assert_eq!((&ended["from"], &ended["data"]["typing"]), (&json!("ann"), &json!(false)));
    let lasted = begun.elapsed().as_secs_f32();
    assert!((5.0..10.0).contains(&lasted), "typing ended after {lasted} s");
    Ok(())
}

#[tokio::test]
async fn its_end_is_told_however_often_it_began() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    for _ in 0..30 {
        ann.send(&typing(true)).await?;
    }
    assert_eq!(bob.expect("typing").await?["data"]["typing"], true);
    let begun = Instant::now();
    ann.send(&typing(false)).await?;
    assert_eq!(bob.expect("typing").await?["data"]["typing"], false);
    // Where that was dropped, it ends by itself after six seconds.
    let lasted = begun.elapsed().as_secs_f32();
    assert!(lasted < 5.0, "typing ended after {lasted} s");
    Ok(())
}

#[tokio::test]
async fn it_ends_when_the_writer_goes() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.send(&typing(true)).await?;
    bob.expect("typing").await?;
    ann.close().await?;
    let ended = bob.expect("typing").await?;
    assert_eq!((&ended["from"], &ended["data"]["typing"]), (&json!("ann"), &json!(false)));
    Ok(())
}

#[tokio::test]
async fn it_needs_a_yes_or_no() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    for (id, data) in [("t1", json!({})), ("t2", json!({"typing": "yes"})), ("t3", json!(null))] {
        ann.send(&json!({"type": "typing", "id": id, "dest": "public", "data": data})).await?;
        ann.expect_error(id, "bad_frame").await?;
    }
    Ok(())
}
