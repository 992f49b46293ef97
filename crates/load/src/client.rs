//! One member of the load: signs in, joins, sends, and tells what it is told, in whichever protocol the target speaks.

use std::collections::VecDeque;
use std::net::IpAddr;

use anyhow::{Context, Result, bail};

use crate::event::Event;
use crate::mqtt::{self, Packet, Packets};
use crate::scan;
use crate::socket::{Ended, Socket};
use crate::stamp::Stamp;
use crate::target::{Speech, Target};

/// Where the chat's messages go, and in MQTT the topic's first level.
pub(crate) const DEST: &str = "public";

/// Who signs in, and from where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    /// Display name, and client id of MQTT: `[a-z0-9-]`.
    pub(crate) name: String,
    /// The address to connect from.
    pub(crate) source: Option<IpAddr>,
    /// What an earlier session left off with.
    pub(crate) back: Option<Back>,
}

/// What a session needs to go on where another one ended.
#[derive(Clone, Debug)]
pub(crate) struct Back {
    pub(crate) token: String,
    pub(crate) log: String,
    /// The last entry of [`DEST`] that it has.
    pub(crate) seq: u64,
}

/// A signed-in client.
pub(crate) struct Client {
    socket: Socket,
    speech: Speech,
    /// The MQTT side.
    packets: Packets,
    unacknowledged: VecDeque<(u16, Stamp)>,
    next_packet: u16,
    topic: String,
    /// The chat side: what [`Back`] needs.
    token: String,
    log: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects and signs in. `on` gets what follows the welcome in the same breath.
    pub(crate) async fn open(
        target: &Target,
        who: &Who,
        run: u32,
        on: impl FnMut(Event<'_>),
    ) -> Result<Self> {
        let mask = run.rotate_left(9).to_be_bytes();
        let socket = Socket::open(target, who.source, mask).await?;
        let mut client = Self {
            socket,
            speech: target.speech,
            packets: Packets::default(),
            unacknowledged: VecDeque::new(),
            next_packet: 0,
            topic: format!("{DEST}/{run:08x}"),
            token: String::new(),
            log: String::new(),
            buffer: Vec::new(),
        };
        match target.speech {
            Speech::Chat => client.hello(who, on).await?,
            Speech::Mqtt | Speech::MqttWs => client.connect(target, who).await?,
        }
        Ok(client)
    }

    async fn hello(&mut self, who: &Who, mut on: impl FnMut(Event<'_>)) -> Result<()> {
        let mut data = serde_json::json!({ "name": who.name });
        if let Some(back) = &who.back {
            data["token"] = back.token.as_str().into();
            data["log"] = back.log.as_str().into();
            data["resume"] = serde_json::json!({ DEST: back.seq });
        }
        self.socket
            .push(serde_json::json!({ "type": "hello", "id": "h", "data": data }).to_string().as_bytes());
        let mut welcome = None;
        while welcome.is_none() {
            self.turn(|event| match event {
                Event::Ready { token, log } => welcome = Some(Ok((token.to_owned(), log.to_owned()))),
                Event::Refused { code, reason } => welcome = Some(Err(format!("{code}: {reason}"))),
                other => on(other),
            })
            .await?;
        }
        match welcome {
            Some(Ok((token, log))) => (self.token, self.log) = (token, log),
            Some(Err(refusal)) => bail!("the server refused the sign-in with {refusal}"),
            None => bail!("the server did not answer the sign-in"),
        }
        Ok(())
    }

    async fn connect(&mut self, target: &Target, who: &Who) -> Result<()> {
        self.socket.push(&mqtt::connect(&who.name, target.login.as_ref(), u16::MAX));
        match self.answer().await? {
            Answer::Connack(0) => Ok(()),
            Answer::Connack(code) => bail!("the broker refused the connection with return code {code}"),
            Answer::Suback(_) => bail!("the broker answered CONNECT with SUBACK"),
        }
    }

    /// Joins the conversation (MQTT: subscribes at this QoS). Returns its head, where there is one.
    pub(crate) async fn join(&mut self, qos: u8, mut on: impl FnMut(Event<'_>)) -> Result<u64> {
        if self.speech != Speech::Chat {
            let subscribe = mqtt::subscribe(1, &self.topic, qos);
            self.socket.push(&subscribe);
            return match self.answer().await? {
                Answer::Suback(granted) if granted == qos => Ok(0),
                other => bail!("the broker answered SUBSCRIBE with {other:?}"),
            };
        }
        let join = format!(r#"{{"type":"join","id":"j","dest":"{DEST}","data":{{"history":0}}}}"#);
        self.socket.push(join.as_bytes());
        let mut joined = None;
        loop {
            self.turn(|event| match event {
                Event::Reply { data } => joined = Some(scan::member(data, "head").and_then(scan::number)),
                other => on(other),
            })
            .await?;
            if let Some(head) = joined {
                return head.context("the reply to join has no head");
            }
        }
    }

    /// Sends a message with this stamp and text.
    pub(crate) fn send(&mut self, stamp: Stamp, text: &str) -> Result<(), Ended> {
        self.push(stamp, text);
        self.socket.flush()
    }

    /// Puts a message into the outbox, for the next [`turn`](Self::turn). `text` is plain: no quotes, no backslashes.
    pub(crate) fn push(&mut self, stamp: Stamp, text: &str) {
        let mut frame = std::mem::take(&mut self.buffer);
        frame.clear();
        frame.extend_from_slice(br#"{"type":"msg","id":""#);
        stamp.write(&mut frame);
        frame.extend_from_slice(br#"","dest":"public","data":{"text":""#);
        frame.extend_from_slice(text.as_bytes());
        frame.extend_from_slice(br#""}}"#);
        if self.speech == Speech::Chat {
            self.socket.push(&frame);
        } else {
            self.next_packet = self.next_packet.checked_add(1).unwrap_or(1);
            self.unacknowledged.push_back((self.next_packet, stamp));
            self.socket.push(&mqtt::publish(self.next_packet, &self.topic, &frame));
        }
        self.buffer = frame;
    }

    /// Waits for what comes in, and hands it on. Also writes what the socket did not take at once.
    ///
    /// Cancel safe.
    pub(crate) async fn turn(&mut self, mut on: impl FnMut(Event<'_>)) -> Result<(), Ended> {
        let Self { socket, speech, packets, unacknowledged, .. } = self;
        let mut wrong = None;
        let mut answers = Vec::new();
        let turned = socket
            .turn(|payload| {
                if *speech == Speech::Chat {
                    match Event::of_chat(payload) {
                        Some(event) => on(event),
                        None => wrong = Some("the server sent something that is no frame".to_owned()),
                    }
                    return;
                }
                let fed = packets.feed(payload, |packet| match packet {
                    Packet::Puback(id) => {
                        let found = unacknowledged.iter().position(|(pending, _)| *pending == id);
                        if let Some((_, stamp)) = found.and_then(|place| unacknowledged.remove(place)) {
                            on(Event::Accepted { stamp, seq: None });
                        }
                    }
                    Packet::Publish { id, payload } => {
                        answers.extend(id.map(mqtt::puback).unwrap_or_default());
                        on(Event::of_chat(payload).unwrap_or(Event::Other));
                    }
                    Packet::Connack(code) => on(Event::Answer(Answer::Connack(code))),
                    Packet::Suback(code) => on(Event::Answer(Answer::Suback(code))),
                    Packet::Other => {}
                });
                wrong = wrong.take().or(fed.err());
            })
            .await;
        if !answers.is_empty() {
            self.socket.push(&answers);
            self.socket.flush()?;
        }
        wrong.map_or(turned, |wrong| Err(Ended::Wrong(wrong)))
    }

    async fn answer(&mut self) -> Result<Answer> {
        let mut answer = None;
        loop {
            self.turn(|event| {
                if let Event::Answer(given) = event {
                    answer = Some(given);
                }
            })
            .await?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }

    /// What the next session of this user needs, when this one has everything up to `seq`.
    pub(crate) fn back(&self, seq: u64) -> Back {
        Back { token: self.token.clone(), log: self.log.clone(), seq }
    }

    /// Bytes received so far, framing included.
    pub(crate) fn received(&self) -> u64 {
        self.socket.received()
    }
}

/// A broker's answer to CONNECT or SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Connack(u8),
    Suback(u8),
}
