//! One TCP connection, with WebSocket framing or without: bytes go in and out, payloads are handed on.
//!
//! Thousands of these share one buffer for reading. A connection keeps memory of its own only while part of a frame
//! waits for its rest.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

use crate::inbox::{Inbox, Piece};
use crate::target::{Speech, Target};
use crate::ws::{self, Opcode};

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into());
}

/// Why a connection is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By a WebSocket close frame of this code.
    Closed(u16),
    /// Without one.
    Cut,
    /// The other side did not keep to its protocol.
    Wrong(String),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "the server closed the connection with {code}"),
            Self::Cut => write!(f, "the connection was cut"),
            Self::Wrong(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for Ended {}

pub(crate) struct Socket {
    stream: TcpStream,
    /// `None`: no framing.
    mask: Option<[u8; 4]>,
    /// What goes out, as data: chat is text, MQTT is binary.
    opcode: Opcode,
    inbox: Inbox,
    outbox: Vec<u8>,
    received: u64,
}

impl Socket {
    /// Connects, from `source` where one is given, and opens the WebSocket where there is one.
    pub(crate) async fn open(target: &Target, source: Option<IpAddr>, mask: [u8; 4]) -> Result<Self> {
        let socket = if target.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0)).context("the source address can't be used")?;
        }
        let stream = socket.connect(target.address).await?;
        stream.set_nodelay(true)?;
        let framed = target.speech != Speech::Mqtt;
        let opcode = if target.speech == Speech::Chat { Opcode::Text } else { Opcode::Binary };
        let mask = framed.then_some(mask);
        let inbox = Inbox::default();
        let mut socket = Self { stream, mask, opcode, inbox, outbox: Vec::new(), received: 0 };
        if framed {
            let protocol = if target.speech == Speech::Chat { "mqttchat.v1" } else { "mqtt" };
            socket.upgrade(&ws::handshake(&target.host, &target.path, protocol)).await?;
        }
        Ok(socket)
    }

    async fn upgrade(&mut self, request: &[u8]) -> Result<()> {
        self.outbox.extend_from_slice(request);
        let mut answer = Vec::new();
        loop {
            self.flush()?;
            self.stream.ready(self.wanted()).await?;
            let mut buffer = [0; 1024];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Err(Ended::Cut.into()),
                Ok(length) => answer.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some(end) = ws::upgraded(&answer)? {
                ensure!(end == answer.len(), "the server spoke before it was spoken to");
                return Ok(());
            }
        }
    }

    fn wanted(&self) -> Interest {
        if self.outbox.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE }
    }

    /// Puts a message into the outbox. [`flush`](Self::flush) sends it.
    pub(crate) fn push(&mut self, payload: &[u8]) {
        match self.mask {
            Some(mask) => ws::push(&mut self.outbox, self.opcode, mask, payload),
            None => self.outbox.extend_from_slice(payload),
        }
    }

    /// Writes as much of the outbox as the socket takes; [`turn`](Self::turn) writes the rest.
    pub(crate) fn flush(&mut self) -> Result<(), Ended> {
        let mut written = 0;
        while written < self.outbox.len() {
            match self.stream.try_write(&self.outbox[written..]) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Err(Ended::Cut),
            }
        }
        if written == self.outbox.len() {
            // An idle connection keeps nothing.
            if self.outbox.capacity() > 4096 { self.outbox = Vec::new() } else { self.outbox.clear() }
        } else {
            self.outbox.drain(..written);
        }
        Ok(())
    }

    /// Bytes that have come in since the connection was opened, framing included.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Waits until there is something to read or to write, does it, and calls `on` with each payload that came.
    ///
    /// Cancel safe: what was read is handed on before this returns.
    pub(crate) async fn turn(&mut self, on: impl FnMut(&[u8])) -> Result<(), Ended> {
        self.flush()?;
        let ready = self.stream.ready(self.wanted()).await.map_err(|_| Ended::Cut)?;
        let read = if ready.is_readable() {
            SCRATCH.with_borrow_mut(|scratch| match self.stream.try_read(scratch) {
                Ok(0) => Err(Ended::Cut),
                Ok(length) => self.take(&scratch[..length], on),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
                Err(_) => Err(Ended::Cut),
            })
        } else {
            Ok(())
        };
        // A close is answered before it ends the connection.
        self.flush()?;
        read
    }

    fn take(&mut self, chunk: &[u8], mut on: impl FnMut(&[u8])) -> Result<(), Ended> {
        self.received += chunk.len() as u64;
        let Some(mask) = self.mask else {
            on(chunk);
            return Ok(());
        };
        let mut closed = None;
        let outbox = &mut self.outbox;
        let fed = self.inbox.feed(chunk, |piece| match piece {
            Piece::Payload(payload) if closed.is_none() => on(payload),
            Piece::Payload(_) => {}
            Piece::Ping(payload) => ws::push(outbox, Opcode::Pong, mask, payload),
            Piece::Close(code) => {
                ws::push(outbox, Opcode::Close, mask, &1000_u16.to_be_bytes());
                closed = Some(code);
            }
        });
        fed.map_err(Ended::Wrong)?;
        closed.map_or(Ok(()), |code| Err(Ended::Closed(code)))
    }
}
