//! Somebody who was away while they were removed from a room and taken in again.

use anyhow::Result;
use mqttchat_e2e::App;
use serde_json::json;

use crate::steps::{OPS, change, create, expect_change, numbers, refused};

#[tokio::test]
async fn who_belongs_to_it_again_goes_on_where_they_were() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    create(&mut ann, false, &["bob"]).await?;
    bob.join(OPS).await?;
    let before = ann.say(OPS, "before").await?.seq;
    bob.expect_text("before").await?;
    bob.close().await?;
    change(&mut ann, "member.remove", json!({"user": "bob"})).await?;
    ann.say(OPS, "without him").await?;
    change(&mut ann, "room.update", json!({"title": "Among ourselves"})).await?;
    change(&mut ann, "member.add", json!({"user": "bob"})).await?;
    let mut last = ann.say(OPS, "with him again").await?.seq;
    // From before the removal, from the removal itself, and from within what he was no part of.
    for after in before..before + 3 {
        let mut back = bob.resume(app.address(), &[(OPS, after)]).await?;
        let text = format!("behind {after}");
        last = ann.say(OPS, &text).await?.seq;
        back.expect_text(&text).await?;
        assert_eq!(numbers(&back, OPS), (after + 1..=last).collect::<Vec<_>>());
        back.say(OPS, "I am here").await?;
        last += 1;
        back.close().await?;
    }
    // The next removal is the end, as ever.
    let mut back = bob.resume(app.address(), &[(OPS, before)]).await?;
    back.expect_where("the last message", |frame| frame["dest"] == OPS && frame["seq"] == last).await?;
    change(&mut ann, "member.remove", json!({"user": "bob"})).await?;
    ann.say(OPS, "without him again").await?;
    for _ in 0..2 {
        expect_change(&back, "remove").await?;
    }
    assert_eq!(refused(&mut back, "history", json!({})).await?, "not_found");
    assert_eq!(numbers(&back, OPS).last(), Some(&(last + 1)));
    Ok(())
}
