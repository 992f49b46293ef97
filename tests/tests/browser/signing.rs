//! The page where the server takes signed frames only (docs/protocol.md §7).

use anyhow::Result;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::{App, eventually};

#[tokio::test]
async fn what_is_said_changed_and_reacted_to_is_signed_also_after_coming_back() -> Result<()> {
    let driver = Driver::start().await?;
    let mut app = App::builder().keeps_port()?.variable("MQTTCHAT_AUTH__SIGNING", "required").start().await?;
    let (ann, bob) = (driver.browser().await?, driver.browser().await?);
    ann.enter(&app.url(), "Ann").await?;
    bob.enter(&app.url(), "Bob").await?;
    ann.say("Grüße, 世界 👋 \u{2028}\"\\").await?;
    ann.expect_accepted("Grüße, 世界 👋 \u{2028}\"\\").await?;
    ann.choose("Grüße, 世界 👋 \u{2028}\"\\", "menu-edit").await?;
    ann.replace("composer-input", "Hello\u{e007}").await?;
    bob.expect_message("Hello").await?;
    bob.choose("Hello", "menu-react").await?;
    let reacted = |text: &'static str| {
        let ann = &ann;
        eventually("the reaction", async move || {
            Ok(ann.reactions().await?.iter().any(|(shown, _)| shown == text).then_some(()))
        })
    };
    reacted("👍 1").await?;
    ann.create_room("Signers", true, &[]).await?;
    ann.say("in a room").await?;
    ann.expect_accepted("in a room").await?;
    ann.open_conversation("public").await?;

    // Each session has a key of its own.
    app.stop().await?;
    ann.say("written meanwhile").await?;
    app.start_again().await?;
    ann.expect_accepted("written meanwhile").await?;
    bob.expect_message("written meanwhile").await?;
    bob.say("so am I").await?;
    ann.expect_message("so am I").await?;
    ann.click("reaction").await?;
    reacted("👍 2").await?;
    let texts: Vec<String> = bob.messages().await?.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["Hello", "written meanwhile", "so am I"]);
    let complaints = app.output().into_iter().filter(|line| line.contains("signature")).collect::<Vec<_>>();
    assert_eq!(complaints, Vec::<String>::new());
    Ok(())
}
