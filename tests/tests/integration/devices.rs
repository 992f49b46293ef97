//! The embedded broker opened to devices (docs/mqtt.md, "Who may read and write").

use anyhow::{Context, Result};
use mqttchat_e2e::mqtt::{Access, Subscriber, publish};
use mqttchat_e2e::{App, signature};
use serde_json::json;
use tokio::process::Command;

fn open_to_devices() -> mqttchat_e2e::app::Options {
    App::builder().args(["--broker-listen", "127.0.0.1:0"])
}

#[tokio::test]
async fn a_device_with_the_printed_login_listens_and_talks() -> Result<()> {
    let app = open_to_devices().start().await?;
    let access = Access::of_devices(&app).await?;
    let device = Subscriber::start(access.clone(), "public/msgs").await?;
    let mut ann = app.member("Ann").await?;
    ann.say("public", "hello, devices").await?;
    let seen = device.expect_text("hello, devices").await?;
    signature::verify(&seen.payload, &signature::envelope_key(&signature::master_secret(&app.data())?)?)?;

    app.hears_strangers().await?;
    publish(access, "public/msgs", "23.5").await?;
    assert_eq!(ann.expect_text("23.5").await?["from"], "mqtt:guest");
    Ok(())
}

#[tokio::test]
async fn the_login_stays_the_same_and_nobody_comes_in_without() -> Result<()> {
    let mut app = open_to_devices().start().await?;
    let first = Access::of_devices(&app).await?;
    assert!(first.login.is_some());
    for login in [None, Some(("device".to_owned(), "guessed".to_owned()))] {
        let stranger = Access { address: first.address, login };
        assert!(publish(stranger, "public/msgs", "let me in").await.is_err());
    }
    app.stop().await?;
    app.start_again().await?;
    assert_eq!(Access::of_devices(&app).await?.login, first.login);
    assert_eq!(app.user("Ann").await?.history("public", json!({})).await?["messages"], json!([]));
    Ok(())
}

#[tokio::test]
async fn anonymous_devices_come_in_only_where_that_was_asked_for() -> Result<()> {
    let app = open_to_devices().args(["--broker-anonymous"]).start().await?;
    let access = Access::of_devices(&app).await?;
    assert_eq!(access.login, None);
    let device = Subscriber::start(access, "public/msgs").await?;
    app.user("Ann").await?.say("public", "hello, anybody").await?;
    device.expect_text("hello, anybody").await?;
    Ok(())
}

#[tokio::test]
async fn devices_see_nothing_of_private_conversations() -> Result<()> {
    let app = open_to_devices().start().await?;
    let device = Subscriber::start(Access::of_devices(&app).await?, "#").await?;
    let (mut ann, bob) = (app.user("Ann").await?, app.user("Bob").await?);
    ann.say("private/bob", "not for devices").await?;
    bob.expect_text("not for devices").await?;
    ann.say("public", "for everybody").await?;
    device.expect_text("for everybody").await?;
    let private = device.expect("a bell for Bob", |delivery| delivery.topic == "private/bob/msgs").await?;
    assert!(private.json()?["seq"].is_u64());
    for delivery in device.deliveries() {
        let text = String::from_utf8_lossy(&delivery.payload).into_owned();
        assert!(!text.contains("not for devices"), "{}: {text}", delivery.topic);
    }
    Ok(())
}

#[tokio::test]
async fn a_device_that_misbehaves_disturbs_neither_people_nor_other_devices() -> Result<()> {
    let app = open_to_devices().start().await?;
    let access = Access::of_devices(&app).await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let (user, password) = access.login.clone().context("no login")?;
    for id in ["with/slash", "+", "#", "$SYS", "twice", "twice", "mqttchat-ingest", "ünïcode"] {
        let mut command = Command::new("mosquitto_pub");
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &access.address.port().to_string(),
            "-u",
            &user,
            "-P",
            &password,
        ]);
        command.args(["-i", id, "-t", "elsewhere", "-m", "x"]).kill_on_drop(true);
        // Whether it is let in is not the point.
        command.output().await?;
    }
    for payload in [
        &b"\x10"[..],
        b"\x10\xff\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00",
        b"\x30\x05\x00\x03a/b",
    ] {
        let mut stream = tokio::net::TcpStream::connect(access.address).await?;
        tokio::io::AsyncWriteExt::write_all(&mut stream, payload).await?;
    }
    ann.say("public", "still here").await?;
    bob.expect_text("still here").await?;
    let device = Subscriber::start(access, "public/msgs").await?;
    ann.say("public", "and there").await?;
    device.expect_text("and there").await?;
    Ok(())
}
