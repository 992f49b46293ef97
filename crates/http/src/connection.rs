//! One accepted connection: a socket, plain or with TLS, its place in the quota, and a time-out for writing.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use crate::quota::Seat;
use crate::ws::ByteStream;

/// An accepted connection. Its place in the [`Quota`](crate::Quota) is free again when it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    _seat: Seat,
    /// How long the socket may take nothing; `None` once a WebSocket session watches over it.
    write_timeout: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What bytes come and go by.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// Boxed: what TLS keeps is large.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same with either.
macro_rules! with {
    ($stream:expr, $inner:ident => $done:expr) => {
        match $stream {
            Stream::Plain($inner) => $done,
            Stream::Tls($inner) => $done,
        }
    };
}

impl Connection {
    pub(crate) fn new(stream: Stream, seat: Seat, write_timeout: Duration) -> Self {
        Self { stream, _seat: seat, write_timeout: Some(write_timeout), stalled: None }
    }

    /// The connection after its upgrade: whoever has it now looks after time-outs.
    pub(crate) fn upgraded(mut self) -> Self {
        self.write_timeout = None;
        self.stalled = None;
        self
    }

    /// Turns a write that has waited too long into an error.
    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Some(limit) = self.write_timeout else { return result };
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl ByteStream for Connection {
    fn reset_on_drop(&self) {
        let socket = match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        // Fails only for a socket that is gone already.
        let _ = socket.set_zero_linger();
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        with!(&mut self.stream, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = with!(&mut self.stream, stream => Pin::new(stream).poll_write(cx, bytes));
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = with!(&mut self.stream, stream => Pin::new(stream).poll_write_vectored(cx, slices));
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        with!(&self.stream, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            // Never has anything to do, and so says nothing about what the client takes.
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => {
                let result = Pin::new(stream).poll_flush(cx);
                self.watch(cx, result)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = with!(&mut self.stream, stream => Pin::new(stream).poll_shutdown(cx));
        self.watch(cx, result)
    }
}
