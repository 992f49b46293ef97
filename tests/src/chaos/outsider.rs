//! An MQTT 3.1.1 client, small enough to know exactly what it was told: it publishes with QoS 1, one
//! message after the other, and sends again until the broker has confirmed.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::device::Phase;
use super::history::{Conversation, Entry, What};
use super::recorder::Recorder;
use crate::mqtt::Access;

const CONNACK: u8 = 0x20;
const PUBLISH_QOS_1: u8 = 0x32;
const DUP: u8 = 0x08;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
/// Longer than a broker takes that is there, and shorter than an outage.
const ANSWER: Duration = Duration::from_secs(2);

/// A connection to a broker.
#[derive(Debug)]
pub struct Outsider {
    stream: TcpStream,
    packet: u16,
}

impl Outsider {
    /// Connects with a clean session.
    ///
    /// # Errors
    /// When the broker is away, or refuses.
    pub async fn connect(access: &Access, client_id: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(access.address).await?;
        stream.set_nodelay(true)?;
        let mut body = Vec::new();
        put(&mut body, b"MQTT")?;
        let flags = if access.login.is_some() { 0xc2 } else { 0x02 };
        // Protocol level 4; no keep-alive.
        body.extend([4, flags, 0, 0]);
        put(&mut body, client_id.as_bytes())?;
        if let Some((user, password)) = &access.login {
            put(&mut body, user.as_bytes())?;
            put(&mut body, password.as_bytes())?;
        }
        stream.write_all(&packet(0x10, &body)?).await?;
        let mut outsider = Self { stream, packet: 0 };
        let (kind, answer) = outsider.read().await?;
        ensure!(kind == CONNACK && answer.get(1) == Some(&0), "not let in: {kind:x} {answer:?}");
        Ok(outsider)
    }

    /// Publishes with QoS 1 and waits until the broker has confirmed.
    ///
    /// # Errors
    /// When the connection ends first, or 2 s pass.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], again: bool) -> Result<()> {
        self.send(topic, payload, again).await?;
        self.confirmed().await
    }

    /// Publishes with QoS 1 without waiting.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send(&mut self, topic: &str, payload: &[u8], again: bool) -> Result<()> {
        self.packet = self.packet.checked_add(1).unwrap_or(1);
        let mut body = Vec::new();
        put(&mut body, topic.as_bytes())?;
        body.extend(self.packet.to_be_bytes());
        body.extend(payload);
        let kind = if again { PUBLISH_QOS_1 | DUP } else { PUBLISH_QOS_1 };
        Ok(self.stream.write_all(&packet(kind, &body)?).await?)
    }

    /// Waits for one confirmation.
    ///
    /// # Errors
    /// As [`Outsider::publish`].
    pub async fn confirmed(&mut self) -> Result<()> {
        while self.read().await?.0 != PUBACK {}
        Ok(())
    }

    /// Subscribes with QoS 1.
    ///
    /// # Errors
    /// When the broker refuses, or the connection ends.
    pub async fn subscribe(&mut self, filter: &str) -> Result<()> {
        let mut body = vec![0, 1];
        put(&mut body, filter.as_bytes())?;
        body.push(1);
        self.stream.write_all(&packet(SUBSCRIBE, &body)?).await?;
        let (kind, answer) = self.read().await?;
        ensure!(kind == SUBACK && answer.last() == Some(&1), "not subscribed: {kind:x} {answer:?}");
        Ok(())
    }

    /// Waits for the next message, however long, and confirms it; gives its payload.
    async fn message(&mut self) -> Result<Vec<u8>> {
        loop {
            let (kind, mut body) = self.read_packet().await?;
            if kind >> 4 != 3 {
                continue;
            }
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]])) + 2;
            if kind & 0x06 == 0 {
                return Ok(body.split_off(topic));
            }
            let payload = body.split_off(topic + 2);
            self.stream.write_all(&packet(PUBACK, &body[topic..])?).await?;
            return Ok(payload);
        }
    }

    async fn read(&mut self) -> Result<(u8, Vec<u8>)> {
        tokio::time::timeout(ANSWER, self.read_packet()).await.context("the broker says nothing")?
    }

    async fn read_packet(&mut self) -> Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((kind, body))
    }
}

fn put(body: &mut Vec<u8>, text: &[u8]) -> Result<()> {
    body.extend(u16::try_from(text.len())?.to_be_bytes());
    body.extend(text);
    Ok(())
}

fn packet(kind: u8, body: &[u8]) -> Result<Vec<u8>> {
    ensure!(body.len() < 1 << 28, "longer than a packet can be");
    let mut packet = vec![kind];
    let mut length = body.len();
    loop {
        let more = length >> 7;
        packet.push(u8::try_from(length & 0x7f)? | if more > 0 { 0x80 } else { 0 });
        length = more;
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    Ok(packet)
}

/// Writes down every entry that the servers publish, once each, until its connection ends.
pub(super) async fn overhear(mut outsider: Outsider, recorder: Recorder) {
    let mut heard = HashSet::new();
    while let Ok(payload) = outsider.message().await {
        let frame: Value = serde_json::from_slice(&payload).unwrap_or_default();
        // The readings of other outsiders come here too, as they were published.
        let Ok(entry) = Entry::read(&frame) else { continue };
        if heard.insert(entry.seq) {
            recorder.note(What::Overheard { conversation: Conversation::public(), entry });
        }
    }
}

/// Publishes readings in public for as long as people talk, each until the broker has it.
pub(super) async fn publish_readings(
    name: String,
    seed: u64,
    access: watch::Receiver<Access>,
    recorder: Recorder,
    mut orders: watch::Receiver<super::device::Orders>,
) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut connection: Option<Outsider> = None;
    let from = format!("mqtt:{name}");
    for number in 0_u64.. {
        let pause = Duration::from_millis(rng.random_range(50..250));
        let over = orders.wait_for(|orders| orders.phase != Phase::Talking);
        if tokio::time::timeout(pause, over).await.is_ok() {
            return;
        }
        let (id, text) = (format!("{name}-{number}"), format!("reading {number} of {name}"));
        let payload = json!({"text": text, "from": name, "id": id}).to_string();
        for attempt in 0.. {
            recorder.note(What::Published {
                from: from.clone(),
                id: id.clone(),
                conversation: Conversation::public(),
                text: text.clone(),
            });
            let access = access.borrow().clone();
            match try_publish(&mut connection, &access, &name, payload.as_bytes(), attempt > 0).await {
                Ok(()) => break,
                Err(_) => connection = None,
            }
            if orders.borrow().phase == Phase::Over {
                return;
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(50..300))).await;
        }
        recorder.note(What::Taken { from: from.clone(), id });
    }
}

async fn try_publish(
    connection: &mut Option<Outsider>,
    access: &Access,
    name: &str,
    payload: &[u8],
    again: bool,
) -> Result<()> {
    if connection.is_none() {
        *connection = Some(Outsider::connect(access, name).await?);
    }
    let open = connection.as_mut().context("not connected")?;
    open.publish("public/msgs", payload, again).await
}
