//! Rooms: found, made, entered, left, and taken away.

use anyhow::Result;
use mqttchat_e2e::browser::Browser;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::{App, eventually};
use serde_json::{Value, json};

/// The conversations on the list: their dests, and how many messages in each are new.
async fn listed(page: &Browser) -> Result<Vec<(String, String)>> {
    let script = "return [...document.querySelectorAll('[data-testid=conversation]')]
        .map(c => [c.dataset.dest, c.querySelector('.badge').hidden ? '' : c.querySelector('.badge').textContent])";
    Ok(serde_json::from_value(page.run(script, &[]).await?)?)
}

async fn expect_listed(page: &Browser, dest: &str, new: &str) -> Result<()> {
    eventually(&format!("{dest} on the list with {new:?} new"), async || {
        Ok(listed(page).await?.contains(&(dest.to_owned(), new.to_owned())).then_some(()))
    })
    .await
}

async fn expect_not_listed(page: &Browser, dest: &str) -> Result<()> {
    eventually(&format!("{dest} off the list"), async || {
        Ok(listed(page).await?.iter().all(|(listed, _)| listed != dest).then_some(()))
    })
    .await
}

async fn composer_is_open(page: &Browser) -> Result<bool> {
    let script = "return !document.querySelector('[data-testid=composer-input]').disabled";
    Ok(page.run(script, &[]).await? == Value::Bool(true))
}

#[tokio::test]
async fn a_closed_room_from_its_making_to_being_removed() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let (ann, bob) = (driver.browser().await?, driver.browser().await?);
    bob.enter(&app.url(), "Bob").await?;
    ann.enter(&app.url(), "Ann").await?;
    ann.create_room("Tea & Cake", false, &["Bob"]).await?;
    bob.expect_text("notice", "Ann added you").await?;
    expect_listed(&bob, "rooms/tea-cake", "").await?;

    ann.say("Who bakes?").await?;
    expect_listed(&bob, "rooms/tea-cake", "1").await?;
    eventually("the title to say that something is new", async || {
        Ok(bob.title().await?.starts_with("(1)").then_some(()))
    })
    .await?;
    bob.open_conversation("rooms/tea-cake").await?;
    bob.expect_message("Who bakes?").await?;
    expect_listed(&bob, "rooms/tea-cake", "").await?;
    bob.say("I do").await?;
    assert_eq!(ann.expect_message("I do").await?.from, "bob");

    // Ann owns the room, so she may take back what Bob said.
    ann.choose("I do", "menu-delete").await?;
    ann.click("confirm-yes").await?;
    bob.expect_message("This message was deleted.").await?;

    ann.click("room-details").await?;
    ann.replace("rename-input", "Cake only\u{e007}").await?;
    bob.expect_text("room-title", "Cake only").await?;
    ann.click("member-remove").await?;
    ann.click("confirm-yes").await?;
    bob.expect_text("room-bar-text", "Ann removed you from this room.").await?;
    assert!(!composer_is_open(&bob).await?);
    eventually("Bob to be off the list of members", async || {
        Ok((ann.all("[data-testid=member]").await?.len() == 1).then_some(()))
    })
    .await?;

    ann.type_into("add-member", "Bob\u{e007}").await?;
    bob.gone("room-bar").await?;
    assert!(composer_is_open(&bob).await?);
    ann.click("room-delete").await?;
    ann.click("confirm-yes").await?;
    expect_not_listed(&ann, "rooms/tea-cake").await?;
    bob.expect_text("room-bar-text", "Ann deleted this room.").await?;
    assert!(bob.messages().await?.is_empty());
    bob.click("room-dismiss").await?;
    expect_not_listed(&bob, "rooms/tea-cake").await?;
    for page in [&ann, &bob] {
        assert_eq!(page.complaints().await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn an_open_room_is_found_looked_at_joined_and_left() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let mut bob = app.user("Bob").await?;
    bob.join("public").await?;
    let data = json!({"title": "The lounge", "open": true, "members": []});
    bob.request(json!({"type": "room.create", "dest": "rooms/lounge", "data": data})).await?;
    bob.join("rooms/lounge").await?;
    bob.say("rooms/lounge", "Have a seat").await?;

    let ann = driver.browser().await?;
    ann.enter(&app.url(), "Ann").await?;
    ann.click("rooms-open").await?;
    ann.click("room-listed").await?;
    ann.expect_text("room-title", "The lounge").await?;
    ann.expect_message("Have a seat").await?;
    ann.visible("room-join").await?;
    ann.say("Only looking").await?;
    bob.expect_text("Only looking").await?;
    ann.click("room-join").await?;
    ann.gone("room-bar").await?;

    ann.reload().await?;
    ann.expect_state("online").await?;
    expect_listed(&ann, "rooms/lounge", "").await?;
    ann.open_conversation("rooms/lounge").await?;
    ann.click("room-details").await?;
    ann.click("room-leave").await?;
    ann.click("confirm-yes").await?;
    expect_not_listed(&ann, "rooms/lounge").await?;
    ann.expect_text("room-title", "Public").await?;
    Ok(())
}

#[tokio::test]
async fn what_was_said_in_a_room_while_away_is_counted_and_marked() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let ann = driver.browser().await?;
    let mut bob = app.member("Bob").await?;
    ann.enter(&app.url(), "Ann").await?;
    ann.create_room("Ops", false, &["Bob"]).await?;
    ann.say("Over to you").await?;
    ann.expect_accepted("Over to you").await?;
    ann.open_conversation("public").await?;
    ann.open("about:blank").await?;

    bob.join("rooms/ops").await?;
    for number in 1..=3 {
        bob.say("rooms/ops", &format!("done {number}")).await?;
    }
    ann.open(&app.url()).await?;
    ann.expect_state("online").await?;
    expect_listed(&ann, "rooms/ops", "3").await?;
    ann.open_conversation("rooms/ops").await?;
    ann.expect_message("done 3").await?;
    ann.visible("unread-line").await?;
    expect_listed(&ann, "rooms/ops", "").await?;
    Ok(())
}
