//! Somebody who says each thing over two connections at the same moment: on two nodes, where there are two.
//!
//! Mostly it is the same under one id, and has to be stored once and answered alike. Now and then the two contradict each
//! other, or something else follows under an id that is spent: then one of them has to be refused.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::device::{Identity, Orders, Phase};
use super::entry::{number, text};
use super::history::{Conversation, What};
use super::line::{Line, SILENCE, hello};
use super::recorder::Recorder;
use crate::sockjs::Door;

/// How often the two contradict each other.
const CONTRADICTION: f64 = 0.25;
/// How often something else follows under the same id.
const SPENT: f64 = 0.25;
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
    way: Option<Door>,
    recorder: Recorder,
    orders: watch::Receiver<Orders>,
    line: Option<Line>,
}

/// What is said under an id.
#[derive(Debug, Clone)]
struct Said {
    id: String,
    conversation: Conversation,
    text: String,
}

impl Twin {
    /// Somebody who comes in by the first and the last door, there over SockJS if that may be; and whether they still wait
    /// for answers.
    pub(super) fn new(
        identity: &Identity,
        doors: &[SocketAddr],
        sockjs: bool,
        seed: u64,
        recorder: &Recorder,
        orders: watch::Receiver<Orders>,
    ) -> Result<(Self, watch::Receiver<bool>)> {
        let ends = [doors.first(), doors.last()].map(Option::<&SocketAddr>::copied);
        let [left, right] = ends.map(|door| door.context("no door"));
        let hand = |name: &str, door, way| Hand {
            name: format!("{}-{name}", identity.id),
            identity: identity.clone(),
            door,
            way,
            recorder: recorder.clone(),
            orders: orders.clone(),
            line: None,
        };
        let streaming = sockjs.then_some(Door::XhrStreaming);
        let hands = [hand("left", left?, None), hand("right", right?, streaming)];
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
        while self.line.is_none() && !self.is_over() {
            match self.hello().await {
                Ok(line) => self.line = Some(line),
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    async fn hello(&self) -> Result<Line> {
        let mut line = Line::open(self.door, self.way).await?;
        hello(&mut line, &self.identity).await?;
        Ok(line)
    }

    /// Sends it until it is accepted or refused for good, or all is over.
    async fn say(&mut self, said: &Said) {
        while !self.is_over() {
            self.arrive().await;
            let Some(mut line) = self.line.take() else { return };
            match self.ask(&mut line, said).await {
                Ok(settled) => {
                    self.line = Some(line);
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
    async fn ask(&self, line: &mut Line, said: &Said) -> Result<bool> {
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
        let asking = async {
            line.send(&message).await?;
            answer(line, &id).await
        };
        let answer = timeout(SILENCE, asking).await.context("no answer")??;
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
async fn answer(line: &mut Line, id: &str) -> Result<Value> {
    loop {
        let frame = line.frame().await?;
        match (frame["type"].as_str(), frame["type"].as_u64()) {
            (_, Some(100)) if frame["data"] == id => return Ok(frame),
            (Some("error"), _) if frame["re"] == id => return Ok(frame),
            (Some("error"), _) => bail!("an error about nothing that was asked: {frame}"),
            _ => {}
        }
    }
}
