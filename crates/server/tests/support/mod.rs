//! A server in this process, and clients that come over its port.
#![allow(dead_code, reason = "not every test needs everything")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use futures::{SinkExt, StreamExt};
use mqttchat::{Bridge, Builder, ChatServer, Cli, Config, Fenced, Layers};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A free port of this machine, for nobody else.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a server gets from these settings of a file.
pub(crate) fn settings_of(data: &Path, toml: &str) -> Config {
    let file = data.join("mqttchat.toml");
    std::fs::write(&file, toml).unwrap();
    let data = data.join("data").display().to_string();
    let file = file.display().to_string();
    let arguments = ["mqttchat", "--port", "0", "--data", &data, "--config", &file];
    let layers = Layers::read(&Cli::try_parse_from(arguments).unwrap().flags, []).unwrap();
    Config::check(&layers, None).unwrap()
}

/// A server that serves.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) bridge: Bridge,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), Fenced>>,
}

impl Running {
    pub(crate) async fn new(builder: Builder) -> Self {
        Self::of(builder.build().await.unwrap())
    }

    pub(crate) fn of(server: ChatServer) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, bridge) = (server.address(), server.bridge());
        let served = tokio::spawn(server.run_until(async { drop(stopped.await) }));
        Self { address, bridge, stop, served }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.served.await.unwrap().unwrap();
    }
}

/// A WebSocket client.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The 1000 frame, where there was one.
    pub(crate) ready: Value,
    seen: Vec<Value>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (socket, _) = connect_async(format!("ws://{address}/ws")).await.unwrap();
        Self { socket, ready: Value::Null, seen: Vec::new() }
    }

    /// One that is let in.
    pub(crate) async fn hello(address: SocketAddr, data: Value) -> Self {
        let mut client = Self::connect(address).await;
        client.send(json!({"type": "hello", "id": "hello", "data": data})).await;
        client.ready = client.expect(|frame| frame["re"] == "hello").await;
        assert_eq!(client.ready["type"], 1000, "{}", client.ready);
        client
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn say(&mut self, id: &str, dest: &str, text: &str) {
        self.send(json!({"type": "msg", "id": id, "dest": dest, "data": {"text": text}})).await;
    }

    async fn next(&mut self) -> Message {
        self.socket.next().await.expect("the connection was closed").unwrap()
    }

    /// The first frame that is the one, of those that came and were not expected yet.
    pub(crate) async fn expect(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.seen.iter().position(&is_it) {
            return self.seen.remove(at);
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let Ok(message) = tokio::time::timeout_at(deadline, self.next()).await else {
                panic!("it didn't come; these did: {:?}", self.seen);
            };
            if let Message::Text(text) = message {
                let frame = serde_json::from_str(&text).unwrap();
                if is_it(&frame) {
                    return frame;
                }
                self.seen.push(frame);
            }
        }
    }

    /// The code that the server closes with.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.expect("no code").code.into();
            }
        }
    }
}

/// Sends a request without a body; gives the whole answer.
pub(crate) async fn request(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
