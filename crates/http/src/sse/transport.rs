//! The session's end: joins what the program asked for, and writes every frame as an event.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mqttchat_bridge::{Event, Transport};
use mqttchat_protocol::{Dest, Frame, UserId};
use serde_json::json;

use super::event::{ALIVE, BEGINNING, end, event, position};
use super::pipe::{EventBody, Pipe};
use super::position::{Meaning, Positions};

/// The close code of a client that takes nothing (docs/protocol.md §5).
const STUCK: u16 = 4413;

/// A client that only listens.
#[derive(Debug)]
pub(crate) struct SseTransport {
    pipe: Arc<Pipe>,
    me: UserId,
    positions: Positions,
    /// Frames that the client would send, if it could.
    joins: VecDeque<String>,
    /// Whether the client has been told where the stream began.
    begun: bool,
    told_drained: bool,
    /// When it was last asked for a sign of life: that it still takes is the sign.
    asked: Instant,
}

impl SseTransport {
    /// A stream to `me` that goes on from `positions`, and joins the conversations that have none.
    pub(crate) fn new(me: UserId, positions: Positions) -> (Self, EventBody) {
        let pipe = Arc::new(Pipe::default());
        pipe.push(Bytes::from_static(BEGINNING));
        let joins = positions.0.iter().filter(|(_, seq)| seq.is_none()).enumerate();
        let joins = joins.map(|(at, (dest, _))| join(at, dest)).collect();
        let begun = positions.is_whole();
        let body = EventBody(pipe.clone());
        let asked = Instant::now();
        (Self { pipe, me, positions, joins, begun, told_drained: false, asked }, body)
    }
}

fn join(at: usize, dest: &Dest) -> String {
    json!({ "type": "join", "id": format!("join-{at}"), "dest": dest, "data": { "history": 0 } }).to_string()
}

impl Transport for SseTransport {
    fn feed(&mut self, frame: Frame) {
        self.told_drained = false;
        match self.positions.note(&frame, &self.me) {
            Meaning::Answer if !self.begun && self.positions.is_whole() => {
                self.begun = true;
                self.pipe.push(position(&self.positions.to_string()));
            }
            Meaning::Answer => {}
            Meaning::Moves => self.pipe.push(event(Some(&self.positions.to_string()), &frame)),
            Meaning::Other => self.pipe.push(event(None, &frame)),
        }
    }

    fn backlog(&self) -> usize {
        self.pipe.backlog()
    }

    fn last_progress(&self) -> Instant {
        self.pipe.progress()
    }

    fn last_heard(&self) -> Instant {
        self.asked
    }

    fn ping(&mut self) {
        self.asked = Instant::now();
        self.pipe.push(Bytes::from_static(ALIVE));
    }

    async fn drive(&mut self, read: bool) -> Event {
        if read && let Some(join) = self.joins.pop_front() {
            return Event::Text(join);
        }
        let waits = self.told_drained;
        let taken = poll_fn(|cx| self.pipe.poll_taken(cx, waits)).await;
        self.told_drained = taken;
        if taken { Event::Drained } else { Event::Closed }
    }

    async fn close(&mut self, code: u16, reason: &str) {
        if code != STUCK {
            self.pipe.push(end(code, reason));
        }
        self.pipe.end(code == STUCK);
    }
}

impl Drop for SseTransport {
    fn drop(&mut self) {
        self.pipe.end(false);
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn stream(seq: Option<u64>) -> (SseTransport, EventBody) {
        let positions = Positions([(Dest::Public, seq)].into());
        SseTransport::new(UserId::parse("ann").unwrap(), positions)
    }

    async fn next(body: &mut EventBody) -> Option<String> {
        let chunk = body.next().await?;
        Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_sign_of_life_is_a_comment() {
        let (mut transport, mut body) = stream(Some(7));
        let before = transport.last_heard();
        transport.ping();
        assert!(transport.last_heard() > before, "it is never taken for a client that doesn't answer");
        assert_eq!(next(&mut body).await.as_deref(), Some("retry: 2000\n\n"));
        assert_eq!(next(&mut body).await.as_deref(), Some(":\n\n"));
        assert!(matches!(transport.drive(true).await, Event::Drained));
        drop(body);
        assert!(matches!(transport.drive(true).await, Event::Closed));
    }

    #[tokio::test]
    async fn what_nobody_takes_stays_in_the_backlog() {
        let (mut transport, mut body) = stream(None);
        next(&mut body).await;
        assert!(matches!(transport.drive(true).await, Event::Text(join) if join.contains("public")));
        transport.feed(Frame::json(&json!({"type": "bye", "data": {}})));
        assert!(transport.backlog() > 20);
        transport.close(STUCK, "").await;
        assert_eq!((transport.backlog(), next(&mut body).await), (0, None));
    }

    #[tokio::test]
    async fn the_last_words_come_before_the_end() {
        let (mut transport, mut body) = stream(Some(7));
        transport.close(1001, "the server stops").await;
        drop(transport);
        next(&mut body).await;
        assert_eq!(next(&mut body).await.as_deref(), Some(": closed 1001 the server stops\n\n"));
        assert_eq!(next(&mut body).await, None);
    }
}
