//! One WebSocket: reads messages, writes frames, answers pings, and closes as RFC 6455 §7 says.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use mqttchat_protocol::Frame;
use mqttchat_sockjs::Bodies;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::decoder::{Decoder, MessageLimits};
use super::message::Message;
use super::writer::Writer;

/// What one read takes at most. It lies on the stack of the poll, so idle connections don't pay for it.
const READ: usize = 16 * 1024;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// How often a message that holds room is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What [`WebSocket::step`] has to tell.
#[derive(Debug)]
pub enum Step {
    /// A data message; control messages are dealt with.
    Message(Message),
    /// Everything that was fed has been taken by the socket.
    Drained,
    /// The connection is over: nothing can be read or written any more.
    Closed,
}

/// The server's end of a WebSocket, owned and driven by one task.
#[derive(Debug)]
pub struct WebSocket<S> {
    socket: S,
    decoder: Decoder,
    /// Bytes that were read and not decoded yet: what came together with an earlier message.
    pending: BytesMut,
    writer: Writer,
    heard: Instant,
    /// While a message holds room: when to look next whether it has taken too long.
    look: Option<Pin<Box<Sleep>>>,
    drained: bool,
    told_drained: bool,
    state: State,
}

/// How far the connection is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A close frame is queued.
    Leaving {
        why: Why,
        until: Instant,
    },
    Closed,
}

/// Who ends the connection: it decides what is waited for before the socket is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The client has said goodbye: ours is the last word.
    Client,
    /// We say goodbye: the client's answer is waited for.
    Server,
    /// The client broke the rules: what it still sends is thrown away, or the kernel would answer it with a reset
    /// that can overtake our close frame.
    Violation,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Begins with a socket on which the upgrade is done; `early` is what was read behind the request,
    /// `room` what unfinished messages of all sockets have together.
    pub fn new(socket: S, early: Bytes, limits: MessageLimits, room: Bodies) -> Self {
        Self {
            socket,
            decoder: Decoder::within(limits, room),
            // Even empty it may hold on to the whole buffer that the request was read into.
            pending: if early.is_empty() { BytesMut::new() } else { BytesMut::from(early) },
            writer: Writer::new(),
            heard: Instant::now(),
            look: None,
            drained: false,
            told_drained: false,
            state: State::Open,
        }
    }

    /// Queues a chat frame.
    pub fn feed(&mut self, frame: Frame) {
        if self.state == State::Open {
            self.writer.feed(frame);
        }
    }

    /// Queues a finished frame, made by [`frame`](super::frame).
    pub fn feed_bytes(&mut self, wire: Bytes) {
        if self.state == State::Open {
            self.writer.feed_bytes(wire);
        }
    }

    /// Queues a ping; one that waits already is enough.
    pub fn ping(&mut self) {
        if self.state == State::Open {
            self.writer.ping();
        }
    }

    /// Bytes fed and not taken by the socket yet.
    pub fn backlog(&self) -> usize {
        self.writer.backlog()
    }

    /// When the socket last took bytes, or when something was fed to an empty backlog.
    pub fn last_progress(&self) -> Instant {
        self.writer.progress()
    }

    /// When anything last came from the client.
    pub fn last_heard(&self) -> Instant {
        self.heard
    }

    /// The socket beneath.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// Writes what is queued and, with `read`, reads, until there is something to tell. Pings are answered on the way;
    /// a close frame or a violation is answered with a close frame, given 2 s to leave. Cancel safe.
    pub async fn step(&mut self, read: bool) -> Step {
        if self.state == State::Open
            && let Some(step) = poll_fn(|cx| self.poll_open(cx, read)).await
        {
            return step;
        }
        if let State::Leaving { why, until } = self.state {
            // Boxed: it happens once in a session's life, and would make every session's task larger.
            let _ = Box::pin(tokio::time::timeout_at(until.into(), self.goodbye(why))).await;
        }
        self.shut();
        Step::Closed
    }

    /// Writes what is queued, says goodbye and waits up to 2 s for the client's answer. Nothing can be done with the
    /// socket afterwards. Cancel safe: called again it goes on.
    pub async fn close(&mut self, code: u16, reason: &str) {
        self.leave(Why::Server, Some(code), reason);
        self.step(true).await;
    }

    /// Ends the connection without a word.
    pub fn shut(&mut self) {
        self.state = State::Closed;
        self.decoder.give_up();
        self.pending = BytesMut::new();
        self.writer = Writer::new();
    }

    fn leave(&mut self, why: Why, code: Option<u16>, reason: &str) {
        if self.state != State::Open {
            return;
        }
        self.writer.close(code, reason);
        self.decoder.give_up();
        self.state = State::Leaving { why, until: Instant::now() + GOODBYE };
    }

    /// Runs an open connection; `None` when it isn't open any more.
    fn poll_open(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Option<Step>> {
        if self.poll_write(cx).is_err() {
            self.state = State::Closed;
            return Poll::Ready(None);
        }
        // Turn and turn about, so that neither a client that never stops sending nor a session that never stops
        // feeding keeps the other waiting.
        if self.drained && !self.told_drained {
            return Poll::Ready(Some(self.tell_drained()));
        }
        if read {
            match self.poll_message(cx) {
                Poll::Ready(Some(message)) => {
                    self.told_drained = false;
                    return Poll::Ready(Some(Step::Message(message)));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                // Reading may have left pongs to be written.
                Poll::Pending if self.poll_write(cx).is_err() => {
                    self.state = State::Closed;
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
        }
        if self.drained {
            return Poll::Ready(Some(self.tell_drained()));
        }
        self.poll_patience(cx);
        Poll::Pending
    }

    /// Takes the room from a message that has held it for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) {
        while self.decoder.holds_room() {
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK_EVERY)));
            if look.as_mut().poll(cx).is_pending() {
                return;
            }
            self.look = None;
            if self.decoder.is_late() {
                self.decoder.give_up();
            }
        }
        self.look = None;
    }

    fn tell_drained(&mut self) -> Step {
        self.drained = false;
        self.told_drained = true;
        Step::Drained
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.writer.is_idle() {
            return Ok(());
        }
        if let Poll::Ready(result) = self.writer.poll_write(cx, &mut self.socket) {
            result?;
        }
        self.drained |= self.writer.take_drained();
        Ok(())
    }

    /// The next data message; `None` when the connection is no longer open.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            let Some(message) = ready!(self.poll_frame(cx)) else { return Poll::Ready(None) };
            match message {
                Message::Ping(payload) => self.writer.pong(&payload),
                Message::Pong => {}
                Message::Close(code) => {
                    self.leave(Why::Client, code, "");
                    return Poll::Ready(None);
                }
                data => return Poll::Ready(Some(data)),
            }
        }
    }

    /// The next message of any kind; `None` at the connection's end, with the state saying which.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if !self.pending.is_empty() {
            match self.decoder.decode(&mut self.pending) {
                Ok((taken, message)) => {
                    self.drop_pending(taken);
                    if message.is_some() {
                        return Poll::Ready(message);
                    }
                }
                Err(error) => return Poll::Ready(self.violated(error)),
            }
        }
        loop {
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            if ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)).is_err()
                || buffer.filled().is_empty()
            {
                self.state = State::Closed;
                return Poll::Ready(None);
            }
            self.heard = Instant::now();
            let read = buffer.filled_mut();
            let decoded = if self.pending.is_empty() {
                let decoded = self.decoder.decode(read);
                if let Ok((taken, _)) = decoded {
                    self.pending.extend_from_slice(&read[taken..]);
                }
                decoded
            } else {
                // The beginning of a header, or of a control frame, was kept: both are short.
                self.pending.extend_from_slice(read);
                let decoded = self.decoder.decode(&mut self.pending);
                if let Ok((taken, _)) = decoded {
                    self.drop_pending(taken);
                }
                decoded
            };
            match decoded {
                Ok((_, Some(message))) => return Poll::Ready(Some(message)),
                Ok((_, None)) => {}
                Err(error) => return Poll::Ready(self.violated(error)),
            }
        }
    }

    /// Forgets decoded bytes, and their buffer with the last.
    fn drop_pending(&mut self, taken: usize) {
        if taken == self.pending.len() {
            self.pending = BytesMut::new();
        } else {
            self.pending.advance(taken);
        }
    }

    fn violated(&mut self, error: super::WsError) -> Option<Message> {
        tracing::debug!(%error, "a websocket client broke the protocol");
        self.leave(Why::Violation, Some(error.close_code()), &error.to_string());
        None
    }

    async fn goodbye(&mut self, why: Why) -> io::Result<()> {
        poll_fn(|cx| self.writer.poll_write(cx, &mut self.socket)).await?;
        if why == Why::Server {
            // Whatever else the client had on its way is no longer of interest.
            while let Some(message) = poll_fn(|cx| self.poll_last_words(cx)).await {
                if matches!(message, Message::Close(_)) {
                    break;
                }
            }
        }
        poll_fn(|cx| Pin::new(&mut self.socket).poll_shutdown(cx)).await?;
        if why == Why::Violation {
            poll_fn(|cx| self.poll_discard(cx)).await?;
        }
        Ok(())
    }

    /// Like `poll_frame`, for a connection that is on its way out already.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let state = self.state;
        let message = ready!(self.poll_frame(cx));
        // A client that is gone, or now speaks nonsense, ends the waiting but not the goodbye.
        self.state = state;
        Poll::Ready(message)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [const { MaybeUninit::uninit() }; READ];
        loop {
            let mut buffer = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
