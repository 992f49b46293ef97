//! The client's end of a session, whatever carries it: a WebSocket, or a SockJS transport.

use std::future::Future;
use std::time::Instant;

use mqttchat_protocol::Frame;

/// What a transport has to tell its session.
#[derive(Debug)]
pub enum Event {
    /// The text of one frame, within the frame limit.
    Text(String),
    /// A binary message: not speaking the protocol.
    Binary,
    /// A message above the frame limit; its bytes were dropped as they came, and the connection goes on.
    TooLarge,
    /// A message for which there was no memory, or that took too long; its bytes were dropped as they came, and the
    /// connection goes on.
    NoRoom,
    /// Everything that was fed has been taken by the socket.
    Drained,
    /// The client is gone, or broke the transport's own rules.
    Closed,
}

/// One client connection. It is owned and driven by one task, the session's; nobody else reads or writes it.
pub trait Transport: Send {
    /// Queues a frame to be written by the next [`Transport::drive`]. The session feeds nothing while
    /// [`Transport::backlog`] is above its batch size, so the queue is bounded by a batch and one frame.
    fn feed(&mut self, frame: Frame);

    /// Bytes fed and not taken by the socket yet.
    fn backlog(&self) -> usize;

    /// When the socket last took bytes, or when something was first fed to an empty backlog.
    fn last_progress(&self) -> Instant;

    /// When anything last came from the client, a pong included.
    fn last_heard(&self) -> Instant;

    /// Whether something that came since the transport was opened shows that it is a page's; see
    /// [`Peer::is_page`](crate::Peer).
    fn is_page(&self) -> bool {
        false
    }

    /// Asks the client for a sign of life (WebSocket ping, RFC 6455 §5.5.2), if the transport knows such.
    fn ping(&mut self);

    /// Writes what is queued, and, with `read`, reads, until there is something to tell. Pings of the client are
    /// answered on the way. Without `read`, bytes from the client stay in the socket: that is its backpressure.
    ///
    /// Cancel safe: a dropped call loses nothing. After [`Event::Closed`] every further call says it again.
    fn drive(&mut self, read: bool) -> impl Future<Output = Event> + Send;

    /// Writes what is queued and says goodbye with a close code of docs/protocol.md §5; gives up after 2 s, and
    /// with 4413 at once, since that client takes nothing. Nothing can be done with the transport afterwards.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}
