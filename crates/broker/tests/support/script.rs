//! A broker that does exactly what a test tells it, for facts about the client.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::within;

/// What a client sent, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    Connect,
    /// A PUBLISH with QoS 1: packet id, whether it is marked as a repetition, payload.
    Publish(u16, bool, String),
    Disconnect,
    Ping,
    Other(u8),
}

pub struct Script {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Script {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        Self { listener, address }
    }

    /// Takes the next connection and its CONNECT, and answers that.
    pub async fn accept(&self, session_present: bool) -> Peer {
        let (stream, _) = within("a connection", self.listener.accept()).await.expect("accepted");
        let mut peer = Peer { stream };
        assert_eq!(peer.next().await, Some(Sent::Connect));
        peer.send(&[0x20, 2, u8::from(session_present), 0]).await;
        peer
    }
}

/// The broker's side of a connection.
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    pub async fn puback(&mut self, pkid: u16) {
        let [high, low] = pkid.to_be_bytes();
        self.send(&[0x40, 2, high, low]).await;
    }

    pub async fn pong(&mut self) {
        self.send(&[0xd0, 0]).await;
    }

    /// The next packet; `None` once the client has closed the connection.
    pub async fn next(&mut self) -> Option<Sent> {
        within("a packet of the client", self.read()).await
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
    }

    async fn read(&mut self) -> Option<Sent> {
        let first = self.stream.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(match first >> 4 {
            1 => Sent::Connect,
            3 => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]])) + 2;
                let pkid = u16::from_be_bytes([body[topic], body[topic + 1]]);
                let payload = String::from_utf8_lossy(&body[topic + 2..]).into();
                Sent::Publish(pkid, first & 0x08 != 0, payload)
            }
            12 => Sent::Ping,
            14 => Sent::Disconnect,
            other => Sent::Other(other),
        })
    }
}
