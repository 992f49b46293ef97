//! A receiving connection: what takes a session's frames to the client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::time::{Instant, Sleep, sleep};
use warp::Reply as _;

use crate::frame;
use crate::link::{Busy, Frame, Link, cost};
use crate::reply::Reply;

/// The place of a session's receiving connection. Dropped before [`Receiver::finish`], the connection broke.
#[derive(Debug)]
pub(crate) struct Receiver {
    link: Arc<Link>,
    number: u64,
    heartbeat: Duration,
    beat: Pin<Box<Sleep>>,
    finished: bool,
    /// What the connection was handed last.
    handed: usize,
}

impl Receiver {
    /// Takes the place, if it is free.
    pub(crate) async fn attach(link: &Arc<Link>, heartbeat: Duration) -> Result<Self, Busy> {
        let number = link.attach().await?;
        Ok(Self {
            link: Arc::clone(link),
            number,
            heartbeat,
            beat: Box::pin(sleep(heartbeat)),
            finished: false,
            handed: 0,
        })
    }

    /// The next frame; a heartbeat when there was none for long. Asked for when the one before has been taken.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.taken();
        let frame = match self.link.poll_frame(self.number, cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => match self.beat.as_mut().poll(cx) {
                Poll::Ready(()) => Some(Frame::Heartbeat),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.beat.as_mut().reset(Instant::now() + self.heartbeat);
        if let Some(Frame::Messages(texts)) = &frame {
            self.handed = cost(texts);
        }
        Poll::Ready(frame)
    }

    fn taken(&mut self) {
        if self.handed > 0 {
            self.link.taken(std::mem::take(&mut self.handed));
        }
    }

    /// The response is complete: the client comes again.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        self.link.detach(self.number);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.taken();
        if !self.finished {
            self.link.interrupt(self.number);
        }
    }
}

/// How a transport writes frames into a response.
pub(crate) struct Shape {
    /// What stands before the first.
    pub(crate) prelude: Option<Bytes>,
    /// One frame as a chunk.
    pub(crate) wrap: Box<dyn Fn(&str) -> String + Send + Sync>,
    /// After so many bytes, the prelude aside, the response ends; 1 for polling.
    pub(crate) limit: usize,
}

/// What a connection is handed at a time: it takes the next when it has nearly written the last, which shows that the
/// client goes on reading.
const PIECE: usize = 16 << 10;

/// A response's body as it comes into being.
struct Chunks {
    receiver: Source,
    shape: Shape,
    sent: usize,
    /// The rest of the frame before.
    rest: Bytes,
}

enum Source {
    Receiver(Receiver),
    /// It has finished, and what it handed over last is on its way.
    Leaving(Receiver),
    /// One frame, for who can't receive.
    Once(String),
    Over,
}

/// A response that hands a session's frames over.
pub(crate) fn respond(receiver: Result<Receiver, Busy>, shape: Shape) -> Reply {
    let receiver = match receiver {
        Ok(receiver) => Source::Receiver(receiver),
        Err(Busy) => Source::Once(frame::close(2010, "Another connection still open")),
    };
    warp::reply::stream(Chunks { receiver, shape, sent: 0, rest: Bytes::new() }).into_response()
}

impl Chunks {
    fn poll_text(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let receiver = match &mut self.receiver {
            Source::Receiver(receiver) => receiver,
            Source::Once(text) => {
                let text = std::mem::take(text);
                self.receiver = Source::Over;
                return Poll::Ready(Some((self.shape.wrap)(&text)));
            }
            Source::Leaving(_) | Source::Over => {
                self.receiver = Source::Over;
                return Poll::Ready(None);
            }
        };
        let frame = match receiver.poll_frame(cx) {
            Poll::Ready(Some(frame)) => frame,
            Poll::Ready(None) => {
                self.receiver = Source::Over;
                return Poll::Ready(None);
            }
            Poll::Pending => return Poll::Pending,
        };
        let is_last = matches!(frame, Frame::Close(..) | Frame::Ping);
        let text = (self.shape.wrap)(&write(&frame));
        self.sent += text.len();
        if is_last || self.sent >= self.shape.limit {
            receiver.finish();
            if let Source::Receiver(receiver) = std::mem::replace(&mut self.receiver, Source::Over) {
                self.receiver = Source::Leaving(receiver);
            }
        }
        Poll::Ready(Some(text))
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(prelude) = self.shape.prelude.take() {
            return Poll::Ready(Some(Ok(prelude)));
        }
        if self.rest.is_empty() {
            let Some(text) = std::task::ready!(self.poll_text(cx)) else { return Poll::Ready(None) };
            self.rest = text.into();
        } else if let Source::Receiver(receiver) | Source::Leaving(receiver) = &self.receiver {
            receiver.link.progress();
        }
        let len = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(self.rest.split_to(len))))
    }
}

/// A frame as its text.
pub(crate) fn write(frame: &Frame) -> String {
    match frame {
        Frame::Open => frame::OPEN.to_owned(),
        Frame::Messages(texts) => frame::messages(texts),
        Frame::Heartbeat | Frame::Ping => frame::HEARTBEAT.to_owned(),
        Frame::Close(code, reason) => frame::close(*code, reason),
    }
}
