//! People talk.

use anyhow::Result;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::{App, eventually};
use serde_json::json;

#[tokio::test]
async fn two_talk_and_a_third_who_comes_later_sees_it_all() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let (ann, bob) = (driver.browser().await?, driver.browser().await?);
    ann.enter(&app.url(), "Ann").await?;
    bob.enter(&app.url(), "Bob").await?;
    ann.say("Hello Bob").await?;
    assert_eq!(bob.expect_message("Hello Bob").await?.from, "ann");
    bob.say("Hello Ann").await?;
    assert_eq!(ann.expect_message("Hello Ann").await?.from, "bob");
    assert_eq!(ann.expect_accepted("Hello Bob").await?.seq, Some(1));
    assert_eq!(bob.expect_accepted("Hello Ann").await?.seq, Some(2));

    let carol = driver.browser().await?;
    carol.enter(&app.url(), "Carol").await?;
    carol.expect_message("Hello Ann").await?;
    let texts: Vec<_> = carol.messages().await?.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["Hello Bob", "Hello Ann"]);
    for page in [&ann, &bob, &carol] {
        page.expect_text("online-count", "3").await?;
        assert_eq!(page.complaints().await?, Vec::<String>::new());
    }
    ann.expect_text("presence-line", "Bob").await?;
    Ok(())
}

#[tokio::test]
async fn typing_shows_and_ends() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    let mut bob = app.member("Bob").await?;

    bob.send(&json!({"type": "typing", "dest": "public", "data": {"typing": true}})).await?;
    page.visible("typing").await?;
    page.expect_text("typing", "Bob").await?;
    bob.say("public", "done").await?;
    page.expect_message("done").await?;
    bob.send(&json!({"type": "typing", "dest": "public", "data": {"typing": false}})).await?;
    page.gone("typing").await?;

    page.type_into("composer-input", "I am wri").await?;
    let seen = bob.expect("typing").await?;
    assert_eq!((&seen["from"], &seen["data"]["typing"]), (&json!("ann"), &json!(true)));
    assert!(!page.shows("typing").await?, "nobody is told of their own typing");
    page.click("composer-send").await?;
    bob.expect_text("I am wri").await?;
    assert_eq!(bob.expect("typing").await?["data"]["typing"], false);
    Ok(())
}

#[tokio::test]
async fn the_roster_tells_who_is_here_and_who_was() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    let mut bob = app.member("Bob").await?;
    let state = async |expected: &str| {
        let css = format!("[data-testid=roster-user][data-user=bob][data-state={expected}]");
        eventually(&format!("Bob to be {expected} in the roster"), async || {
            Ok((!page.all(&css).await?.is_empty()).then_some(()))
        })
        .await
    };
    state("online").await?;
    page.expect_text("online-count", "2").await?;
    bob.close().await?;
    state("offline").await?;
    page.expect_text("online-count", "1").await
}

#[tokio::test]
async fn what_people_write_is_never_run() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    let mut mallory = app.member("<img src=x onerror=window.pwned=1>").await?;
    let texts = [
        "<img src=x onerror=window.pwned=1>",
        "<script>window.pwned=1</script>",
        "\"><svg/onload=window.pwned=1>",
        "javascript:window.pwned=1",
        "http://example.com/\"onmouseover=\"window.pwned=1",
        "<a href=\"javascript:window.pwned=1\">click</a>",
    ];
    for text in texts {
        mallory.say("public", text).await?;
        page.expect_message(text).await?;
    }
    let links = page
        .run("return [...document.querySelectorAll('[data-testid=message] a')].map(a => a.protocol)", &[]);
    for protocol in links.await?.as_array().into_iter().flatten() {
        assert!(protocol == "http:" || protocol == "https:", "a link with {protocol}");
    }
    assert_eq!(page.run("return window.pwned ?? null", &[]).await?, json!(null));
    assert_eq!(page.complaints().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn older_messages_come_on_scrolling_up() -> Result<()> {
    let (app, driver) = (App::builder().no_rate_limit().start().await?, Driver::start().await?);
    let mut bob = app.member("Bob").await?;
    for number in 1..=300 {
        bob.say("public", &format!("number {number}")).await?;
    }
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    page.expect_message("number 300").await?;
    assert!(
        page.messages().await?.iter().all(|message| message.text != "number 1"),
        "not everything comes at once"
    );
    eventually("the first message, after scrolling up", async || {
        let up = "document.querySelector('[data-testid=message]').scrollIntoView({block: 'start'});
            const pane = document.querySelector('[data-testid=messages]');
            for (let e = pane; e; e = e.parentElement) if (e.scrollHeight > e.clientHeight) e.scrollTop = 0;";
        page.run(up, &[]).await?;
        let messages = page.messages().await?;
        Ok(messages.iter().any(|message| message.text == "number 1").then_some(()))
    })
    .await?;
    let seqs: Vec<_> = page.messages().await?.iter().filter_map(|message| message.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "out of order or with a hole: {seqs:?}");
    Ok(())
}
