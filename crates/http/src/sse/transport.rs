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
