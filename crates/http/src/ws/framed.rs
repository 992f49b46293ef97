//! A WebSocket in SockJS's framing, as a chat session sees it.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use mqttchat_bridge::{Event, Transport};
use mqttchat_protocol::Frame;
use mqttchat_sockjs::{Bodies, frame as sockjs};

use super::decoder::MessageLimits;
use super::message::{Kind, Message, frame};
use super::socket::{Step, WebSocket};
use super::transport::{ByteStream, STUCK, refused};

/// [`Transport`] over a WebSocket at `/sockjs/…/websocket`: each text message holds a JSON array of chat frames.
#[derive(Debug)]
pub struct FramedTransport<S> {
    socket: WebSocket<S>,
    frame_limit: usize,
    /// What came together with an earlier frame.
    waiting: VecDeque<String>,
    /// The client's framing was broken: the socket is closed.
    is_broken: bool,
}

impl<S: ByteStream> FramedTransport<S> {
    /// A transport over an upgraded stream. `early` is what was read behind the request, `frame_limit` the largest
    /// chat frame in bytes, `room` what unfinished messages of all sockets have together.
    pub fn new(stream: S, early: Bytes, frame_limit: usize, room: Bodies) -> Self {
        // As JSON strings, and with others, frames are longer.
        let limits = MessageLimits { text: frame_limit.saturating_mul(4), binary: 0 };
        let mut socket = WebSocket::new(stream, early, limits, room);
        socket.feed_bytes(text(sockjs::OPEN));
        Self { socket, frame_limit, waiting: VecDeque::new(), is_broken: false }
    }

    fn take_waiting(&mut self) -> Option<Event> {
        let text = self.waiting.pop_front()?;
        Some(if text.len() > self.frame_limit { Event::TooLarge } else { Event::Text(text) })
    }
}

fn text(text: &str) -> Bytes {
    frame(Kind::Text, text.as_bytes())
}

impl<S: ByteStream> Transport for FramedTransport<S> {
    fn feed(&mut self, frame: Frame) {
        self.socket.feed_bytes(text(&sockjs::messages([String::from_utf8_lossy(frame.as_json())])));
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
        self.socket.feed_bytes(text(sockjs::HEARTBEAT));
    }

    async fn drive(&mut self, read: bool) -> Event {
        loop {
            if self.is_broken {
                self.socket.close(3000, "Broken framing.").await;
                return Event::Closed;
            }
            if read && let Some(event) = self.take_waiting() {
                return event;
            }
            match self.socket.step(read).await {
                Step::Message(Message::Text(text)) => match sockjs::decode_websocket(&text) {
                    Ok(texts) => self.waiting.extend(texts),
                    Err(_) => self.is_broken = true,
                },
                Step::Message(Message::Skipped(Kind::Text)) => return Event::TooLarge,
                Step::Message(Message::Refused(_)) => return refused(),
                // Control messages never come out of a step.
                Step::Message(_) => return Event::Binary,
                Step::Drained => return Event::Drained,
                Step::Closed => return Event::Closed,
            }
        }
    }

    async fn close(&mut self, code: u16, reason: &str) {
        if code == STUCK {
            self.socket.get_ref().reset_on_drop();
            self.socket.shut();
        } else {
            self.socket.feed_bytes(text(&sockjs::close(code, reason)));
            self.socket.close(code, reason).await;
        }
    }
}
