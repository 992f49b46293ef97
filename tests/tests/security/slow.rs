//! A thousand connections that want nothing.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result};
use mqttchat_e2e::https::{Certificate, VERSIONS};
use mqttchat_e2e::{App, Socket, User, eventually};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 1000;
/// What they may cost the server in all.
const MEMORY_MAX: u64 = 100 << 20;

/// Nobody is given up while the test runs, however busy the machine is.
const PATIENT: &str = "[http]\nheader_timeout = 600\nbody_timeout = 600\n";

const UPGRADE: &str = "host: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Resident memory of a process, in bytes.
fn resident(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes << 10)
}

/// Lets this process open as many files as it needs.
fn open_many() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
}

/// Waits until the server has so many connections, as its metrics say.
async fn counted(metrics: impl AsyncFn() -> Result<String>, connections: usize) -> Result<()> {
    eventually(&format!("{connections} connections"), async || {
        let metrics = metrics().await?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("mqttchat_http_connections "));
        let count: usize = line.context("the metric isn't there")?.trim().parse()?;
        Ok((count >= connections).then_some(()))
    })
    .await
}

/// Opens a WebSocket by hand, and waits for the server's yes.
async fn upgraded<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, path: &str) -> Result<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{UPGRADE}").as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        anyhow::ensure!(stream.read_buf(&mut answer).await? > 0, "it was closed");
    }
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// What somebody says reaches the other as always.
async fn undisturbed(ann: &mut User, bob: &User, by: usize) -> Result<()> {
    let text = format!("undisturbed by {by}");
    ann.say("public", &text).await?;
    bob.expect_text(&text).await?;
    Ok(())
}

fn cheap(app: &App, before: u64) -> Result<()> {
    let cost = resident(app.process_id()?)?.saturating_sub(before);
    writeln!(std::io::stderr(), "{CONNECTIONS} connections cost {} KiB", cost >> 10)?;
    assert!(cost < MEMORY_MAX, "{CONNECTIONS} connections cost {} KiB", cost >> 10);
    Ok(())
}

#[tokio::test]
async fn a_thousand_slow_connections_cost_little_and_nobody_notices() -> Result<()> {
    open_many();
    let app = App::builder().config(PATIENT).start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let before = resident(app.process_id()?)?;
    let slow_body = format!(
        "POST /api/v1/public HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 60000\r\n\r\nI",
        bob.token
    );
    let begun = [
        "",
        "GET / HTTP/1.1\r\nhost: local",
        "POST /sockjs/0/x/xhr_send HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\n[\"",
        &slow_body,
    ];
    let mut held = Vec::new();
    for number in 0..CONNECTIONS - CONNECTIONS / 4 {
        let mut stream = TcpStream::connect(app.address()).await?;
        stream.write_all(begun[number % begun.len()].as_bytes()).await?;
        held.push(stream);
        if number % 100 == 0 {
            undisturbed(&mut ann, &bob, number).await?;
        }
    }
    // These say no hello, for which the server waits 10 s: so they come last.
    for number in held.len()..CONNECTIONS {
        let mut stream = TcpStream::connect(app.address()).await?;
        upgraded(&mut stream, "/ws").await?;
        // Half of them have sent a part of a large frame.
        if number % 2 == 0 {
            stream.write_all(&[0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0, b'{']).await?;
        }
        held.push(stream);
    }
    counted(async || Ok(app.get("/metrics").await?.body), CONNECTIONS + 2).await?;
    cheap(&app, before)?;
    undisturbed(&mut ann, &bob, CONNECTIONS).await?;
    let mut carol = app.member("Carol").await?;
    carol.say("public", "there is room for me").await?;
    bob.expect_text("there is room for me").await?;
    assert_eq!(app.get("/readyz").await?.status, 200);
    drop(held);
    Ok(())
}

/// All but the last byte of a message of spaces.
fn unfinished(length: u32) -> Vec<u8> {
    let mut message = match u16::try_from(length) {
        Ok(length) => [&[0x81, 0xfe], &length.to_be_bytes()[..], &[0; 4]].concat(),
        Err(_) => [&[0x81, 0xff], &u64::from(length).to_be_bytes()[..], &[0; 4]].concat(),
    };
    message.resize(message.len() + length as usize - 1, b' ');
    message
}

#[tokio::test]
async fn a_thousand_large_messages_without_an_end_cost_little_and_nobody_notices() -> Result<()> {
    open_many();
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let before = resident(app.process_id()?)?;
    let doors = [("/ws", unfinished(60_000)), ("/sockjs/0/x/websocket", unfinished(240_000))];
    let mut held = Vec::new();
    for number in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(app.address()).await?;
        let (path, message) = &doors[number % doors.len()];
        upgraded(&mut stream, path).await?;
        // It may be refused before all of it is taken.
        let _ = stream.write_all(message).await;
        held.push(stream);
        if number % 100 == 99 {
            undisturbed(&mut ann, &bob, number).await?;
            cheap(&app, before)?;
        }
    }
    drop(held);
    let frame = json!({"type": "msg", "id": "large", "dest": "public", "data": {"note": "x".repeat(12_000), "text": "large"}});
    eventually("a large message to be taken", async || {
        ann.send_in_parts(&frame.to_string(), 10_000).await?;
        let answer =
            ann.expect_where("an answer", |frame| frame["type"] == 100 || frame["type"] == "error").await?;
        Ok((answer["type"] == 100).then_some(()))
    })
    .await?;
    bob.expect_text("large").await?;
    Ok(())
}

#[tokio::test]
async fn a_thousand_half_open_ones_by_tls_cost_little_and_nobody_notices() -> Result<()> {
    open_many();
    let certificate = Certificate::make()?;
    let app = App::builder().args(certificate.args()).config(PATIENT).start().await?;
    let user = async |name: &str| {
        let socket = Socket::by_tls(&certificate, app.address()).await?;
        let mut user = User::hello_over(socket, app.address(), &json!({"name": name})).await?;
        user.join("public").await?;
        anyhow::Ok(user)
    };
    let (mut ann, bob) = (user("Ann").await?, user("Bob").await?);
    let before = resident(app.process_id()?)?;
    // The first half hasn't shaken hands, the other half has, and then says no more than this.
    let mut half = Vec::new();
    for number in 0..CONNECTIONS / 2 {
        let mut stream = TcpStream::connect(app.address()).await?;
        if number % 2 == 0 {
            // The head of a ClientHello of 512 bytes, and its first ones.
            stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await?;
        }
        half.push(stream);
        if number % 100 == 0 {
            undisturbed(&mut ann, &bob, number).await?;
        }
    }
    let begun = [
        "",
        "GET / HTTP/1.1\r\nhost: local",
        "POST /sockjs/0/x/xhr_send HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\n[\"",
    ];
    let mut held = Vec::new();
    for number in CONNECTIONS / 2..CONNECTIONS {
        let mut stream = certificate.connect(app.address(), &[VERSIONS[number % 2]]).await?;
        stream.write_all(begun[number % begun.len()].as_bytes()).await?;
        held.push(stream);
        if number % 100 == 0 {
            undisturbed(&mut ann, &bob, number).await?;
        }
    }
    counted(async || certificate.get(app.address(), "/metrics").await, CONNECTIONS + 2).await?;
    cheap(&app, before)?;
    undisturbed(&mut ann, &bob, CONNECTIONS).await?;
    drop((half, held));
    Ok(())
}
