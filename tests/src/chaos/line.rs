//! What a client speaks over: a WebSocket, or a transport of SockJS.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::device::Identity;
use crate::sockjs::{Client, Door};

/// How long a connection may take to be opened.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer may take before a connection is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(3);
/// Batches of frames that wait to be looked at; what comes then waits at the server.
const WAITING: usize = 4;

/// The ways in, in the order in which a device takes them. Every third is the plain one.
const WAYS: [Option<Door>; 9] = [
    None,
    Some(Door::WebSocket),
    Some(Door::XhrStreaming),
    None,
    Some(Door::XhrPolling),
    Some(Door::EventSource),
    None,
    Some(Door::HtmlFile),
    Some(Door::Jsonp),
];

/// One connection, or what stands for it.
#[derive(Debug)]
pub(super) enum Line {
    /// `/ws`.
    WebSocket(Box<WebSocketStream<TcpStream>>),
    /// `/sockjs`.
    SockJs(SockJs),
}

#[derive(Debug)]
pub(super) struct SockJs {
    client: Client,
    heard: mpsc::Receiver<Vec<String>>,
    waiting: VecDeque<String>,
    reader: JoinHandle<Option<u16>>,
}

/// The way for a session, by its number.
pub(super) fn way(number: usize) -> Option<Door> {
    WAYS[number % WAYS.len()]
}

/// What a way is called in a history.
pub(super) fn name(way: Option<Door>) -> String {
    way.map_or_else(|| "ws".to_owned(), |door| format!("{door:?}"))
}

/// Signs in without going on anywhere; gives the 1000 frame.
pub(super) async fn hello(line: &mut Line, identity: &Identity) -> Result<Value> {
    let data = json!({"name": identity.name, "token": identity.token});
    let hello = async {
        line.send(&json!({"type": "hello", "id": "hello", "data": data})).await?;
        line.frame().await
    };
    let ready = timeout(SILENCE, hello).await.context("no answer to hello")??;
    ensure!(ready["type"] == 1000, "not let in: {ready}");
    Ok(ready)
}

impl Line {
    /// Opens one on which nothing was said yet.
    pub(super) async fn open(address: SocketAddr, way: Option<Door>) -> Result<Self> {
        let Some(door) = way else {
            let open = async {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                anyhow::Ok(tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await?.0)
            };
            return Ok(Self::WebSocket(Box::new(timeout(PATIENCE, open).await.context("no connection")??)));
        };
        let client = Client::new(address, door);
        let (sender, heard) = mpsc::channel(WAITING);
        let listening = client.clone();
        let reader = tokio::spawn(async move { listening.listen(sender).await });
        Ok(Self::SockJs(SockJs { client, heard, waiting: VecDeque::new(), reader }))
    }

    pub(super) async fn send(&mut self, frame: &Value) -> Result<()> {
        match self {
            Self::WebSocket(socket) => Ok(socket.send(Message::text(frame.to_string())).await?),
            Self::SockJs(line) => line.client.send(&[frame.to_string()]).await,
        }
    }

    /// The next frame. What was not returned is there for the next call.
    pub(super) async fn frame(&mut self) -> Result<Value> {
        match self {
            Self::WebSocket(socket) => loop {
                match socket.next().await.context("cut")?? {
                    Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                    Message::Close(close) => bail!("closed by the server: {close:?}"),
                    _ => {}
                }
            },
            Self::SockJs(line) => loop {
                if let Some(text) = line.waiting.pop_front() {
                    return Ok(serde_json::from_str(&text)?);
                }
                match line.heard.recv().await {
                    Some(texts) => line.waiting.extend(texts),
                    None => bail!("closed by the server: {:?}", (&mut line.reader).await?),
                }
            },
        }
    }

    /// Says goodbye, where that can be said.
    pub(super) async fn close(&mut self) {
        if let Self::WebSocket(socket) = self {
            socket.close().await.ok();
        }
    }
}

impl Drop for SockJs {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
