//! Who wants to know what is said in a room, and tries everything, whether they belong to it or not.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::device::{Identity, Orders, Phase};
use super::entry::{number, said, text};
use super::history::{Conversation, Entry, What};
use super::line::{Line, SILENCE, hello, name, way};
use super::recorder::Recorder;

/// How soon to come back.
const RETRY: Duration = Duration::from_millis(200);
/// How long one session tries: long enough to hear what it should not.
const TRIES: u64 = 12;

/// One curious user.
#[derive(Debug)]
pub(super) struct Spy {
    pub(super) identity: Identity,
    pub(super) doors: Vec<SocketAddr>,
    /// Whether it takes the transports of SockJS in turn.
    pub(super) sockjs: bool,
    /// Whether it is never let in: then it tries to stay and listen, too.
    pub(super) stranger: bool,
    pub(super) room: Conversation,
    pub(super) recorder: Recorder,
    pub(super) orders: watch::Receiver<Orders>,
}

/// One session of a spy.
struct Attempt<'a> {
    spy: &'a Spy,
    session: String,
    line: Line,
}

impl Spy {
    /// Tries until nobody talks any more.
    pub(super) async fn run(mut self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        for number in 1_usize.. {
            if self.orders.borrow_and_update().phase != Phase::Talking {
                return;
            }
            let session = format!("{}-spy.{number}", self.identity.id);
            let door = self.doors[rng.random_range(0..self.doors.len())];
            let way = self.sockjs.then(|| way(number)).flatten();
            let why = match self.attempt(&session, door, way, &mut rng).await {
                Ok(()) => "it wanted to".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            self.recorder.note(What::Closed { session, why });
            sleep(RETRY).await;
        }
    }

    async fn attempt(
        &self,
        session: &str,
        door: SocketAddr,
        way: Option<crate::sockjs::Door>,
        rng: &mut StdRng,
    ) -> Result<()> {
        let mut line = Line::open(door, way).await?;
        hello(&mut line, &self.identity).await?;
        self.recorder.note(What::Opened {
            session: session.to_owned(),
            device: format!("{}-spy", self.identity.id),
            user: self.identity.id.clone(),
            resumed: [].into(),
            door: name(way),
        });
        let mut attempt = Attempt { spy: self, session: session.to_owned(), line };
        for number in 0..TRIES {
            if self.orders.borrow().phase != Phase::Talking {
                break;
            }
            attempt.once(&format!("{session}-{number}"), rng).await?;
            sleep(Duration::from_millis(rng.random_range(20..200))).await;
        }
        attempt.line.close().await;
        Ok(())
    }
}

impl Attempt<'_> {
    /// Tries one thing, and listens until it is answered.
    async fn once(&mut self, id: &str, rng: &mut StdRng) -> Result<()> {
        let (user, room) = (&self.spy.identity.id, &self.spy.room);
        let dest = room.dest_for(user);
        let kinds =
            ["history", "search", "search everywhere", "roster", "msg", "member.add", "room.update", "join"];
        // Who may come in at times would have to listen as a member then.
        let kind = kinds[rng.random_range(0..if self.spy.stranger { kinds.len() } else { 5 })];
        let data = match kind {
            "history" => json!({"after": 0, "limit": 20}),
            "search" | "search everywhere" => json!({"q": "says", "limit": 20}),
            "msg" => json!({"text": format!("{id} was not asked")}),
            "member.add" => json!({"user": user}),
            "room.update" => json!({"title": "Mine", "open": true}),
            "join" => json!({"history": 50}),
            _ => json!({}),
        };
        let mut frame = json!({"type": kind, "id": id, "dest": dest, "data": data});
        if kind == "search everywhere" {
            frame["type"] = json!("search");
            frame.as_object_mut().context("a frame")?.remove("dest");
        }
        if kind == "msg" {
            self.note(What::Sent {
                user: user.clone(),
                id: id.to_owned(),
                conversation: room.clone(),
                text: said(kind, &frame["data"]),
            });
        }
        let asked = self.spy.recorder.now();
        let asking = async {
            self.line.send(&frame).await?;
            loop {
                let frame = self.line.frame().await?;
                if frame["re"] == id || frame["type"] == 100 && frame["data"] == id {
                    return anyhow::Ok(frame);
                }
                self.overhears(&frame)?;
            }
        };
        let answer = timeout(SILENCE, asking).await.context("no answer")??;
        self.answered(kind, id, asked, &answer)
    }

    /// What comes without having been asked for.
    fn overhears(&self, frame: &Value) -> Result<()> {
        let Some(dest) = frame["dest"].as_str() else { return Ok(()) };
        let (user, session) = (&self.spy.identity.id, self.session.clone());
        let conversation = Conversation::of_frame(user, dest, frame["from"].as_str());
        let kind = frame["type"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            _ if !conversation.is_room() => {}
            "room" => self.note(What::Told { session, conversation, entry: Entry::read(frame)? }),
            "msg" | "edit" | "delete" | "react" => {
                self.note(What::Saw { session, conversation, entry: Entry::read(frame)? });
            }
            _ => self.note(What::Heard { session, conversation, kind }),
        }
        Ok(())
    }

    fn answered(&self, kind: &str, id: &str, asked: u64, answer: &Value) -> Result<()> {
        let (session, user) = (self.session.clone(), self.spy.identity.id.clone());
        let conversation = self.spy.room.clone();
        if answer["data"]["retry"] == true {
            return Ok(());
        }
        let entries = answer["data"]["messages"].as_array().map_or(&[][..], Vec::as_slice);
        if kind == "search everywhere" || kind == "search" && answer["type"] == "reply" {
            let place = |frame: &Value| {
                let dest = text(&frame["dest"])?;
                anyhow::Ok(Conversation::of_frame(&user, &dest, frame["from"].as_str()))
            };
            let found = entries.iter().map(|frame| Ok((place(frame)?, Entry::read(frame)?)));
            let entries = found.collect::<Result<_>>()?;
            self.note(What::Found { session: session.clone(), entries, asked });
        } else if kind == "history" && answer["type"] == "reply" {
            let entries = entries.iter().map(Entry::read).collect::<Result<_>>()?;
            let (session, conversation) = (session.clone(), conversation.clone());
            self.note(What::Fetched { session, conversation, entries, asked: Some(asked) });
        } else if answer["type"] == 100 {
            let (seq, time) = (number(&answer["seq"])?, number(&answer["time"])?);
            let (session, user, conversation) = (session.clone(), user.clone(), conversation.clone());
            let id = id.to_owned();
            self.note(What::Acknowledged { session, user, id, conversation, seq, time, text: None });
        }
        if kind == "search everywhere" {
            return Ok(());
        }
        let code = answer["data"]["code"].as_str();
        if let (Some(code), "msg") = (code, kind) {
            let text = format!("{id} was not asked");
            let (session, user, conversation) = (session.clone(), user.clone(), conversation.clone());
            let (id, code) = (id.to_owned(), code.to_owned());
            self.note(What::Refused { session, user, id, conversation, text, code });
        }
        let (tried, answer) = (kind.to_owned(), code.unwrap_or("what they wanted").to_owned());
        self.note(What::Tried { session, user, conversation, tried, asked, answer });
        Ok(())
    }

    fn note(&self, what: What) {
        self.spy.recorder.note(what);
    }
}
