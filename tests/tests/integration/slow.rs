//! Somebody whose connection takes nothing any more.

use anyhow::{Context, Result};
use futures::{SinkExt, StreamExt};
use mqttchat_e2e::{App, eventually};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A signed-in session in the public conversation that reads only when it is asked to.
async fn sloth(app: &App, token: &str, resume: Value) -> Result<WebSocketStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let stream = socket.connect(app.address()).await?;
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{}/ws", app.address()), stream).await?;
    let hello = json!({"type": "hello", "id": "h1", "data": {"name": "Sloth", "token": token, "log": resume["log"], "resume": resume["at"]}});
    socket.send(Message::text(hello.to_string())).await?;
    Ok(socket)
}

/// How many sessions the server has.
async fn sessions(app: &App) -> Result<u64> {
    let ready: Value = serde_json::from_str(&app.get("/readyz").await?.body)?;
    ready["sessions"].as_u64().context("no number of sessions")
}

#[tokio::test]
async fn who_takes_nothing_is_closed_and_has_lost_nothing_afterwards() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let sleeper = app.member("Sloth").await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let mut sloth_socket =
        sloth(&app, &sleeper.token, json!({"log": sleeper.log, "at": {"public": 0}})).await?;
    let ready = sloth_socket.next().await.context("no answer to hello")??;
    assert!(ready.to_text()?.starts_with(r#"{"type":1000"#), "{ready}");

    // So does a stream of events.
    let alone = sessions(&app).await?;
    let stream = TcpSocket::new_v4()?;
    stream.set_recv_buffer_size(4096)?;
    let mut stream = stream.connect(app.address()).await?;
    let follow = format!(
        "GET /api/v1/events?dest=public HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        sleeper.token
    );
    stream.write_all(follow.as_bytes()).await?;
    eventually("the stream", async || Ok((sessions(&app).await? > alone).then_some(()))).await?;

    // Far more than the kernel's buffers and the server's ring hold; nobody else notices.
    let text = "x".repeat(4000);
    let before = sessions(&app).await?;
    let mut last = 0;
    for round in 0..40 {
        let message = |n| json!({"type": "msg", "id": format!("{round}-{n}"), "dest": "public", "data": {"text": text}});
        ann.send_together(&(0..100).map(message).collect::<Vec<_>>()).await?;
        last = ann.expect_accepted(&format!("{round}-99")).await?.seq;
    }
    eventually(
        "the server to give both up",
        async || Ok((sessions(&app).await? + 2 <= before).then_some(())),
    )
    .await?;
    bob.expect_where("the last message", |frame| frame["type"] == "msg" && frame["seq"] == last).await?;

    // What was on its way is still there to be read, without a hole; then the socket ends before the newest.
    let mut seqs = Vec::new();
    let mut closed = false;
    while let Some(message) = sloth_socket.next().await {
        match message {
            Ok(Message::Text(text)) => {
                let frame: Value = serde_json::from_str(&text)?;
                seqs.extend(frame["seq"].as_u64().filter(|_| frame["type"] == "msg"));
            }
            Ok(Message::Close(close)) => {
                closed = true;
                let code = close.map(|close| u16::from(close.code));
                assert!(matches!(code, None | Some(4413)), "{code:?}");
            }
            Ok(_) => {}
            Err(_) => {
                closed = true;
                break;
            }
        }
        if seqs.last() == Some(&last) {
            break;
        }
    }
    assert!(closed, "it was never closed, and got everything up to {:?} of {last}", seqs.last());
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole in {seqs:?}");

    let at = seqs.last().copied().unwrap_or_default();
    let mut back = sleeper.resume(app.address(), &[("public", at)]).await?;
    back.expect_where("the last message", |frame| frame["type"] == "msg" && frame["seq"] == last).await?;
    let log = back.history("public", json!({"after": at, "limit": 1})).await?;
    assert_eq!(log["messages"][0]["seq"], at + 1);
    Ok(())
}

#[tokio::test]
async fn who_is_slow_but_reads_gets_everything() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let reader = app.member("Sloth").await?;
    let mut ann = app.member("Ann").await?;
    let mut socket = sloth(&app, &reader.token, json!({"log": reader.log, "at": {"public": 0}})).await?;
    let ready = socket.next().await.context("no answer to hello")??;
    assert!(ready.to_text()?.starts_with(r#"{"type":1000"#), "{ready}");
    let (mut seqs, mut last) = (Vec::new(), 0);
    // It reads one message of a hundred, so 8 MB wait for it in the end: far more than the ring keeps.
    for batch in 0..20 {
        let text = "x".repeat(4000);
        let message = |n| json!({"type": "msg", "id": format!("{batch}-{n}"), "dest": "public", "data": {"text": text}});
        ann.send_together(&(0..100).map(message).collect::<Vec<_>>()).await?;
        last = ann.expect_accepted(&format!("{batch}-99")).await?.seq;
        seqs.extend(next_seq(&mut socket).await?);
    }
    assert_eq!(last, 2000);
    while seqs.last() != Some(&last) {
        seqs.extend(next_seq(&mut socket).await.with_context(|| format!("after {:?}", seqs.last()))?);
    }
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
    Ok(())
}

/// The `seq` of the next frame, if it is a message.
async fn next_seq(socket: &mut WebSocketStream<TcpStream>) -> Result<Option<u64>> {
    let message = socket.next().await.context("closed")??;
    let frame: Value = serde_json::from_str(message.to_text().unwrap_or("null")).unwrap_or_default();
    Ok(frame["seq"].as_u64().filter(|_| frame["type"] == "msg"))
}
