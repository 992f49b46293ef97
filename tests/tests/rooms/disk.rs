//! What a room is after the server was killed, and what is left of a deleted text.

use std::path::Path;

use anyhow::Result;
use mqttchat_e2e::App;
use serde_json::json;

use crate::steps::{OPS, amend, change, create, expect_change, numbers, refused};

#[tokio::test]
async fn a_killed_server_knows_who_was_removed() -> Result<()> {
    let mut app = App::builder().keeps_port()?.start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    create(&mut ann, false, &["bob"]).await?;
    bob.join(OPS).await?;
    ann.say(OPS, "before").await?;
    change(&mut ann, "member.remove", json!({"user": "bob"})).await?;
    ann.say(OPS, "after").await?;
    app.kill().await?;
    app.start_again().await?;
    let mut bob = bob.resume(app.address(), &[(OPS, 1)]).await?;
    let refusal = bob.expect("error").await?;
    assert_eq!((&refusal["dest"], &refusal["data"]["code"]), (&json!(OPS), &json!("not_found")));
    assert_eq!(refused(&mut bob, "join", json!({})).await?, "not_found");
    let mut ann = ann.resume(app.address(), &[(OPS, 2)]).await?;
    ann.expect_text("after").await?;
    let rooms = ann.request(json!({"type": "rooms"})).await?;
    assert_eq!((&rooms["rooms"][0]["members"], &rooms["rooms"][0]["head"]), (&json!(["ann"]), &json!(4)));
    change(&mut ann, "member.add", json!({"user": "bob"})).await?;
    expect_change(&bob, "add").await?;
    bob.join(OPS).await?;
    ann.say(OPS, "together").await?;
    bob.expect_text("together").await?;
    assert_eq!(numbers(&bob, OPS), [5, 6]);
    Ok(())
}

#[tokio::test]
async fn a_deleted_text_is_nowhere_in_the_data_directory() -> Result<()> {
    let mut app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    create(&mut ann, true, &[]).await?;
    for dest in ["public", OPS] {
        ann.say(dest, "a text that stays").await?;
        let said = ann.say(dest, "swordfish is the password").await?;
        let target = json!({"target": said.id, "text": "swordfish was the password"});
        amend(&mut ann, "edit", dest, target).await?;
        amend(&mut ann, "delete", dest, json!({"target": said.id})).await?;
    }
    create_elsewhere(&mut ann).await?;
    app.stop().await?;
    assert!(is_anywhere(&app.data(), b"a text that stays")?);
    assert!(!is_anywhere(&app.data(), b"swordfish")?);
    assert!(!is_anywhere(&app.data(), b"marlin")?);
    Ok(())
}

/// Another room, deleted with what was said there.
async fn create_elsewhere(ann: &mut mqttchat_e2e::User) -> Result<()> {
    let dest = "rooms/elsewhere";
    ann.request(json!({"type": "room.create", "dest": dest, "data": {"title": "Elsewhere"}})).await?;
    ann.say(dest, "marlin is another fish").await?;
    ann.request(json!({"type": "room.delete", "dest": dest})).await?;
    Ok(())
}

fn is_anywhere(folder: &Path, text: &[u8]) -> Result<bool> {
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let found = if path.is_dir() {
            is_anywhere(&path, text)?
        } else {
            std::fs::read(&path)?.windows(text.len()).any(|window| window == text)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
