//! Many who ask for much and take nothing of it.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result};
use mqttchat_e2e::{App, User, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// How many there are.
const STUCK: usize = 200;

/// What the server may need for them in all: a tenth of what their questions ask for, and the sessions themselves.
const MEMORY_MAX: u64 = 100 << 20;

/// What the bodies may cost that so many send for nobody.
const BODIES_MAX: u64 = 20 << 20;

/// Resident memory of the server, in bytes.
fn resident(app: &App) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", app.process_id()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes << 10)
}

/// A server in whose public conversation more is than an answer holds, and somebody who reads as always.
async fn crowded() -> Result<(App, User)> {
    let app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.member("Ann").await?;
    for number in 0..40 {
        let data = json!({"blob": "x".repeat(60_000)});
        ann.send_message(&format!("large {number}"), "public", &data).await?;
    }
    Ok((app, ann))
}

/// What somebody who won't read asks for: `hello`, and so many pages of the log.
fn questions(number: usize, pages: usize) -> Vec<String> {
    let hello = json!({"type": "hello", "id": "h", "data": {"name": format!("Stuck {number}")}});
    let page = |id: usize| json!({"type": "history", "id": format!("q{id}"), "dest": "public", "data": {}});
    std::iter::once(hello).chain((0..pages).map(page)).map(|frame| frame.to_string()).collect()
}

/// How many sessions the server has.
async fn sessions(app: &App) -> Result<u64> {
    let ready: Value = serde_json::from_str(&app.get("/readyz").await?.body)?;
    ready["sessions"].as_u64().context("no number of sessions")
}

/// Waits until only Ann is left, and says how much memory the server had at most.
async fn all_given_up(app: &App, ann: &mut User, before: u64) -> Result<u64> {
    let mut most = before;
    eventually("the stuck to be given up", async || {
        most = most.max(resident(app)?);
        Ok((sessions(app).await? <= 1).then_some(()))
    })
    .await?;
    // Whoever reads still has whole pages.
    let page = ann.history("public", json!({})).await?;
    assert!(page["messages"].as_array().context("no page")?.len() > 10, "short pages for ever");
    let cost = most - before;
    writeln!(std::io::stderr(), "{STUCK} stuck sessions cost {} KiB", cost >> 10)?;
    Ok(cost)
}

/// A client's text frame, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(len @ ..126) => frame.push(0x80 | len),
        // None is longer than this.
        _ => frame.extend([0x80 | 126, (text.len() >> 8) as u8, text.len() as u8]),
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

#[tokio::test]
async fn who_asks_by_websocket_and_takes_nothing_costs_little_and_is_closed() -> Result<()> {
    const UPGRADE: &str = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let (app, mut ann) = crowded().await?;
    let before = resident(&app)?;
    let mut held = Vec::new();
    for number in 0..STUCK {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(2048)?;
        let mut stream = socket.connect(app.address()).await?;
        stream.write_all(UPGRADE.as_bytes()).await?;
        for text in questions(number, 20) {
            stream.write_all(&frame(&text)).await?;
        }
        held.push(stream);
    }
    eventually("all to be signed in", async || Ok((sessions(&app).await? > STUCK as u64 / 2).then_some(())))
        .await?;
    let cost = all_given_up(&app, &mut ann, before).await?;
    assert!(cost < MEMORY_MAX, "{STUCK} of them cost {} KiB", cost >> 10);
    drop(held);
    Ok(())
}

/// Sends a request, and reads the answer to its end.
async fn post(app: &App, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(app.address()).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn who_asks_by_sockjs_and_fetches_nothing_costs_little() -> Result<()> {
    let (app, mut ann) = crowded().await?;
    let before = resident(&app)?;
    for number in 0..STUCK {
        let session = format!("/sockjs/000/stuck-{number}");
        post(&app, &format!("{session}/xhr"), "").await?;
        let sent =
            post(&app, &format!("{session}/xhr_send"), &json!(questions(number, 20)).to_string()).await?;
        assert!(sent.starts_with("HTTP/1.1 204 "), "{sent}");
    }
    let cost = all_given_up(&app, &mut ann, before).await?;
    assert!(cost < MEMORY_MAX, "{STUCK} of them cost {} KiB", cost >> 10);
    Ok(())
}

#[tokio::test]
async fn bodies_for_nobody_cost_nothing() -> Result<()> {
    const LEN: usize = 262_000;
    let app = App::builder().config("[http]\nbody_timeout = 600\n").start().await?;
    let before = resident(&app)?;
    let mut held = Vec::new();
    for number in 0..STUCK {
        let mut stream = TcpStream::connect(app.address()).await?;
        let head = format!(
            "POST /sockjs/000/nobody-{number}/xhr_send HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LEN}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        // All but the last of it; that it is taken says that it was read, but for what the kernel keeps.
        stream.write_all(&vec![b'x'; LEN - 1]).await?;
        held.push(stream);
    }
    // Those that come to their end are answered: the others have been read as far.
    for stream in held.iter_mut().take(10) {
        stream.write_all(b"x").await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"HTTP/1.1 404");
    }
    let cost = resident(&app)?.saturating_sub(before);
    writeln!(std::io::stderr(), "{STUCK} bodies for nobody cost {} KiB", cost >> 10)?;
    assert!(cost < BODIES_MAX, "{STUCK} bodies for nobody cost {} KiB", cost >> 10);
    Ok(())
}
