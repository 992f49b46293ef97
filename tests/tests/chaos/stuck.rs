//! Many who take nothing, while everybody talks.

use anyhow::{Context, Result};
use futures::{SinkExt, StreamExt};
use mqttchat_e2e::{App, User, eventually};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const STUCK: usize = 20;
/// Each has 4 kB: for all who are stuck together more than half a gigabyte.
const MESSAGES: usize = 8000;
const AT_ONCE: usize = 100;
/// How much more memory the server may use at most, in kB. Its caches and buffers have bounds of their own.
const MORE: u64 = 96 * 1024;

/// Memory that a process has in use, in kB.
fn resident(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// A session of somebody in the public conversation of which nobody reads anything yet.
async fn stuck(app: &App, user: &User) -> Result<WebSocketStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let stream = socket.connect(app.address()).await?;
    let url = format!("ws://{}/ws", app.address());
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    let data = json!({"name": user.name(), "token": user.token, "log": user.log, "resume": {"public": 0}});
    socket.send(Message::text(json!({"type": "hello", "id": "h1", "data": data}).to_string())).await?;
    let ready = socket.next().await.context("no answer to hello")??;
    anyhow::ensure!(ready.to_text()?.starts_with(r#"{"type":1000"#), "{ready}");
    Ok(socket)
}

/// Reads what is still on its way to somebody who was stuck; gives the places, and how it ended.
async fn drain(socket: &mut WebSocketStream<TcpStream>) -> Result<(Vec<u64>, Option<u16>)> {
    let (mut seqs, mut code) = (Vec::new(), None);
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text)?;
                seqs.extend(frame["seq"].as_u64().filter(|_| frame["type"] == "msg"));
            }
            Message::Close(close) => code = close.map(|close| u16::from(close.code)),
            _ => {}
        }
    }
    Ok((seqs, code))
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_stuck_readers_cost_no_memory_and_lose_nothing() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.member("Ann").await?;
    let mut sleepers = Vec::new();
    for number in 0..STUCK {
        let user = app.user(&format!("Sleeper {number}")).await?;
        let socket = stuck(&app, &user).await?;
        sleepers.push((user, socket));
    }
    let before = resident(app.process_id()?)?;
    let mut most = before;
    let text = "x".repeat(4000);
    let mut last = 0;
    for batch in 0..MESSAGES / AT_ONCE {
        let message = |n| json!({"type": "msg", "id": format!("{batch}-{n}"), "dest": "public", "data": {"text": text}});
        ann.send_together(&(0..AT_ONCE).map(message).collect::<Vec<_>>()).await?;
        last = ann.expect_accepted(&format!("{batch}-{}", AT_ONCE - 1)).await?.seq;
        most = most.max(resident(app.process_id()?)?);
    }
    assert_eq!(last, MESSAGES as u64);
    // All of them are given up, without having read.
    let sessions = async || {
        most = most.max(resident(app.process_id()?)?);
        let metrics = app.get("/metrics").await?.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("mqttchat_sessions "));
        let open: f64 = line.context("no mqttchat_sessions")?.parse()?;
        Ok((open <= (STUCK + 1) as f64).then_some(()))
    };
    eventually("the stuck to be closed", sessions).await?;
    assert!(most < before + MORE, "{before} kB in the beginning, {most} kB at most");

    for (user, mut socket) in sleepers {
        let (seqs, code) = drain(&mut socket).await?;
        assert!(matches!(code, None | Some(4413)), "{code:?}");
        assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole in {seqs:?}");
        let at = seqs.last().copied().unwrap_or(0);
        assert!(at < last, "it was never stuck");
        let mut back = user.resume(app.address(), &[("public", at)]).await?;
        let is_last = |frame: &Value| frame["type"] == "msg" && frame["seq"] == last;
        back.expect_where("the last message", is_last).await?;
        let live: Vec<_> = back.seen_of("msg").iter().filter_map(|frame| frame["seq"].as_u64()).collect();
        let next = match back.seen_of("gap").first() {
            Some(gap) => {
                assert_eq!(gap["data"]["after"], at);
                gap["data"]["before"].as_u64().context("a gap without an end")?
            }
            None => at + 1,
        };
        assert_eq!(live, (next..=last).collect::<Vec<_>>());
        let page = back.history("public", json!({"after": at, "limit": 1})).await?;
        assert_eq!(page["messages"][0]["seq"], at + 1);
    }
    Ok(())
}
