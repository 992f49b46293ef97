//! The page fits, reads well, and is usable without a mouse.

use anyhow::{Context, Result};
use mqttchat_e2e::App;
use mqttchat_e2e::browser::Browser;
use mqttchat_e2e::driver::{Driver, Screen};
use serde_json::{Value, json};

async fn assert_fits(page: &Browser, what: &str) -> Result<()> {
    let script = "const r = document.documentElement; return [r.scrollWidth, window.innerWidth,
        [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() &&
            e.getBoundingClientRect().right > window.innerWidth + 1 && getComputedStyle(e).position !== 'fixed')
            .map(e => e.outerHTML.slice(0, 120)).slice(0, 3)]";
    let sizes = page.run(script, &[]).await?;
    assert!(sizes[0].as_f64() <= sizes[1].as_f64(), "{what} scrolls sideways: {sizes}");
    Ok(())
}

#[tokio::test]
async fn on_a_phone_nothing_scrolls_sideways_and_the_composer_is_in_reach() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let page = driver.browser_on(Screen::Phone).await?;
    page.open(&app.url()).await?;
    page.visible("name-form").await?;
    assert_fits(&page, "the name screen").await?;
    page.enter(&app.url(), "Ann").await?;
    let mut bob = app.member(&"Bartholomew".repeat(5)).await?;
    for text in ["x".repeat(500), format!("https://example.com/{}", "path/".repeat(60)), "short".to_owned()] {
        bob.say("public", &text).await?;
        page.expect_message(&text).await?;
    }
    assert_fits(&page, "the chat").await?;
    let (_, top, _, height) = page.visible("composer-input").await?.rectangle().await?;
    assert!(top + height <= 740.0, "the composer ends at {}", top + height);
    Ok(())
}

#[tokio::test]
async fn the_page_asks_nobody_else_for_anything() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    let script = "return performance.getEntriesByType('resource').map(entry => entry.name)";
    let loaded = page.run(script, &[]).await?;
    let loaded = loaded.as_array().context("no list")?;
    assert!(!loaded.is_empty());
    for url in loaded {
        assert!(url.as_str().is_some_and(|url| url.starts_with(&app.url())), "{url}");
    }
    assert_eq!(page.run("return document.cookie", &[]).await?, json!(""));
    Ok(())
}

#[tokio::test]
async fn enter_sends_and_shift_enter_begins_a_line() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    // The keys of the WebDriver standard: E008 is Shift until E000 releases it, E007 is Enter.
    page.type_into("composer-input", "two\u{e008}\u{e007}\u{e000}lines\u{e007}").await?;
    page.expect_accepted("two\nlines").await?;
    Ok(())
}

/// The rules of axe-core that the page breaks, each with the places where it does.
async fn violations(page: &Browser) -> Result<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(path).context("axe-core is not there: run `npm ci --prefix tests`")?;
    page.run(&axe, &[]).await?;
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document).then(r => done([r.violations, r.passes.length]), e => done(String(e)));";
    let found = page.run_async(script, &[]).await?;
    anyhow::ensure!(found[1].as_u64() > Some(5), "axe did not look at the page: {found}");
    let describe = |rule: &Value| {
        let places = rule["nodes"].as_array().into_iter().flatten().map(|node| node["target"].to_string());
        format!("{} at {}", rule["id"], places.collect::<Vec<_>>().join(", "))
    };
    Ok(found[0].as_array().context("axe gave no list")?.iter().map(describe).collect())
}

#[tokio::test]
async fn accessibility_rules_hold_in_light_and_dark_on_desktop_and_phone() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    for (screen, name) in [(Screen::Desktop, "Ann"), (Screen::DarkDesktop, "Bob"), (Screen::Phone, "Carol")] {
        let page = driver.browser_on(screen).await?;
        page.open(&app.url()).await?;
        page.visible("name-form").await?;
        assert_eq!(violations(&page).await?, Vec::<String>::new(), "name screen, {screen:?}");
        page.enter(&app.url(), name).await?;
        page.say("a message of one's own, with https://example.com/").await?;
        page.expect_accepted("a message of one's own, with https://example.com/").await?;
        assert_eq!(violations(&page).await?, Vec::<String>::new(), "chat, {screen:?}");
        let dark = page.run("return matchMedia('(prefers-color-scheme: dark)').matches", &[]).await?;
        assert_eq!(dark, json!(matches!(screen, Screen::DarkDesktop)));
    }
    Ok(())
}

/// Opens what lies over the chat or beside it, one after the other, and looks at each.
async fn walk_through(page: &Browser, what: &str) -> Result<()> {
    let look = async |part: &str| -> Result<()> {
        assert_fits(page, &format!("{part}, {what}")).await?;
        assert_eq!(violations(page).await?, Vec::<String>::new(), "{part}, {what}");
        Ok(())
    };
    page.run("document.querySelector('[data-testid=message-actions]').click()", &[]).await?;
    page.visible("message-menu").await?;
    look("the menu of a message").await?;
    page.run("document.querySelector('[data-testid=message-menu]').hidePopover()", &[]).await?;
    page.run("document.querySelector('[data-testid=rooms-open]').click()", &[]).await?;
    page.visible("rooms-dialog").await?;
    look("the rooms").await?;
    page.click("room-new").await?;
    page.replace("create-name", &"A room with a very long title ".repeat(2)).await?;
    page.replace("create-member", "bob").await?;
    page.visible("suggestion").await?;
    look("a new room").await?;
    page.click("create-submit").await?;
    page.gone("create-dialog").await?;
    page.click("room-details").await?;
    page.visible("member").await?;
    look("about a room").await?;
    page.click("room-delete").await?;
    page.visible("confirm-dialog").await?;
    look("a question").await?;
    page.click("confirm-yes").await?;
    page.gone("room-dialog").await
}

#[tokio::test]
async fn dialogs_and_menus_fit_and_keep_the_accessibility_rules() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let _bob = app.member("Bob").await?;
    for (screen, name) in [(Screen::DarkDesktop, "Ann"), (Screen::Phone, "Carol")] {
        let page = driver.browser_on(screen).await?;
        page.enter(&app.url(), name).await?;
        page.say("something to react to").await?;
        page.expect_accepted("something to react to").await?;
        walk_through(&page, &format!("{screen:?}")).await?;
    }
    Ok(())
}
