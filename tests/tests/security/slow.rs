//! A thousand connections that want nothing.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result};
use mqttchat_e2e::App;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CONNECTIONS: usize = 1000;
/// What they may cost the server in all.
const MEMORY_MAX: u64 = 100 << 20;

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

#[tokio::test]
async fn a_thousand_slow_connections_cost_little_and_nobody_notices() -> Result<()> {
    open_many();
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let before = resident(app.process_id()?)?;
    let begun = [
        "",
        "GET / HTTP/1.1\r\nhost: local",
        "POST /sockjs/0/x/xhr_send HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\n[\"",
        "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ];
    let mut held = Vec::new();
    for number in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(app.address()).await?;
        stream.write_all(begun[number % begun.len()].as_bytes()).await?;
        held.push(stream);
        if number % 100 == 0 {
            let text = format!("undisturbed by {number}");
            ann.say("public", &text).await?;
            bob.expect_text(&text).await?;
        }
    }
    let cost = resident(app.process_id()?)?.saturating_sub(before);
    assert!(cost < MEMORY_MAX, "{CONNECTIONS} connections cost {} KiB", cost >> 10);
    writeln!(std::io::stderr(), "{CONNECTIONS} connections cost {} KiB", cost >> 10)?;
    let mut carol = app.member("Carol").await?;
    carol.say("public", "there is room for me").await?;
    bob.expect_text("there is room for me").await?;
    assert_eq!(app.get("/readyz").await?.status, 200);
    drop(held);
    Ok(())
}
