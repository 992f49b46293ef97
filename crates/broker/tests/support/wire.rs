//! An MQTT 3.1.1 client that does exactly what it is told, byte by byte.

use std::io;
use std::net::SocketAddr;

use mqttchat_broker::Credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// What a CONNECT says.
#[derive(Debug, Clone)]
pub struct Hello {
    pub id: String,
    pub login: Option<(String, String)>,
    pub keep_alive: u16,
    pub clean: bool,
    pub will: Option<(String, String)>,
    pub level: u8,
}

impl Hello {
    pub fn new(id: &str) -> Self {
        Self { id: id.into(), login: None, keep_alive: 30, clean: true, will: None, level: 4 }
    }

    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    pub fn credentials(self, credentials: &Credentials) -> Self {
        self.login(&credentials.user, &credentials.password)
    }

    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    pub fn kept(mut self) -> Self {
        self.clean = false;
        self
    }

    pub fn will(mut self, topic: &str, message: &str) -> Self {
        self.will = Some((topic.into(), message.into()));
        self
    }

    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    fn packet(&self) -> Vec<u8> {
        let mut flags = if self.clean { 0x02 } else { 0 };
        let mut rest = string(&self.id);
        if let Some((topic, message)) = &self.will {
            // QoS 1, not retained.
            flags |= 0x04 | 0x08;
            rest.extend(string(topic));
            rest.extend(string(message));
        }
        if let Some((user, password)) = &self.login {
            flags |= 0x80 | 0x40;
            rest.extend(string(user));
            rest.extend(string(password));
        }
        let mut body = string("MQTT");
        body.extend([self.level, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(rest);
        frame(0x10, &body)
    }
}

/// Why a CONNECT did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The socket was closed, or nobody listened.
    Closed,
    /// A CONNACK with this code.
    Code(u8),
}

/// A packet from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    ConnAck { session_present: bool, code: u8 },
    Publish(Message),
    PubAck(u16),
    SubAck(u16),
    UnsubAck(u16),
    PingResp,
    Other(u8),
}

/// A delivered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
    pub pkid: u16,
}

/// A connected client.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    pub session_present: bool,
    next_pkid: u16,
}

impl Wire {
    pub async fn connect(address: SocketAddr, hello: Hello) -> Result<Self, Refusal> {
        within("an answer to connect", Self::try_connect(address, hello)).await
    }

    /// The same for a broker that may never answer.
    pub async fn try_connect(address: SocketAddr, hello: Hello) -> Result<Self, Refusal> {
        let stream = TcpStream::connect(address).await.map_err(|_| Refusal::Closed)?;
        stream.set_nodelay(true).expect("nodelay");
        let mut wire = Self { stream, received: Vec::new(), session_present: false, next_pkid: 0 };
        wire.send(&hello.packet()).await.map_err(|_| Refusal::Closed)?;
        match wire.read().await {
            Some(Packet::ConnAck { code: 0, session_present }) => {
                wire.session_present = session_present;
                Ok(wire)
            }
            Some(Packet::ConnAck { code, .. }) => Err(Refusal::Code(code)),
            Some(other) => panic!("{other:?} instead of a connack"),
            None => Err(Refusal::Closed),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next packet; `None` once the broker has closed the connection.
    pub async fn next(&mut self) -> Option<Packet> {
        within("a packet", self.read()).await
    }

    /// The next message, acknowledged if it wants to be.
    pub async fn message(&mut self) -> Message {
        loop {
            match self.next().await {
                Some(Packet::Publish(message)) => {
                    if message.qos == 1 {
                        self.puback(message.pkid).await;
                    }
                    return message;
                }
                Some(_) => {}
                None => panic!("the broker closed the connection instead of sending a message"),
            }
        }
    }

    pub async fn puback(&mut self, pkid: u16) {
        self.send(&frame(0x40, &pkid.to_be_bytes())).await.expect("puback");
    }

    /// Publishes with QoS 0.
    pub async fn publish(&mut self, topic: &str, payload: &str) {
        self.send(&publish(topic, payload)).await.expect("publish");
    }

    /// Publishes with QoS 1 and waits for the PUBACK.
    pub async fn publish_acked(&mut self, topic: &str, payload: &str, retain: bool) {
        let pkid = self.pkid();
        let mut body = string(topic);
        body.extend(pkid.to_be_bytes());
        body.extend(payload.as_bytes());
        self.send(&frame(0x32 | u8::from(retain), &body)).await.expect("publish");
        self.expect(&Packet::PubAck(pkid)).await;
    }

    /// Subscribes and waits for the SUBACK.
    pub async fn subscribe(&mut self, filter: &str, qos: u8) {
        let pkid = self.pkid();
        self.send(&subscribe(pkid, filter, qos)).await.expect("subscribe");
        self.expect(&Packet::SubAck(pkid)).await;
    }

    /// Sends an UNSUBSCRIBE and returns its packet id.
    pub async fn send_unsubscribe(&mut self, filter: &str) -> u16 {
        let pkid = self.pkid();
        let mut body = pkid.to_be_bytes().to_vec();
        body.extend(string(filter));
        self.send(&frame(0xa2, &body)).await.expect("unsubscribe");
        pkid
    }

    pub async fn send_ping(&mut self) {
        self.send(&[0xc0, 0]).await.expect("ping");
    }

    /// Everything up to the answer to a ping that is sent now.
    pub async fn until_pong(&mut self) -> Vec<Packet> {
        self.send_ping().await;
        let mut before = Vec::new();
        loop {
            match self.next().await.expect("a pong") {
                Packet::PingResp => return before,
                packet => before.push(packet),
            }
        }
    }

    /// Sends DISCONNECT and waits until the broker has closed the connection.
    pub async fn disconnect(mut self) {
        self.send(&[0xe0, 0]).await.expect("disconnect");
        self.closed().await;
    }

    /// Ends the stream without DISCONNECT and waits until the broker has closed the connection.
    pub async fn vanish(mut self) {
        self.stream.shutdown().await.expect("shutdown");
        self.closed().await;
    }

    /// Reads until the broker has closed the connection.
    pub async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }

    async fn expect(&mut self, expected: &Packet) {
        loop {
            match self.next().await {
                Some(packet) if packet == *expected => return,
                Some(_) => {}
                None => panic!("the broker closed the connection instead of sending {expected:?}"),
            }
        }
    }

    fn pkid(&mut self) -> u16 {
        self.next_pkid = self.next_pkid % 60_000 + 1;
        self.next_pkid
    }

    async fn read(&mut self) -> Option<Packet> {
        loop {
            if let Some((packet, length)) = parse(&self.received) {
                self.received.drain(..length);
                return Some(packet);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// A PUBLISH with QoS 0.
pub fn publish(topic: &str, payload: &str) -> Vec<u8> {
    let mut body = string(topic);
    body.extend(payload.as_bytes());
    frame(0x30, &body)
}

/// A SUBSCRIBE for one filter.
pub fn subscribe(pkid: u16, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = pkid.to_be_bytes().to_vec();
    body.extend(string(filter));
    body.push(qos);
    frame(0x82, &body)
}

fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let more = if length >= 128 { 0x80 } else { 0 };
        bytes.push(u8::try_from(length % 128).expect("below 128") | more);
        length /= 128;
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).expect("a short string").to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<(Packet, usize)> {
    let first = *bytes.first()?;
    let (mut length, mut at) = (0, 1);
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = bytes.get(at..at + length)?;
    let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let packet = match first >> 4 {
        2 => Packet::ConnAck { session_present: body[0] == 1, code: body[1] },
        3 => {
            let topic = usize::from(number(0)) + 2;
            let qos = (first >> 1) & 3;
            let payload = if qos == 0 { topic } else { topic + 2 };
            Packet::Publish(Message {
                topic: String::from_utf8_lossy(&body[2..topic]).into(),
                payload: String::from_utf8_lossy(&body[payload..]).into(),
                qos,
                retain: first & 1 == 1,
                pkid: if qos == 0 { 0 } else { number(topic) },
            })
        }
        4 => Packet::PubAck(number(0)),
        9 => Packet::SubAck(number(0)),
        11 => Packet::UnsubAck(number(0)),
        13 => Packet::PingResp,
        other => Packet::Other(other),
    };
    Some((packet, at + length))
}
