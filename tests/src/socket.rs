//! A bare WebSocket of the chat that remembers every frame it heard.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::PATIENCE;
use crate::https::{Certificate, VERSIONS};
use crate::sockjs::{self, Door};

type Stream = WebSocketStream<Box<dyn Bytes>>;

/// What bytes come and go by: a connection, with TLS or without.
trait Bytes: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Bytes for T {}

#[derive(Debug)]
enum Sink {
    WebSocket(SplitSink<Stream, Message>),
    SockJs(sockjs::Client),
}

/// One end of `/ws`, or of `/sockjs`. A task of its own reads all the time, so that pings are answered and nothing
/// waits in the kernel; [`Socket::expect`] then looks for frames in what was heard.
#[derive(Debug)]
pub struct Socket {
    sink: Sink,
    heard: Arc<Heard>,
    reader: JoinHandle<()>,
    pings: u32,
}

#[derive(Debug, Default)]
struct Heard {
    frames: Mutex<Frames>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Frames {
    /// All text frames, in the order of their arrival.
    seen: Vec<Utf8Bytes>,
    /// Those that no `expect` has taken yet, with their places in `seen`.
    unread: VecDeque<(usize, Value)>,
    ended: Option<Ending>,
}

/// How a socket came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By a close frame with this code.
    Closed(u16),
    /// By a close frame without a code, or with none at all.
    Cut,
}

impl Socket {
    /// Opens `/ws` as a program would: no origin, no subprotocol.
    ///
    /// # Errors
    /// When the server does not upgrade the connection.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let request = format!("ws://{address}/ws").into_client_request()?;
        Ok(Self::connect_with(request).await?.0)
    }

    /// Opens a WebSocket with this request, and gives the server's answer too.
    ///
    /// # Errors
    /// When the server does not upgrade the connection.
    pub async fn connect_with(request: Request) -> Result<(Self, Response)> {
        let address = request.uri().authority().context("no address")?.to_string();
        let opening = async { Self::open(Box::new(TcpStream::connect(address).await?), request).await };
        tokio::time::timeout(PATIENCE, opening).await.context("no upgrade in 30 s")?
    }

    /// Opens `/ws` over TLS, of a server that has this certificate.
    ///
    /// # Errors
    /// When it has another, or does not upgrade the connection.
    pub async fn by_tls(certificate: &Certificate, address: SocketAddr) -> Result<Self> {
        let stream = certificate.connect(address, &VERSIONS).await?;
        let opening = Self::open(Box::new(stream), format!("wss://{address}/ws").into_client_request()?);
        Ok(tokio::time::timeout(PATIENCE, opening).await.context("no upgrade in 30 s")??.0)
    }

    async fn open(bytes: Box<dyn Bytes>, request: Request) -> Result<(Self, Response)> {
        let (stream, response) = client_async(request, bytes).await?;
        let (sink, stream) = stream.split();
        let heard = Arc::new(Heard::default());
        let reader = tokio::spawn(Arc::clone(&heard).listen(stream));
        Ok((Self { sink: Sink::WebSocket(sink), heard, reader, pings: 0 }, response))
    }

    /// Opens a SockJS session of its own.
    #[must_use]
    pub fn over(address: SocketAddr, door: Door) -> Self {
        let client = sockjs::Client::new(address, door);
        let heard = Arc::new(Heard::default());
        let reader = tokio::spawn(Arc::clone(&heard).listen_to(client.clone()));
        Self { sink: Sink::SockJs(client), heard, reader, pings: 0 }
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        self.send_raw(Message::text(frame.to_string())).await
    }

    /// Sends a text message, whatever it says.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        self.send_raw(Message::text(text)).await
    }

    /// Sends a WebSocket message of any kind.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send_raw(&mut self, message: Message) -> Result<()> {
        match (&mut self.sink, message) {
            (Sink::WebSocket(sink), message) => sink.send(message).await.context("cannot send"),
            (Sink::SockJs(client), Message::Text(text)) => client.send(&[text.as_str()]).await,
            (Sink::SockJs(_), message) => bail!("SockJS carries text only, not {message}"),
        }
    }

    /// Sends a text message in two frames, of which the first has so many bytes.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send_in_parts(&mut self, text: &str, first: usize) -> Result<()> {
        let (first, rest) = text.split_at(first);
        for (part, kind, is_last) in [(first, Data::Text, false), (rest, Data::Continue, true)] {
            let frame = Frame::message(part.to_owned(), OpCode::Data(kind), is_last);
            self.send_raw(Message::Frame(frame)).await?;
        }
        Ok(())
    }

    /// Puts frames into one write to the network.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send_together(&mut self, frames: &[Value]) -> Result<()> {
        let texts: Vec<String> = frames.iter().map(Value::to_string).collect();
        match &mut self.sink {
            Sink::WebSocket(sink) => {
                for text in texts {
                    sink.feed(Message::text(text)).await.context("cannot send")?;
                }
                sink.flush().await.context("cannot send")
            }
            Sink::SockJs(client) => client.send(&texts).await,
        }
    }

    /// Takes the first unread frame of this type: a string for data, an integer for transport.
    ///
    /// # Errors
    /// When none has come within 30 s, or the socket has ended without one.
    pub async fn expect(&self, kind: impl Into<Value>) -> Result<Value> {
        let kind = kind.into();
        self.expect_where(&format!("a frame of type {kind}"), |frame| frame["type"] == kind).await
    }

    /// Takes the `error` that answers the frame with this id.
    ///
    /// # Errors
    /// As [`Socket::expect`]; or when the error is incomplete or has another code.
    pub async fn expect_error(&self, re: impl Into<Value>, code: &str) -> Result<Value> {
        let re = re.into();
        let what = format!("error {code} about {re}");
        let is_it =
            |frame: &Value| frame["type"] == "error" && frame.get("re").unwrap_or(&Value::Null) == &re;
        let frame = self.expect_where(&what, is_it).await?;
        let data = &frame["data"];
        if data["code"] != code {
            bail!("expected {what}, and got {frame}");
        }
        let reason = data["reason"].as_str().unwrap_or_default();
        if reason.trim().is_empty() || reason.contains('\n') || !data["retry"].is_boolean() {
            bail!("an error has one sentence as its reason, and says whether to retry: {frame}");
        }
        Ok(frame)
    }

    /// Takes the first unread frame for which `is_it` holds. Frames before it stay unread.
    ///
    /// # Errors
    /// As [`Socket::expect`]; `what` says in the error what was missed.
    pub async fn expect_where(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut looked_at = 0;
        loop {
            let more = self.heard.more.notified();
            {
                let mut frames = self.heard.lock();
                let from = frames.unread.partition_point(|(place, _)| *place < looked_at);
                if let Some(found) = frames.unread.range(from..).position(|(_, frame)| is_it(frame)) {
                    let (_, frame) = frames.unread.remove(from + found).context("a frame got lost")?;
                    return Ok(frame);
                }
                looked_at = frames.seen.len();
                if let Some(ending) = frames.ended {
                    bail!("the socket ended ({ending:?}) without {what}; last seen: {}", frames.tail());
                }
            }
            if tokio::time::timeout_at(deadline, more).await.is_err() {
                bail!("{what} did not come; last seen: {}", self.heard.lock().tail());
            }
        }
    }

    /// Waits until the server has closed the socket.
    ///
    /// # Errors
    /// When it is still open after 30 s.
    pub async fn expect_end(&self) -> Result<Ending> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = self.heard.more.notified();
            if let Some(ending) = self.heard.lock().ended {
                return Ok(ending);
            }
            if tokio::time::timeout_at(deadline, more).await.is_err() {
                bail!("the socket is still open; last seen: {}", self.heard.lock().tail());
            }
        }
    }

    /// Sends a ping of the protocol and waits for its pong: everything sent before was looked at.
    ///
    /// # Errors
    /// When no pong comes.
    pub async fn ping(&mut self) -> Result<()> {
        self.pings += 1;
        self.send(&json!({"type": 1001, "id": format!("ping-{}", self.pings)})).await?;
        self.expect(1002).await?;
        Ok(())
    }

    /// All frames heard so far, read and unread.
    #[must_use]
    pub fn seen(&self) -> Vec<Value> {
        let seen = self.heard.lock().seen.clone();
        seen.iter().map(|text| parse(text)).collect()
    }

    /// Those of one type.
    #[must_use]
    pub fn seen_of(&self, kind: impl Into<Value>) -> Vec<Value> {
        let kind = kind.into();
        self.seen().into_iter().filter(|frame| frame["type"] == kind).collect()
    }

    /// How many frames were heard so far.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.heard.lock().seen.len()
    }

    /// Closes the socket in the orderly way and waits for the answer. SockJS knows no such way: its client leaves.
    ///
    /// # Errors
    /// When the server does not answer the close frame.
    pub async fn close(&mut self) -> Result<()> {
        match &mut self.sink {
            Sink::WebSocket(sink) => {
                sink.close().await.ok();
                self.expect_end().await?;
            }
            Sink::SockJs(_) => self.reader.abort(),
        }
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self: Arc<Self>, mut stream: SplitStream<Stream>) {
        let mut ending = Ending::Cut;
        while let Some(Ok(message)) = stream.next().await {
            match message {
                Message::Text(text) => {
                    let mut frames = self.lock();
                    let place = frames.seen.len();
                    frames.unread.push_back((place, parse(&text)));
                    frames.seen.push(text);
                }
                Message::Close(Some(close)) => ending = Ending::Closed(close.code.into()),
                _ => {}
            }
            self.more.notify_waiters();
        }
        self.lock().ended = Some(ending);
        self.more.notify_waiters();
    }
}

impl Heard {
    async fn listen_to(self: Arc<Self>, client: sockjs::Client) {
        let (sender, mut heard) = mpsc::channel::<Vec<String>>(1);
        let hear = async {
            while let Some(texts) = heard.recv().await {
                let mut frames = self.lock();
                for text in texts {
                    let place = frames.seen.len();
                    frames.unread.push_back((place, parse(&text)));
                    frames.seen.push(text.into());
                }
                drop(frames);
                self.more.notify_waiters();
            }
        };
        let (ended, ()) = tokio::join!(client.listen(sender), hear);
        self.lock().ended = Some(ended.map_or(Ending::Cut, Ending::Closed));
        self.more.notify_waiters();
    }
}

impl Frames {
    /// The last few frames, for the message of a failed test.
    fn tail(&self) -> String {
        let from = self.seen.len().saturating_sub(8);
        let shown = self.seen[from..].iter().map(|text| text.chars().take(400).collect::<String>());
        shown.collect::<Vec<_>>().join("\n  ")
    }
}

/// What is no JSON becomes a string, so that it shows up in the failing assertion.
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
