//! People change what they have said, and react to what others said.

use anyhow::Result;
use mqttchat_e2e::browser::Browser;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::{App, eventually};
use serde_json::json;

/// The keys of the `WebDriver` standard.
const ENTER: char = '\u{e007}';
const ESCAPE: char = '\u{e00c}';
const UP: char = '\u{e013}';

const TOMBSTONE: &str = "This message was deleted.";

async fn expect_reactions(page: &Browser, expected: &[(&str, bool)]) -> Result<()> {
    eventually(&format!("the reactions {expected:?}"), async || {
        let seen = page.reactions().await?;
        let seen = seen.iter().map(|(text, own)| (text.as_str(), *own));
        Ok(seen.eq(expected.iter().copied()).then_some(()))
    })
    .await
}

#[tokio::test]
async fn messages_are_edited_reacted_to_and_deleted_before_everybodys_eyes() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let (ann, bob) = (driver.browser().await?, driver.browser().await?);
    ann.enter(&app.url(), "Ann").await?;
    bob.enter(&app.url(), "Bob").await?;
    ann.say("Hello Bpb").await?;
    ann.expect_accepted("Hello Bpb").await?;
    bob.expect_message("Hello Bpb").await?;

    ann.type_into("composer-input", &UP.to_string()).await?;
    ann.visible("edit-bar").await?;
    ann.replace("composer-input", &format!("Hello Bob{ENTER}")).await?;
    for page in [&ann, &bob] {
        assert_eq!(page.expect_message("Hello Bob").await?.seq, Some(1));
        page.expect_text("message-edited", "edited").await?;
    }
    ann.gone("edit-bar").await?;

    ann.choose("Hello Bob", "menu-edit").await?;
    ann.replace("composer-input", &format!("Hello nobody{ESCAPE}")).await?;
    ann.gone("edit-bar").await?;
    ann.expect_message("Hello Bob").await?;

    bob.choose("Hello Bob", "menu-react").await?;
    expect_reactions(&bob, &[("👍 1", true)]).await?;
    expect_reactions(&ann, &[("👍 1", false)]).await?;
    ann.click("reaction").await?;
    expect_reactions(&bob, &[("👍 2", true)]).await?;
    bob.click("reaction").await?;
    expect_reactions(&ann, &[("👍 1", true)]).await?;

    ann.choose("Hello Bob", "menu-delete").await?;
    ann.click("confirm-yes").await?;
    for page in [&ann, &bob] {
        page.expect_message(TOMBSTONE).await?;
        expect_reactions(page, &[]).await?;
    }
    let carol = driver.browser().await?;
    carol.enter(&app.url(), "Carol").await?;
    carol.expect_message(TOMBSTONE).await?;
    for page in [&ann, &bob, &carol] {
        assert_eq!(page.complaints().await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn what_was_changed_while_the_server_was_dead_is_changed_once() -> Result<()> {
    let driver = Driver::start().await?;
    let mut app = App::builder().keeps_port()?.start().await?;
    let ann = driver.browser().await?;
    ann.enter(&app.url(), "Ann").await?;
    ann.say("first").await?;
    ann.expect_accepted("first").await?;

    app.kill().await?;
    ann.type_into("composer-input", &UP.to_string()).await?;
    ann.replace("composer-input", &format!("first, but better{ENTER}")).await?;
    ann.expect_message("first, but better").await?;
    ann.choose("first, but better", "menu-react").await?;
    expect_reactions(&ann, &[("👍 1", true)]).await?;

    app.start_again().await?;
    ann.expect_state("online").await?;
    ann.expect_text("message-edited", "edited").await?;
    ann.say("last").await?;
    ann.expect_accepted("last").await?;
    let log = app.user("Reader").await?.whole_history("public").await?;
    let types: Vec<_> = log.iter().filter_map(|entry| entry["type"].as_str()).collect();
    assert_eq!(types, ["msg", "edit", "react", "msg"]);
    assert_eq!(log[0]["data"]["text"], "first, but better");
    assert_eq!(log[0]["reactions"]["👍"], json!(["ann"]));
    Ok(())
}
