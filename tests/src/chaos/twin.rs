//! Somebody who says each thing over two connections at the same moment: on two nodes, where there are two.
//!
//! Mostly it is the same under one id, and has to be stored once and answered alike. Now and then the two contradict each
//! other, or something else follows under an id that is spent: then one of them has to be refused.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::SinkExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::device::{Identity, Orders, Phase};
use super::history::{Conversation, What};
use super::recorder::Recorder;
use super::session::{frame, number, open, text};

/// How often the two contradict each other.
const CONTRADICTION: f64 = 0.25;
/// How often something else follows under the same id.
const SPENT: f64 = 0.25;
/// How long an answer may take before a connection is given up.
const SILENCE: Duration = Duration::from_secs(3);
/// How soon to try again.
const RETRY: Duration = Duration::from_millis(200);

/// Two connections of one user.
#[derive(Debug)]
pub(super) struct Twin {
    hands: [Hand; 2],
    rng: StdRng,
    orders: watch::Receiver<Orders>,
    busy: watch::Sender<bool>,
}

#[derive(Debug)]
struct Hand {
    name: String,
    identity: Identity,
    door: SocketAddr,
    recorder: Recorder,
    orders: watch::Receiver<Orders>,
    socket: Option<WebSocketStream<TcpStream>>,
}

/// What is said under an id.
#[derive(Debug, Clone)]
struct Said {
    id: String,
    conversation: Conversation,
    text: String,
}

impl Twin {
    /// Somebody who comes in by the first and the last door; and whether they still wait for answers.
    pub(super) fn new(
        identity: &Identity,
        doors: &[SocketAddr],
        seed: u64,
        recorder: &Recorder,
        orders: watch::Receiver<Orders>,
    ) -> Result<(Self, watch::Receiver<bool>)> {
        let ends = [doors.first(), doors.last()].map(Option::<&SocketAddr>::copied);
        let [left, right] = ends.map(|door| door.context("no door"));
        let hand = |name: &str, door| Hand {
            name: format!("{}-{name}", identity.id),
            identity: identity.clone(),
            door,
            recorder: recorder.clone(),
            orders: orders.clone(),
            socket: None,
        };
        let hands = [hand("left", left?), hand("right", right?)];
        let (busy, watched) = watch::channel(true);
        Ok((Self { hands, rng: StdRng::seed_from_u64(seed), orders, busy }, watched))
    }

    /// Talks until nobody talks any more.
    pub(super) async fn run(mut self) {
        for number in 1_u64.. {
            let pause = Duration::from_millis(self.rng.random_range(30..200));
            let over = self.orders.wait_for(|orders| orders.phase != Phase::Talking);
            if timeout(pause, over).await.is_ok() {
                break;
            }
            self.say(number).await;
        }
        self.busy.send_replace(false);
    }

    async fn say(&mut self, number: u64) {
        let user = self.hands[0].identity.id.clone();
        let conversation = if self.rng.random_bool(0.7) {
            Conversation::public()
        } else {
            // Notes to oneself: the one place that is all theirs.
            Conversation::pair(&user, &user)
        };
        let id = format!("{user}-twice-{number}");
        let said = |text: String| Said { id: id.clone(), conversation: conversation.clone(), text };
        let one = said(format!("{id} with both hands"));
        let other = if self.rng.random_bool(CONTRADICTION) { said(format!("not {id}")) } else { one.clone() };
        let [left, right] = &mut self.hands;
        // Both are there before either speaks.
        tokio::join!(left.arrive(), right.arrive());
        tokio::join!(left.say(&one), right.say(&other));
        if self.rng.random_bool(SPENT) {
            let hand = self.rng.random_range(0..2);
            self.hands[hand].say(&said(format!("{id} again, but different"))).await;
        }
    }
}

impl Hand {
    fn is_over(&self) -> bool {
        self.orders.borrow().phase == Phase::Over
    }

    /// Comes in, again and again, until it is in or all is over.
    async fn arrive(&mut self) {
        while self.socket.is_none() && !self.is_over() {
            match self.hello().await {
                Ok(socket) => self.socket = Some(socket),
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    async fn hello(&self) -> Result<WebSocketStream<TcpStream>> {
        let mut socket = open(self.door).await?;
        let data = json!({"name": self.identity.name, "token": self.identity.token});
        let hello = json!({"type": "hello", "id": "hello", "data": data});
        socket.send(Message::text(hello.to_string())).await?;
        let ready = timeout(SILENCE, frame(&mut socket)).await.context("no answer to hello")??;
        ensure!(ready["type"] == 1000, "not let in: {ready}");
        Ok(socket)
    }

    /// Sends it until it is accepted or refused for good, or all is over.
    async fn say(&mut self, said: &Said) {
        while !self.is_over() {
            self.arrive().await;
            let Some(mut socket) = self.socket.take() else { return };
            match self.ask(&mut socket, said).await {
                Ok(settled) => {
                    self.socket = Some(socket);
                    if settled {
                        return;
                    }
                }
                Err(error) => {
                    let (session, why) = (self.name.clone(), format!("{error:#}"));
                    self.recorder.note(What::Closed { session, why });
                }
            }
            sleep(RETRY).await;
        }
    }

    /// Sends it once; whether that has settled it.
    async fn ask(&self, socket: &mut WebSocketStream<TcpStream>, said: &Said) -> Result<bool> {
        let Said { id, conversation, text: sent } = said.clone();
        let (session, user) = (self.name.clone(), self.identity.id.clone());
        let dest = conversation.dest_for(&user);
        let message = json!({"type": "msg", "id": id, "dest": dest, "data": {"text": sent}});
        let sending = What::Sent {
            user: user.clone(),
            id: id.clone(),
            conversation: conversation.clone(),
            text: sent.clone(),
        };
        self.recorder.note(sending);
        socket.send(Message::text(message.to_string())).await?;
        let answer = timeout(SILENCE, answer(socket, &id)).await.context("no answer")??;
        if answer["type"] == 100 {
            let (seq, time) = (number(&answer["seq"])?, number(&answer["time"])?);
            let text = Some(sent);
            self.recorder.note(What::Acknowledged { session, user, id, conversation, seq, time, text });
        } else if answer["data"]["retry"] == true {
            return Ok(false);
        } else {
            let code = text(&answer["data"]["code"])?;
            self.recorder.note(What::Refused { session, user, id, conversation, text: sent, code });
        }
        Ok(true)
    }
}

/// What a message is answered with; everything else is not for here.
async fn answer(socket: &mut WebSocketStream<TcpStream>, id: &str) -> Result<Value> {
    loop {
        let frame = frame(socket).await?;
        match (frame["type"].as_str(), frame["type"].as_u64()) {
            (_, Some(100)) if frame["data"] == id => return Ok(frame),
            (Some("error"), _) if frame["re"] == id => return Ok(frame),
            (Some("error"), _) => bail!("an error about nothing that was asked: {frame}"),
            _ => {}
        }
    }
}
