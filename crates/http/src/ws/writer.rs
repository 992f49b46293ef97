//! Finished frames → the socket, many with one system call and none copied.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use mqttchat_protocol::Frame;
use tokio::io::AsyncWrite;

use super::message;

/// How many frames go into one `writev` (Linux takes 1,024; beyond some dozens nothing is gained).
const BATCH: usize = 64;
/// How many pings are answered at most while the socket takes nothing.
const PONGS: usize = 16;
/// A queue with more room than this is freed when it is empty.
const KEEP: usize = 4;

/// The one writer of a socket: what the session feeds, and control frames between them, never inside one.
#[derive(Debug)]
pub(super) struct Writer {
    queue: VecDeque<Wire>,
    /// Bytes of the first in the queue that the socket has taken.
    offset: usize,
    backlog: usize,
    /// Something was fed since the queue was last empty.
    fed: bool,
    /// The socket has taken something that it may still hold, as TLS does.
    unflushed: bool,
    progress: Instant,
    ping: bool,
    /// Answers to pings, oldest first.
    pongs: VecDeque<Bytes>,
    /// Control frames in the queue. New ones wait until these are gone, which bounds them.
    controls: usize,
}

#[derive(Debug)]
enum Wire {
    Frame(Frame),
    Bytes(Bytes),
    Control(Bytes),
}

impl Wire {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(frame) => frame.wire(),
            Self::Bytes(bytes) | Self::Control(bytes) => bytes,
        }
    }
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            offset: 0,
            backlog: 0,
            fed: false,
            unflushed: false,
            progress: Instant::now(),
            ping: false,
            pongs: VecDeque::new(),
            controls: 0,
        }
    }

    pub(super) fn feed(&mut self, frame: Frame) {
        self.push(Wire::Frame(frame));
    }

    pub(super) fn feed_bytes(&mut self, wire: Bytes) {
        self.push(Wire::Bytes(wire));
    }

    fn push(&mut self, wire: Wire) {
        if self.backlog == 0 {
            self.progress = Instant::now();
        }
        self.backlog += wire.bytes().len();
        self.fed = true;
        self.queue.push_back(wire);
    }

    pub(super) fn ping(&mut self) {
        self.ping = true;
    }

    /// Answers a ping. When too many answers wait, the oldest is left out, as RFC 6455 §5.5.3 allows.
    pub(super) fn pong(&mut self, payload: &[u8]) {
        if self.pongs.len() == PONGS {
            self.pongs.pop_front();
        }
        self.pongs.push_back(message::pong(payload));
    }

    /// The close frame, behind everything else.
    pub(super) fn close(&mut self, code: Option<u16>, reason: &str) {
        self.pongs = VecDeque::new();
        self.ping = false;
        self.queue.push_back(Wire::Control(message::close(code, reason)));
        self.controls += 1;
    }

    /// Bytes fed and not taken by the socket yet.
    pub(super) fn backlog(&self) -> usize {
        self.backlog
    }

    /// When the socket last took bytes, or when something was fed to an empty backlog.
    pub(super) fn progress(&self) -> Instant {
        self.progress
    }

    /// Whether there is nothing to be done for the socket.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && !self.unflushed
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.pongs.is_empty() && !self.ping
    }

    /// Whether everything fed has gone since this was last asked.
    pub(super) fn take_drained(&mut self) -> bool {
        self.backlog == 0 && std::mem::take(&mut self.fed)
    }

    /// Writes until nothing is left, or the socket takes no more.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            self.insert_controls();
            let mut slices = [IoSlice::new(&[]); BATCH];
            let mut count = 0;
            for (slice, wire) in slices.iter_mut().zip(&self.queue) {
                let bytes = wire.bytes();
                *slice = IoSlice::new(if count == 0 { &bytes[self.offset..] } else { bytes });
                count += 1;
            }
            let taken = ready!(Pin::new(&mut *socket).poll_write_vectored(cx, &slices[..count]))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken(taken);
            self.unflushed = true;
        }
        ready!(Pin::new(socket).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Puts waiting control frames where the next frame begins.
    fn insert_controls(&mut self) {
        if self.controls > 0 {
            return;
        }
        let at = usize::from(self.offset > 0);
        for pong in std::mem::take(&mut self.pongs).into_iter().rev() {
            self.queue.insert(at, Wire::Control(pong));
            self.controls += 1;
        }
        if std::mem::take(&mut self.ping) {
            self.queue.insert(at, Wire::Control(message::ping()));
            self.controls += 1;
        }
    }

    fn taken(&mut self, mut taken: usize) {
        self.progress = Instant::now();
        while let Some(first) = self.queue.front() {
            let rest = first.bytes().len() - self.offset;
            let step = rest.min(taken);
            if matches!(first, Wire::Control(_)) {
                self.controls -= usize::from(step == rest);
            } else {
                self.backlog -= step;
            }
            if step < rest {
                self.offset += step;
                return;
            }
            taken -= step;
            self.offset = 0;
            self.queue.pop_front();
        }
        if self.queue.capacity() > KEEP {
            self.queue = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most so many bytes a call, and a total of `room`.
    struct Sink {
        taken: Vec<u8>,
        per_call: usize,
        room: usize,
    }

    impl AsyncWrite for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let len = bytes.len().min(self.per_call).min(self.room - self.taken.len());
            if len == 0 {
                return Poll::Pending;
            }
            self.taken.extend_from_slice(&bytes[..len]);
            Poll::Ready(Ok(len))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(writer: &mut Writer, sink: &mut Sink) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        writer.poll_write(&mut cx, sink).map(|result| result.unwrap()).is_ready()
    }

    #[test]
    fn frames_leave_in_order_whatever_the_socket_takes() {
        for per_call in [1, 2, 3, 7, 100, 100_000] {
            let mut writer = Writer::new();
            let mut sink = Sink { taken: Vec::new(), per_call, room: 1 << 20 };
            let mut expected = Vec::new();
            for number in 0..200 {
                let frame = Frame::text("x".repeat(number).as_bytes());
                expected.extend_from_slice(frame.wire());
                writer.feed(frame);
            }
            assert_eq!(writer.backlog(), expected.len());
            assert!(write(&mut writer, &mut sink));
            assert_eq!(sink.taken, expected);
            assert_eq!(writer.backlog(), 0);
            assert!(writer.take_drained() && !writer.take_drained());
            assert!(writer.queue.capacity() <= KEEP);
        }
    }

    #[test]
    fn control_frames_never_split_another_and_do_not_pile_up() {
        let mut writer = Writer::new();
        let mut sink = Sink { taken: Vec::new(), per_call: 100, room: 5 };
        let frame = Frame::text(b"0123456789");
        writer.feed(frame.clone());
        writer.feed(frame.clone());
        assert!(!write(&mut writer, &mut sink));
        for round in 0..10 {
            for number in 0..100 {
                writer.pong(&[round, number]);
            }
            assert!(!write(&mut writer, &mut sink));
        }
        sink.room = 1000;
        assert!(write(&mut writer, &mut sink));
        let pongs =
            |round: u8| (84..100).flat_map(move |number| [0x8a, 2, round, number]).collect::<Vec<u8>>();
        assert_eq!(sink.taken, [frame.wire(), &pongs(0)[..], &pongs(9)[..], frame.wire()].concat());
    }

    #[test]
    fn control_frames_alone_drain_nothing() {
        let mut writer = Writer::new();
        let mut sink = Sink { taken: Vec::new(), per_call: 100, room: 100 };
        writer.ping();
        writer.pong(b"x");
        assert_eq!(writer.backlog(), 0);
        assert!(write(&mut writer, &mut sink));
        assert!(!writer.take_drained());
        assert_eq!(sink.taken, b"\x89\x00\x8a\x01x");
    }
}
