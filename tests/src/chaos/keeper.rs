//! Who owns the room: removes people and takes them in again, now by a frame, now over HTTP, and each time both in the end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::device::{Identity, Orders, Phase};
use super::entry::{number, said, text};
use super::history::{Conversation, What};
use super::line::{Line, SILENCE, hello, name};
use super::recorder::Recorder;
use crate::http;

/// How soon to try again.
const RETRY: Duration = Duration::from_millis(200);
/// The room's id.
pub(super) const ROOM: &str = "ops";
/// Who is removed now and then.
pub(super) const CHURNED: [&str; 2] = ["bob", "dave"];

/// The owner of the room, at work.
#[derive(Debug)]
pub(super) struct Keeper {
    identity: Identity,
    doors: Vec<SocketAddr>,
    rng: StdRng,
    recorder: Recorder,
    orders: watch::Receiver<Orders>,
    busy: watch::Sender<bool>,
    line: Option<Line>,
    sessions: u64,
    /// Who of those that are removed now and then belongs to the room.
    inside: [bool; CHURNED.len()],
}

/// A change of the room.
struct Wish {
    id: String,
    kind: &'static str,
    data: Value,
}

impl Keeper {
    /// The owner of a room that is there, with all members in it; and whether they still wait for answers.
    pub(super) fn new(
        identity: Identity,
        doors: Vec<SocketAddr>,
        seed: u64,
        recorder: Recorder,
        orders: watch::Receiver<Orders>,
    ) -> (Self, watch::Receiver<bool>) {
        let (busy, watched) = watch::channel(true);
        let keeper = Self {
            identity,
            doors,
            rng: StdRng::seed_from_u64(seed),
            recorder,
            orders,
            busy,
            line: None,
            sessions: 0,
            inside: [true; CHURNED.len()],
        };
        (keeper, watched)
    }

    /// Changes who belongs to the room until nobody talks any more.
    pub(super) async fn run(mut self) {
        for count in 1_u64.. {
            let pause = Duration::from_millis(self.rng.random_range(100..900));
            let over = self.orders.wait_for(|orders| orders.phase != Phase::Talking);
            if timeout(pause, over).await.is_ok() {
                break;
            }
            let who = self.rng.random_range(0..CHURNED.len());
            let kind = if self.inside[who] { "member.remove" } else { "member.add" };
            let id = format!("{}-keeps-{count}", self.identity.id);
            self.change(&Wish { id, kind, data: json!({"user": CHURNED[who]}) }).await;
            self.inside[who] = !self.inside[who];
        }
        self.busy.send_replace(false);
    }

    /// Asks for it until it is done, or all is over.
    async fn change(&mut self, wish: &Wish) {
        let (user, id) = (self.identity.id.clone(), wish.id.clone());
        let (conversation, text) = (Conversation::room(ROOM), said(wish.kind, &wish.data));
        self.recorder.note(What::Sent { user, id, conversation, text });
        if self.rng.random_bool(0.5) {
            // Whatever comes of it: the same is asked for again by a frame, which has to be answered alike.
            self.call(wish).await.ok();
        }
        while self.orders.borrow().phase != Phase::Over {
            match self.ask(wish).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    self.line = None;
                    let (session, why) = (self.name(), format!("{error:#}"));
                    self.recorder.note(What::Closed { session, why });
                }
            }
            sleep(RETRY).await;
        }
    }

    async fn call(&mut self, wish: &Wish) -> Result<()> {
        let user = wish.data["user"].as_str().context("nobody")?;
        let method = if wish.kind == "member.add" { Method::PUT } else { Method::DELETE };
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/rooms/{ROOM}/members/{user}"))
            .header(AUTHORIZATION, format!("Bearer {}", self.identity.token))
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", &wish.id);
        let door = self.doors[self.rng.random_range(0..self.doors.len())];
        let answer = timeout(SILENCE, http::send(door, request)).await??;
        if answer.status.is_client_error() {
            let code = format!("{} {}", answer.status, answer.body);
            self.refused(wish, "http", code);
        }
        Ok(())
    }

    /// Asks once; whether it is settled.
    async fn ask(&mut self, wish: &Wish) -> Result<bool> {
        if self.line.is_none() {
            let door = self.doors[self.rng.random_range(0..self.doors.len())];
            let mut line = Line::open(door, None).await?;
            hello(&mut line, &self.identity).await?;
            self.sessions += 1;
            self.recorder.note(What::Opened {
                session: self.name(),
                device: format!("{}-keeper", self.identity.id),
                user: self.identity.id.clone(),
                resumed: [].into(),
                door: name(None),
            });
            self.line = Some(line);
        }
        let line = self.line.as_mut().context("not connected")?;
        let dest = Conversation::room(ROOM).dest_for(&self.identity.id);
        let frame = json!({"type": wish.kind, "id": wish.id, "dest": dest, "data": wish.data});
        let asking = async {
            line.send(&frame).await?;
            loop {
                let frame = line.frame().await?;
                if frame["re"] == wish.id.as_str() {
                    return anyhow::Ok(frame);
                }
            }
        };
        let answer = timeout(SILENCE, asking).await.context("no answer")??;
        if answer["type"] == "error" {
            if answer["data"]["retry"] == true {
                return Ok(false);
            }
            let code = text(&answer["data"]["code"])?;
            self.refused(wish, &self.name(), code);
            return Ok(true);
        }
        if answer["type"] != "reply" {
            bail!("no answer to a change: {answer}");
        }
        let room = &answer["data"];
        self.recorder.note(What::Acknowledged {
            session: self.name(),
            user: self.identity.id.clone(),
            id: wish.id.clone(),
            conversation: Conversation::room(ROOM),
            seq: number(&room["head"])?,
            time: number(&room["modified"])?,
            text: Some(said(wish.kind, &wish.data)),
        });
        Ok(true)
    }

    fn refused(&self, wish: &Wish, session: &str, code: String) {
        self.recorder.note(What::Refused {
            session: session.to_owned(),
            user: self.identity.id.clone(),
            id: wish.id.clone(),
            conversation: Conversation::room(ROOM),
            text: said(wish.kind, &wish.data),
            code,
        });
    }

    fn name(&self) -> String {
        format!("{}-keeper.{}", self.identity.id, self.sessions)
    }
}
