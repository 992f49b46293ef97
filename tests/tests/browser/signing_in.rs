//! Coming in.

use anyhow::Result;
use mqttchat_e2e::App;
use mqttchat_e2e::driver::Driver;

#[tokio::test]
async fn a_taken_name_offers_a_free_one_with_one_tap() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let _ann = app.member("Ann").await?;
    let page = driver.browser().await?;
    page.open(&app.url()).await?;
    page.visible("name-form").await?;
    assert!(!page.shows("app").await?);
    page.give_name("Ann").await?;
    let error = page.visible("name-error").await?.text().await?;
    assert!(!error.is_empty());
    page.click("name-suggestion").await?;
    page.visible("app").await?;
    page.expect_state("online").await?;
    page.say("I am another Ann").await?;
    let shown = page.expect_accepted("I am another Ann").await?;
    assert_ne!(shown.from, "ann");
    Ok(())
}

#[tokio::test]
async fn an_impossible_name_is_refused_on_the_spot() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let page = driver.browser().await?;
    page.open(&app.url()).await?;
    for name in ["", "   "] {
        page.give_name(name).await?;
        let error = page.visible("name-error").await?.text().await?;
        assert!(!error.is_empty(), "nothing is said about {name:?}");
        assert!(!page.shows("app").await?);
    }
    page.give_name("Ann").await?;
    page.visible("app").await?;
    Ok(())
}

#[tokio::test]
async fn a_reload_and_a_second_tab_are_the_same_person() -> Result<()> {
    let (app, driver) = (App::start().await?, Driver::start().await?);
    let bob = app.member("Bob").await?;
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    page.say("before the reload").await?;
    page.expect_accepted("before the reload").await?;

    page.reload().await?;
    page.visible("app").await?;
    page.expect_state("online").await?;
    assert!(!page.shows("name-form").await?);
    page.expect_message("before the reload").await?;
    page.say("after the reload").await?;
    assert_eq!(bob.expect_text("after the reload").await?["from"], "ann");

    page.new_tab(&app.url()).await?;
    page.visible("app").await?;
    page.say("from the second tab").await?;
    assert_eq!(bob.expect_text("from the second tab").await?["from"], "ann");
    Ok(())
}

#[tokio::test]
async fn a_token_that_the_server_does_not_know_asks_for_the_name_again() -> Result<()> {
    let driver = Driver::start().await?;
    let page = driver.browser().await?;
    let mut app = App::builder().keeps_port()?.start().await?;
    page.enter(&app.url(), "Ann").await?;
    // The operator begins anew: same address, other secrets.
    app.stop().await?;
    std::fs::remove_dir_all(app.data())?;
    app.start_again().await?;
    page.visible("name-form").await?;
    page.give_name("Ann").await?;
    page.visible("app").await?;
    page.say("welcome to the new house").await?;
    page.expect_accepted("welcome to the new house").await?;
    Ok(())
}
