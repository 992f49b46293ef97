//! The page by HTTPS.

use anyhow::Result;
use mqttchat_e2e::App;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::https::Certificate;

#[tokio::test]
async fn people_talk_by_https() -> Result<()> {
    let driver = Driver::start().await?;
    let certificate = Certificate::make()?;
    let app = App::builder().args(certificate.args()).start().await?;
    let (ann, bob) = (driver.browser().await?, driver.browser().await?);
    ann.enter(&app.url(), "Ann").await?;
    bob.enter(&app.url(), "Bob").await?;
    ann.say("is it safe here?").await?;
    bob.expect_message("is it safe here?").await?;
    bob.say("yes").await?;
    ann.expect_message("yes").await?;
    ann.reload().await?;
    ann.expect_state("online").await?;
    ann.expect_message("yes").await?;
    Ok(())
}
