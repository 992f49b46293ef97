//! The broker goes away, and comes back.

use anyhow::Result;
use mqttchat_e2e::mqtt::Subscriber;
use mqttchat_e2e::{App, Mosquitto, eventually};

async fn expect_ready(app: &App, status: u16) -> Result<String> {
    eventually(&format!("/readyz to say {status}"), async || {
        let response = app.get("/readyz").await?;
        Ok((response.status.as_u16() == status).then_some(response.body))
    })
    .await
}

#[tokio::test]
async fn without_the_broker_people_go_on_and_with_it_all_is_published() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let outsider = Subscriber::start_lasting(&mut broker, "public/msgs").await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.say("public", "before").await?;
    bob.expect_text("before").await?;
    expect_ready(&app, 200).await?;

    broker.kill().await?;
    let reason = expect_ready(&app, 503).await?;
    assert!(reason.to_lowercase().contains("broker"), "{reason}");
    assert!(!reason.contains("a-password-of-the-tests"), "no password in {reason}");
    assert_eq!(app.get("/healthz").await?.status.as_u16(), 200);
    for number in 0..10 {
        let text = format!("without a broker {number}");
        ann.say("public", &text).await?;
        bob.expect_text(&text).await?;
        bob.say("public", &format!("answer {number}")).await?;
    }
    let newcomer = app.member("Carol").await?;
    ann.say("public", "hello Carol").await?;
    newcomer.expect_text("hello Carol").await?;

    broker.start_again().await?;
    expect_ready(&app, 200).await?;
    ann.say("public", "after").await?;
    for text in ["without a broker 0", "answer 9", "hello Carol", "after"] {
        outsider.expect_text(text).await?;
    }
    assert_eq!(ann.say("public", "still in one piece").await?.seq, 24);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_not_there_yet_does_not_keep_the_server_from_starting() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let outsider = Subscriber::start_lasting(&mut broker, "public/msgs").await?;
    broker.kill().await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let reason = expect_ready(&app, 503).await?;
    assert!(reason.to_lowercase().contains("broker"), "{reason}");
    ann.say("public", "nobody outside hears this yet").await?;
    bob.expect_text("nobody outside hears this yet").await?;

    broker.start_again().await?;
    expect_ready(&app, 200).await?;
    outsider.expect_text("nobody outside hears this yet").await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_login_is_named() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let app = App::builder().broker(&broker.url_with_wrong_password()).start().await?;
    let reason = expect_ready(&app, 503).await?;
    assert!(reason.to_lowercase().contains("broker"), "{reason}");
    eventually("the log to name the refusal", async || {
        let said = |line: &String| line.contains("refused") || line.to_lowercase().contains("not authorized");
        Ok(app.output().iter().any(said).then_some(()))
    })
    .await?;
    assert!(!app.output().iter().any(|line| line.contains(":wrong@")), "the password is in the log");
    Ok(())
}

#[tokio::test]
async fn an_anonymous_broker_serves_too() -> Result<()> {
    let broker = Mosquitto::start_anonymous().await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    let outsider = Subscriber::start(&broker, "public/#").await?;
    app.user("Ann").await?.say("public", "no login needed").await?;
    outsider.expect_text("no login needed").await?;
    expect_ready(&app, 200).await?;
    Ok(())
}
