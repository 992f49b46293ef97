//! A client of `/sockjs`, one for each of its transports, by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

use crate::PATIENCE;

/// A transport of SockJS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A WebSocket in SockJS's framing.
    WebSocket,
    /// A response that goes on.
    XhrStreaming,
    /// A response for each frame.
    XhrPolling,
    /// Server-sent events.
    EventSource,
    /// A page of scripts that goes on.
    HtmlFile,
    /// A script for each frame.
    Jsonp,
}

/// A session, from the client's side.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    path: String,
    door: Door,
    /// Whether the server has said that the session is open.
    opened: Arc<watch::Sender<bool>>,
    /// What a WebSocket is to send.
    outgoing: mpsc::Sender<String>,
    to_send: Arc<Mutex<mpsc::Receiver<String>>>,
}

impl Client {
    /// A session with a fresh id; [`Client::listen`] opens it.
    #[must_use]
    pub fn new(address: SocketAddr, door: Door) -> Self {
        let (outgoing, to_send) = mpsc::channel(64);
        Self {
            address,
            path: format!("/sockjs/000/{}", uuid::Uuid::new_v4()),
            door,
            opened: Arc::new(watch::Sender::new(false)),
            outgoing,
            to_send: Arc::new(Mutex::new(to_send)),
        }
    }

    /// Sends messages together.
    ///
    /// # Errors
    /// When the server doesn't take them.
    pub async fn send<T: AsRef<str>>(&self, texts: &[T]) -> Result<()> {
        let body = Value::from(texts.iter().map(AsRef::as_ref).collect::<Vec<&str>>()).to_string();
        if self.door == Door::WebSocket {
            return self.outgoing.send(body).await.context("cannot send");
        }
        let mut opened = self.opened.subscribe();
        let open = opened.wait_for(|opened| *opened);
        tokio::time::timeout(PATIENCE, open).await.context("no session within 30 s")??;
        let door = if self.door == Door::Jsonp { "jsonp_send" } else { "xhr_send" };
        let response = self.request(Method::POST, door, body).await?;
        if !response.status().is_success() {
            bail!("{door} was answered with {}", response.status());
        }
        Ok(())
    }

    /// Receives until the end; `heard` gets messages in the order of their arrival, and nothing more is read while it
    /// has no room. Gives the code of the close frame, if there was one.
    pub async fn listen(&self, heard: mpsc::Sender<Vec<String>>) -> Option<u16> {
        if self.door == Door::WebSocket {
            return self.listen_to_socket(&heard).await.unwrap_or_default();
        }
        loop {
            match self.receive(&heard).await {
                Ok(None) => {}
                Ok(Some(code)) => return Some(code),
                Err(_) => return None,
            }
        }
    }

    /// Lets [`Client::send`] send: somebody else has heard that the session is open.
    pub fn opened(&self) {
        self.opened.send_replace(true);
    }

    /// The path of the session.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Makes one receiving request, and gives its messages.
    ///
    /// # Errors
    /// When the connection or the session ends.
    pub async fn receive_once(&self) -> Result<Vec<String>> {
        let (sender, mut heard) = mpsc::channel(1);
        let received = async {
            let received = self.receive(&sender).await;
            drop(sender);
            received
        };
        let all = async {
            let mut all = Vec::new();
            while let Some(texts) = heard.recv().await {
                all.extend(texts);
            }
            all
        };
        let both = async { tokio::join!(received, all) };
        let (received, all) =
            tokio::time::timeout(PATIENCE, both).await.context("nothing came within 30 s")?;
        match received? {
            Some(code) => bail!("closed with {code}"),
            None => Ok(all),
        }
    }

    /// One receiving request, to its end.
    async fn receive(&self, hear: &mpsc::Sender<Vec<String>>) -> Result<Option<u16>> {
        let (method, door) = match self.door {
            Door::XhrPolling => (Method::POST, "xhr"),
            Door::XhrStreaming => (Method::POST, "xhr_streaming"),
            Door::EventSource => (Method::GET, "eventsource"),
            Door::HtmlFile => (Method::GET, "htmlfile?c=cb"),
            Door::Jsonp | Door::WebSocket => (Method::GET, "jsonp?c=cb"),
        };
        let response = self.request(method, door, String::new()).await?;
        if response.status() != StatusCode::OK {
            bail!("{door} was answered with {}", response.status());
        }
        let mut body = response.into_body();
        let mut waiting = Vec::new();
        while let Some(piece) = body.frame().await {
            waiting.extend_from_slice(&piece?.into_data().unwrap_or_default());
            while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                let Some(frame) = self.frame_in(std::str::from_utf8(&line)?.trim_end())? else { continue };
                if let Some(code) = self.heard(&frame, hear).await? {
                    return Ok(Some(code));
                }
            }
        }
        Ok(None)
    }

    /// The frame that a line of a response carries.
    fn frame_in(&self, line: &str) -> Result<Option<String>> {
        let unquote = |script: &str, before: &str| match script.strip_prefix(before) {
            Some(script) => {
                let quoted = script.strip_suffix(");").context("a call ends in );")?;
                serde_json::from_str::<String>(quoted).map(Some).context("a call with a string")
            }
            None => Ok(None),
        };
        match self.door {
            Door::EventSource => Ok(line.strip_prefix("data: ").map(str::to_owned)),
            Door::HtmlFile if line.starts_with("p(\"") => unquote(line, "p("),
            Door::HtmlFile => Ok(None),
            Door::Jsonp => unquote(line, "/**/cb("),
            _ => Ok((!line.starts_with("hh")).then(|| line.to_owned())),
        }
    }

    async fn listen_to_socket(&self, hear: &mpsc::Sender<Vec<String>>) -> Result<Option<u16>> {
        let url = format!("ws://{}{}/websocket", self.address, self.path);
        let (mut stream, _) = tokio_tungstenite::connect_async(url).await?;
        let mut to_send = self.to_send.lock().await;
        loop {
            let message = tokio::select! {
                message = stream.next() => message.context("cut")??,
                Some(text) = to_send.recv() => {
                    stream.send(Message::text(text)).await?;
                    continue;
                }
            };
            let Message::Text(text) = message else { continue };
            if let Some(code) = self.heard(&text, hear).await? {
                return Ok(Some(code));
            }
        }
    }

    /// Reads a frame; gives the code of one that closes.
    async fn heard(&self, frame: &str, hear: &mpsc::Sender<Vec<String>>) -> Result<Option<u16>> {
        match frame.split_at_checked(1) {
            Some(("a", texts)) => hear.send(serde_json::from_str(texts)?).await.context("nobody listens")?,
            Some(("c", close)) => return Ok(Some(serde_json::from_str::<(u16, String)>(close)?.0)),
            Some(("o", "")) => self.opened(),
            Some(("h", "")) => {}
            _ => bail!("no frame: {frame:?}"),
        }
        Ok(None)
    }

    async fn request(&self, method: Method, door: &str, body: String) -> Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the response, or when that is dropped.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{door}", self.path))
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "text/plain")
            .body(Full::new(Bytes::from(body)))?;
        Ok(sender.send_request(request).await?)
    }
}
