//! WebSockets by tokio-tungstenite: framed, or raw.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use warp::http::StatusCode;
use warp::http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};

use crate::frame;
use crate::link::{Frame, Link};
use crate::receiver::{self, Receiver};
use crate::reply::{self, Reply};
use crate::request::{Framing, Request};
use crate::service::SockJs;
use crate::session::Opener;

/// How long a client may take nothing.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Answers a request that asks for a WebSocket, and runs a session over it.
pub(crate) fn upgrade(service: &SockJs, request: Request, framing: Framing) -> Reply {
    let opener = Opener::of(&request);
    let version = request.headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    let key = request.headers.get(SEC_WEBSOCKET_KEY).filter(|_| version == Some(b"13"));
    let accept = key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
    let (Some(accept), Some(upgrade)) = (accept, request.upgrade) else {
        return reply::error(StatusCode::BAD_REQUEST, "Only WebSocket version 13 is spoken here.\n");
    };
    let service = service.clone();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let link = service.link(framing == Framing::SockJs);
                let Ok(receiver) = Receiver::attach(&link, service.options().heartbeat).await else { return };
                tokio::spawn(service.handle(&link, opener));
                let config = WebSocketConfig::default()
                    .max_message_size(Some(service.options().body_limit))
                    .max_frame_size(Some(service.options().body_limit));
                let stream =
                    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config))
                        .await;
                Pump { stream, receiver, framing, pinged: None }.run(&link).await;
            }
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    let mut reply = reply::bare(StatusCode::SWITCHING_PROTOCOLS);
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    reply
}

/// Takes a session's frames to a WebSocket, and its messages to the session.
struct Pump {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    receiver: Receiver,
    framing: Framing,
    pinged: Option<Instant>,
}

impl Pump {
    /// Until one of the two ends it. While one direction waits, so does the other: a client that doesn't read what it
    /// is sent has to stop sending.
    async fn run(mut self, link: &Link) {
        loop {
            let receiver = &mut self.receiver;
            tokio::select! {
                frame = poll_fn(|cx| receiver.poll_frame(cx)) => {
                    let Some(frame) = frame else { return };
                    if matches!(frame, Frame::Heartbeat | Frame::Ping) && !self.ping(link).await {
                        return;
                    }
                    if !tokio::time::timeout(WRITE_PATIENCE, self.write(frame)).await.unwrap_or(false) {
                        return;
                    }
                }
                message = self.stream.next() => {
                    let Some(Ok(message)) = message else { return };
                    link.hear();
                    if !self.read(message, link).await {
                        return;
                    }
                }
            }
        }
    }

    /// Asks for a sign of life; false when the last one that was asked for hasn't come.
    async fn ping(&mut self, link: &Link) -> bool {
        if self.pinged.is_some_and(|pinged| link.last_heard() < pinged) {
            return false;
        }
        self.pinged = Some(Instant::now());
        let ping = self.stream.send(Message::Ping(Vec::new().into()));
        matches!(tokio::time::timeout(WRITE_PATIENCE, ping).await, Ok(Ok(())))
    }

    /// False at the session's end.
    async fn write(&mut self, frame: Frame) -> bool {
        let sent = match (&frame, self.framing) {
            (Frame::Open | Frame::Heartbeat | Frame::Ping, Framing::Raw) => Ok(()),
            (Frame::Messages(texts), Framing::Raw) => {
                let mut sent = Ok(());
                for text in texts {
                    sent = sent.and(self.stream.send(Message::text(text.as_str())).await);
                }
                sent
            }
            (Frame::Close(code, reason), Framing::Raw) => {
                self.close(*code, reason).await;
                return false;
            }
            (Frame::Close(code, reason), Framing::SockJs) => {
                let _ = self.stream.send(Message::text(receiver::write(&frame))).await;
                self.close(*code, reason).await;
                return false;
            }
            (_, Framing::SockJs) => self.stream.send(Message::text(receiver::write(&frame))).await,
        };
        sent.is_ok()
    }

    /// False when the client broke the protocol, or the session is over.
    async fn read(&mut self, message: Message, link: &Link) -> bool {
        let texts = match (message, self.framing) {
            (Message::Text(text), Framing::Raw) => vec![text.as_str().to_owned()],
            (Message::Text(text), Framing::SockJs) => match frame::decode_websocket(&text) {
                Ok(texts) => texts,
                Err(_) => {
                    self.close(3000, "Broken framing.").await;
                    return false;
                }
            },
            (Message::Binary(_), _) => {
                self.close(1003, "Messages are text.").await;
                return false;
            }
            _ => return true,
        };
        link.deliver(texts, None).await.is_ok()
    }

    async fn close(&mut self, code: u16, reason: &str) {
        self.receiver.finish();
        let close = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let goodbye = async {
            // The client may be gone.
            let _ = self.stream.send(Message::Close(Some(close))).await;
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}
