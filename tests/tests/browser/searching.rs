//! Messages are found again.

use anyhow::Result;
use mqttchat_e2e::browser::Browser;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::{App, eventually};
use serde_json::{Value, json};

/// What was found, as it shows; a search is asked again while the newest may not be in its index yet.
async fn expect_found(page: &Browser, q: &str, count: usize) -> Result<Vec<String>> {
    let script =
        "return [...document.querySelectorAll('[data-testid=search-result]')].map(r => r.textContent)";
    eventually(&format!("{count} results for {q:?}"), async || {
        page.replace("search-input", &format!("{q}\u{e007}")).await?;
        let status = page.visible("search-status").await?.text().await?;
        let found: Vec<String> = serde_json::from_value(page.run(script, &[]).await?)?;
        Ok((!status.contains("Searching") && found.len() == count).then_some(found))
    })
    .await
}

#[tokio::test]
async fn a_message_far_back_is_found_and_shown_in_its_place() -> Result<()> {
    let (app, driver) = (App::builder().no_rate_limit().start().await?, Driver::start().await?);
    let mut bob = app.member("Bob").await?;
    bob.say("public", "The needle is here").await?;
    for number in 1..=400 {
        bob.say("public", &format!("hay {number}")).await?;
    }
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    page.expect_message("hay 400").await?;

    let found = expect_found(&page, "needle", 1).await?;
    assert!(found[0].contains("The needle is here"), "{found:?}");
    let marked =
        page.run("return document.querySelector('[data-testid=search-result] mark').textContent", &[]);
    assert_eq!(marked.await?, json!("needle"));
    // With the keyboard alone: down into the results, Enter takes one.
    page.type_into("search-input", "\u{e015}").await?;
    page.run("document.activeElement.click()", &[]).await?;
    assert_eq!(page.expect_message("The needle is here").await?.seq, Some(1));
    let in_view =
        "const m = document.querySelector('[data-testid=message][data-seq=\"1\"]').getBoundingClientRect();
        return m.top >= 0 && m.bottom <= innerHeight && document.activeElement.dataset.seq === '1'";
    eventually("the message to be in view", async || {
        Ok((page.run(in_view, &[]).await? == Value::Bool(true)).then_some(()))
    })
    .await?;
    assert!(page.messages().await?.iter().all(|message| message.text != "hay 400"));
    page.click("jump-latest").await?;
    page.expect_message("hay 400").await?;

    // Only in here, where it is, too: the circle itself is drawn by its label.
    page.run("document.querySelector('[data-testid=search-here]').click()", &[]).await?;
    page.expect_text("search-results", "The needle is here").await?;
    page.click("search-clear").await?;
    page.gone("search-results").await?;
    page.visible("conversation").await?;
    assert_eq!(page.complaints().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn what_is_found_is_never_run() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let mut mallory = app.member("Mallory").await?;
    mallory.say("public", "look <img src=x onerror=window.pwned=1> here").await?;
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    let found = expect_found(&page, "look", 1).await?;
    assert!(found[0].contains("<img src=x onerror=window.pwned=1>"), "{found:?}");
    expect_found(&page, "<img \"x' OR 1=1 --", 0).await?;
    assert_eq!(page.run("return window.pwned ?? null", &[]).await?, Value::Null);
    assert_eq!(page.complaints().await?, Vec::<String>::new());
    Ok(())
}
