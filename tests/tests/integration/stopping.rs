//! Stopping in good order.

use std::time::{Duration, Instant};

use anyhow::Result;
use mqttchat_e2e::mqtt::{Delivery, Subscriber};
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::{App, Mosquitto};
use rusqlite::Connection;

#[tokio::test]
async fn sigterm_says_goodbye_and_ends_within_five_seconds() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let outsider = Subscriber::start(&broker, "private/+/status").await?;
    let mut app = App::builder().broker(&broker.url()).start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.say("public", "the last words").await?;
    let said = |user: &'static str, state: &'static str| {
        move |delivery: &Delivery| {
            delivery.topic == format!("private/{user}/status")
                && delivery.json().is_ok_and(|json| json["state"] == state)
        }
    };
    for user in ["ann", "bob"] {
        outsider.expect(&format!("{user} online"), said(user, "online")).await?;
    }
    let asked = Instant::now();
    app.terminate()?;
    for person in [&ann, &bob] {
        assert!(person.expect("bye").await?["data"]["retry_after"].is_u64());
        assert_eq!(person.expect_end().await?, Ending::Closed(1001));
    }
    let status = app.ended().await?;
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    for user in ["ann", "bob"] {
        outsider.expect(&format!("{user} offline"), said(user, "offline")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn ctrl_c_stops_it_too_on_the_embedded_broker() -> Result<()> {
    let mut app = App::start().await?;
    let ann = app.member("Ann").await?;
    let asked = Instant::now();
    app.interrupt()?;
    assert_eq!(ann.expect_end().await?, Ending::Closed(1001));
    assert_eq!(app.ended().await?.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    Ok(())
}

#[tokio::test]
async fn it_stops_as_fast_when_the_broker_is_dead() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let mut app = App::builder().broker(&broker.url()).start().await?;
    let mut ann = app.member("Ann").await?;
    broker.kill().await?;
    ann.say("public", "nobody to publish this to").await?;
    let asked = Instant::now();
    app.stop().await?;
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    Ok(())
}

#[tokio::test]
async fn it_does_not_wait_for_somebody_who_does_not_read() -> Result<()> {
    let mut app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.member("Ann").await?;
    let silent = tokio::net::TcpStream::connect(app.address()).await?;
    ann.ping().await?;
    let asked = Instant::now();
    app.stop().await?;
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    drop(silent);
    Ok(())
}

#[tokio::test]
async fn the_database_is_whole_after_a_stop() -> Result<()> {
    let mut app = App::start().await?;
    app.user("Ann").await?.say("public", "flushed").await?;
    app.stop().await?;
    let mut checked = 0;
    for entry in std::fs::read_dir(app.data())? {
        let path = entry?.path();
        if std::fs::read(&path)?.starts_with(b"SQLite format 3\0") {
            let verdict: String =
                Connection::open(&path)?.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            assert_eq!(verdict, "ok", "{}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0, "no database in the data directory");
    Ok(())
}
