//! A WebSocket as a chat session sees it.

use std::time::Instant;

use bytes::Bytes;
use mqttchat_bridge::{Event, Transport};
use mqttchat_protocol::Frame;
use mqttchat_sockjs::Bodies;
use tokio::io::{AsyncRead, AsyncWrite};

use super::decoder::MessageLimits;
use super::message::{Kind, Message};
use super::socket::{Step, WebSocket};

/// The byte stream under a WebSocket.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the following drop a reset: what the client hasn't taken is thrown away instead of being kept by the
    /// kernel for minutes.
    fn reset_on_drop(&self) {}
}

impl ByteStream for tokio::io::DuplexStream {}

/// Of docs/protocol.md §5: the client takes nothing.
pub(crate) const STUCK: u16 = 4413;

/// There was no room for a message.
pub(super) fn refused() -> Event {
    metrics::counter!("mqttchat_http_messages_refused_total").increment(1);
    Event::NoRoom
}

/// [`Transport`] over a WebSocket: chat frames are text messages; no binary ones.
#[derive(Debug)]
pub struct WsTransport<S> {
    socket: WebSocket<S>,
}

impl<S: ByteStream> WsTransport<S> {
    /// A transport over an upgraded stream. `early` is what was read behind the request, `frame_limit` the largest
    /// text message in bytes, `room` what unfinished messages of all sockets have together.
    pub fn new(stream: S, early: Bytes, frame_limit: usize, room: Bodies) -> Self {
        let limits = MessageLimits { text: frame_limit, binary: 0 };
        Self { socket: WebSocket::new(stream, early, limits, room) }
    }
}

impl<S: ByteStream> Transport for WsTransport<S> {
    fn feed(&mut self, frame: Frame) {
        self.socket.feed(frame);
    }

    fn backlog(&self) -> usize {
        self.socket.backlog()
    }

    fn last_progress(&self) -> Instant {
        self.socket.last_progress()
    }

    fn last_heard(&self) -> Instant {
        self.socket.last_heard()
    }

    fn ping(&mut self) {
        self.socket.ping();
    }

    async fn drive(&mut self, read: bool) -> Event {
        match self.socket.step(read).await {
            Step::Message(Message::Text(text)) => Event::Text(text),
            Step::Message(Message::Skipped(Kind::Text)) => Event::TooLarge,
            Step::Message(Message::Refused(_)) => refused(),
            // Control messages never come out of a step.
            Step::Message(_) => Event::Binary,
            Step::Drained => Event::Drained,
            Step::Closed => Event::Closed,
        }
    }

    async fn close(&mut self, code: u16, reason: &str) {
        if code == STUCK {
            self.socket.get_ref().reset_on_drop();
            self.socket.shut();
        } else {
            self.socket.close(code, reason).await;
        }
    }
}
