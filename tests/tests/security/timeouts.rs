//! Nobody is waited for longer than the operator wants: short times here, on the real server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mqttchat_e2e::{App, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection on which this was sent, and nothing more will be.
async fn begun(app: &App, bytes: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(app.address()).await?;
    stream.write_all(bytes.as_bytes()).await?;
    Ok(stream)
}

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> Result<String> {
    let mut answer = Vec::new();
    // With a reset, or without: all the same.
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("it stays open")?.ok();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn heads_and_bodies_that_don_t_come_are_given_up() -> Result<()> {
    let app = App::builder().config("[http]\nheader_timeout = 3\nbody_timeout = 1\n").start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let began = Instant::now();
    let head = |first: &str, length: &str| {
        format!("{first} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{length}\r\n", ann.token)
    };
    let mut heads = Vec::new();
    for begin in
        ["", "G", "GET / HTTP/1.1\r\nhost: local", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"]
    {
        heads.push((begin, begun(&app, begin).await?));
    }
    let mut bodies = Vec::new();
    for first in [
        "POST /api/v1/messages",
        "POST /api/v1/public",
        "POST /api/v1/rooms",
        "PATCH /api/v1/rooms/x",
        "POST /sockjs/0/x/xhr_send",
        "POST /sockjs/0/x/jsonp_send",
    ] {
        bodies.push((first, begun(&app, &(head(first, "content-length: 100\r\n") + "[")).await?));
        let chunked = head(first, "transfer-encoding: chunked\r\n") + "5\r\n[";
        bodies.push((first, begun(&app, &chunked).await?));
    }
    // Nobody else notices.
    ann.say("public", "undisturbed").await?;
    bob.expect_text("undisturbed").await?;
    for (begin, stream) in &mut heads {
        let answer = rest(stream).await?;
        let fine = if begin.ends_with("\r\n\r\n") { answer.starts_with("HTTP/1.1 200 ") } else { true };
        assert!(fine && answer.matches("HTTP/1.1 200 ").count() <= 1, "{begin:?}: {answer}");
    }
    for (first, stream) in &mut bodies {
        let answer = rest(stream).await?;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{first}: {answer}");
    }
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    // Sessions have nothing to do with it.
    ann.say("public", "still here").await?;
    bob.expect_text("still here").await?;
    Ok(())
}
