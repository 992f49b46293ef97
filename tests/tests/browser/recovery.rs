//! The server goes away, and the pages help themselves.

use anyhow::Result;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::{App, eventually};

#[tokio::test]
async fn pages_recover_by_themselves_and_keep_everything() -> Result<()> {
    let driver = Driver::start().await?;
    let mut app = App::builder().keeps_port()?.start().await?;
    let (ann, bob) = (driver.browser().await?, driver.browser().await?);
    ann.enter(&app.url(), "Ann").await?;
    bob.enter(&app.url(), "Bob").await?;
    ann.say("before the restart").await?;
    bob.expect_message("before the restart").await?;

    app.stop().await?;
    for page in [&ann, &bob] {
        eventually("the page to notice", async || {
            let state = page.visible("connection-state").await?.attr("data-state").await?;
            Ok((state.as_deref() != Some("online")).then_some(()))
        })
        .await?;
    }
    app.start_again().await?;
    for page in [&ann, &bob] {
        page.expect_state("online").await?;
    }
    bob.say("after the restart").await?;
    ann.expect_message("after the restart").await?;
    for page in [&ann, &bob] {
        page.expect_message("after the restart").await?;
        let messages = page.messages().await?;
        let texts: Vec<_> = messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, ["before the restart", "after the restart"]);
        assert!(!page.shows("name-form").await?);
    }
    Ok(())
}

#[tokio::test]
async fn what_was_written_while_the_server_was_dead_arrives_once() -> Result<()> {
    let driver = Driver::start().await?;
    let mut app = App::builder().keeps_port()?.start().await?;
    let ann = driver.browser().await?;
    ann.enter(&app.url(), "Ann").await?;
    ann.say("first").await?;
    ann.expect_accepted("first").await?;

    app.kill().await?;
    ann.say("into the void").await?;
    assert_eq!(ann.expect_message("into the void").await?.state, "sending");

    app.start_again().await?;
    ann.expect_state("online").await?;
    let shown = ann.expect_accepted("into the void").await?;
    assert_eq!(shown.seq, Some(2));
    let log = app.user("Reader").await?.whole_history("public").await?;
    let texts: Vec<_> = log.iter().map(|message| message["data"]["text"].clone()).collect();
    assert_eq!(texts, ["first", "into the void"]);
    Ok(())
}
