//! A session, for the handler that runs it.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::link::Link;
use crate::request::Request;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a session has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message, within the limit.
    Message(String),
    /// A message, or a request with messages, above the limit. It was thrown away; the session goes on.
    TooLarge,
    /// The client has taken everything that was fed.
    Drained,
    /// The client is gone.
    Closed,
}

/// What is known of whoever opened a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opener {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) origin_known: bool,
}

impl Opener {
    pub(crate) fn of(request: &Request) -> Self {
        Self { peer: request.peer, origin_known: request.origin_known }
    }
}

/// The server's end of a session, owned by its handler. Dropping it closes the session (1000).
#[derive(Debug)]
pub struct Session {
    link: Arc<Link>,
    peer: Option<IpAddr>,
    origin_known: bool,
    /// How much may wait for the client before [`Session::send`] waits too.
    room: usize,
}

impl Session {
    pub(crate) fn new(link: Arc<Link>, opener: Opener, room: usize) -> Self {
        Self { link, peer: opener.peer, origin_known: opener.origin_known, room }
    }

    /// The address from which the session was opened, where it is known.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Whether the request that opened the session, or one that brought messages since, told which page it came from.
    /// Browsers do so with those that bring messages, and not with all that open sessions.
    #[must_use]
    pub fn origin_known(&self) -> bool {
        self.origin_known || self.link.origin_known()
    }

    /// The next message; `None` when the client is gone. What is too large is left out. Cancel safe.
    pub async fn recv(&mut self) -> Option<String> {
        loop {
            match self.next(true).await {
                Event::Message(text) => return Some(text),
                Event::TooLarge | Event::Drained => {}
                Event::Closed => return None,
            }
        }
    }

    /// Sends a message; waits while the client doesn't take the ones before. It is lost when the client is gone, which
    /// the next [`Session::recv`] tells. Cancel safe before it is queued.
    pub async fn send(&mut self, text: impl Into<String> + Send) {
        let room = self.room;
        if poll_fn(|cx| self.link.poll_room(cx, room)).await {
            self.feed(text);
        }
    }

    /// Queues a message, however many wait already: for who looks at [`Session::backlog`] first.
    pub fn feed(&mut self, text: impl Into<String>) {
        self.link.feed(text.into());
    }

    /// Bytes that were fed and not taken by the client's connection yet.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.link.backlog()
    }

    /// When the client's connection last took something, or when something was fed to an empty backlog.
    #[must_use]
    pub fn last_progress(&self) -> Instant {
        self.link.last_progress()
    }

    /// When the client last opened a connection or sent something.
    #[must_use]
    pub fn last_heard(&self) -> Instant {
        self.link.last_heard()
    }

    /// Asks the client for a sign of life: a streaming or polling response ends with a heartbeat, and who is there
    /// opens the next within the disconnect delay, or its session ends. A WebSocket is sent a ping.
    pub fn ping(&mut self) {
        self.link.ping();
    }

    /// Waits for what happens next. Without `read`, messages wait, and the client's sending requests with them: that
    /// is its backpressure. After [`Event::Closed`] every further call says it again. Cancel safe.
    pub async fn next(&mut self, read: bool) -> Event {
        poll_fn(|cx| self.link.poll_event(cx, read)).await
    }

    /// Ends the session, and waits up to 2 s until the client has been told so. A client that comes later, within the
    /// disconnect delay, is told then. Nothing can be done with the session afterwards.
    pub async fn close(&mut self, code: u16, reason: &str) {
        self.shut(code, reason);
        let _ = tokio::time::timeout(GOODBYE, self.link.farewell()).await;
    }

    /// Ends the session, and doesn't wait.
    pub fn shut(&mut self, code: u16, reason: &str) {
        self.link.close(code, reason);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.link.close(1000, "Normal closure");
    }
}
