//! A client that behaves as the protocol asks: it sends again what was not acknowledged, resumes where it
//! was, fetches what is missing and confirms what it got.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::entry::said;
use super::history::{Conversation, DeviceOf, What};
use super::line;
use super::recorder::Recorder;
use super::session;
use super::view::View;

/// How often one message in a hundred is sent twice at once, as a hasty client does.
const DOUBLE: f64 = 0.02;
/// How often a text is as long as a page.
const LONG: f64 = 0.03;
/// How often somebody changes a message instead of writing one.
const CHANGE: f64 = 0.08;
/// How often somebody who writes is seen typing before.
const TYPING: f64 = 0.1;
/// Messages that somebody may come back to, and answered ones of which is known what they said.
const REMEMBERED: usize = 32;
/// How often a device forgets where it was and joins anew.
const FORGETFUL: f64 = 0.15;

/// What everybody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// They talk.
    Talking,
    /// They only say to the end what they began.
    Quiet,
    /// They go.
    Over,
}

/// What the run tells its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// What everybody does.
    pub phase: Phase,
    /// The device that reads nothing for now.
    pub asleep: Option<usize>,
}

/// How far a device is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Messages that were not acknowledged yet.
    pub pending: usize,
    /// Whether it knows of entries that it lacks.
    pub holes: bool,
    /// The newest place of each conversation that it knows of.
    pub heads: BTreeMap<Conversation, u64>,
}

/// Somebody's right to sign in.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user's id.
    pub id: String,
    /// The display name.
    pub name: String,
    /// What proves it.
    pub token: String,
    /// The log that places count in.
    pub log: String,
}

/// What a device does, beside talking.
#[derive(Debug, Clone)]
pub struct Habits {
    /// Where it comes in.
    pub doors: Vec<SocketAddr>,
    /// Messages that it writes in a second, as long as they are answered.
    pub rate: u32,
    /// Whether it takes the transports of SockJS in turn, beside the plain WebSocket.
    pub sockjs: bool,
}

/// A message, or a change of one, that was not acknowledged yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: String,
    pub(super) conversation: Conversation,
    pub(super) kind: &'static str,
    pub(super) data: Value,
}

impl Pending {
    /// What it says, as histories have it.
    pub(super) fn text(&self) -> String {
        said(self.kind, &self.data)
    }
}

/// How somebody stands to a room, as far as they were told: the places where they came to it and had to go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Belonging {
    pub(super) added: u64,
    pub(super) removed: u64,
}

/// One tab or app of a user.
#[derive(Debug)]
pub struct Device {
    pub(super) index: usize,
    pub(super) of: DeviceOf,
    pub(super) identity: Identity,
    pub(super) recorder: Recorder,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) views: BTreeMap<Conversation, View>,
    pub(super) pending: VecDeque<Pending>,
    /// The newest of those that were answered.
    pub(super) settled: VecDeque<Pending>,
    pub(super) rooms: BTreeMap<Conversation, Belonging>,
    /// Messages of its own that it may change, and of anybody that it may think something of.
    own: VecDeque<(Conversation, String)>,
    seen: VecDeque<(Conversation, String, String)>,
    pub(super) rng: StdRng,
    /// How long it was asked to stay away.
    pub(super) away: Duration,
    habits: Habits,
    status: watch::Sender<Status>,
    written: u64,
    sessions: u64,
}

impl Device {
    /// Somebody's device that was not connected yet, and comes in by one of the doors; and how far it is.
    #[must_use]
    pub fn new(
        (index, of): (usize, DeviceOf),
        identity: Identity,
        habits: Habits,
        seed: u64,
        recorder: Recorder,
        orders: watch::Receiver<Orders>,
    ) -> (Self, watch::Receiver<Status>) {
        let (status, watched) = watch::channel(Status::default());
        let views = of.follows.iter().map(|conversation| (conversation.clone(), View::default())).collect();
        let device = Self {
            index,
            of,
            identity,
            recorder,
            orders,
            views,
            pending: VecDeque::new(),
            settled: VecDeque::new(),
            rooms: BTreeMap::new(),
            own: VecDeque::new(),
            seen: VecDeque::new(),
            rng: StdRng::seed_from_u64(seed),
            away: Duration::ZERO,
            habits,
            status,
            written: 0,
            sessions: 0,
        };
        (device, watched)
    }

    /// Talks, loses its connection, comes back, until the run is over.
    pub async fn run(mut self) {
        while self.orders.borrow().phase != Phase::Over {
            self.sessions += 1;
            let name = format!("{}.{}", self.of.device, self.sessions);
            let door = self.habits.doors[self.rng.random_range(0..self.habits.doors.len())];
            let number = usize::try_from(self.sessions).unwrap_or_default() + 2 * self.index;
            let way = self.habits.sockjs.then(|| line::way(number)).flatten();
            let why = match session::run(&mut self, &name, (door, way)).await {
                Ok(()) => "it wanted to".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            self.recorder.note(What::Closed { session: name, why });
            let pause = std::mem::take(&mut self.away).min(Duration::from_secs(2));
            tokio::time::sleep(pause + Duration::from_millis(self.rng.random_range(20..400))).await;
        }
    }

    /// Where the next session goes on; nothing when it forgets, as a page does that was loaded anew.
    pub(super) fn resumes(&mut self) -> Option<BTreeMap<Conversation, u64>> {
        if self.sessions == 1 || self.rng.random_bool(FORGETFUL) {
            return None;
        }
        Some(self.views.iter().map(|(conversation, view)| (conversation.clone(), view.last())).collect())
    }

    /// Makes up a message or a change of one, and says how often to send it.
    pub(super) fn write(&mut self) -> (Pending, usize) {
        self.written += 1;
        let id = format!("{}-{}", self.of.device, self.written);
        let change = if self.rng.random_bool(CHANGE) { self.change(&id) } else { None };
        let message = change.unwrap_or_else(|| self.message(id));
        self.pending.push_back(message.clone());
        let times = if self.rng.random_bool(DOUBLE) { 2 } else { 1 };
        (message, times)
    }

    fn message(&mut self, id: String) -> Pending {
        let public = self.rng.random_bool(0.5) || self.of.follows.len() == 1;
        let place = if public { 0 } else { self.rng.random_range(1..self.of.follows.len()) };
        let mut text = format!("{id} says something – ünïcode ☃ \"quoted\"");
        if self.rng.random_bool(LONG) {
            text.push_str(&" and goes on".repeat(250));
        }
        let conversation = self.of.follows[place].clone();
        Pending { id, conversation, kind: "msg", data: json!({"text": text}) }
    }

    /// Says something else instead of an earlier message, takes it back, or thinks something of anybody's.
    fn change(&mut self, id: &str) -> Option<Pending> {
        let which = self.rng.random_range(0..10);
        if which < 4 {
            let place = self.rng.random_range(0..self.seen.len().max(1));
            let (conversation, target, author) = self.seen.get(place)?.clone();
            let emoji = if self.rng.random_bool(0.5) { "👍" } else { "🎉" };
            let on = self.rng.random_bool(0.8);
            let data = json!({"target": target, "author": author, "emoji": emoji, "on": on});
            return Some(Pending { id: id.to_owned(), conversation, kind: "react", data });
        }
        let place = self.rng.random_range(0..self.own.len().max(1));
        let (conversation, target) = self.own.get(place)?.clone();
        let (kind, data) = if which < 8 {
            ("edit", json!({"target": target, "text": format!("{id} says it in other words")}))
        } else {
            self.own.remove(place);
            ("delete", json!({"target": target}))
        };
        Some(Pending { id: id.to_owned(), conversation, kind, data })
    }

    /// Takes a message from those that were not answered yet.
    pub(super) fn settle(&mut self, id: &str) -> Option<Pending> {
        let place = self.pending.iter().position(|pending| pending.id == id)?;
        let pending = self.pending.remove(place)?;
        remember(&mut self.settled, pending.clone());
        Some(pending)
    }

    /// Remembers a message of its own that is in the log, so that it may be changed.
    pub(super) fn has_said(&mut self, message: &Pending) {
        if message.kind == "msg" {
            remember(&mut self.own, (message.conversation.clone(), message.id.clone()));
        }
    }

    /// Remembers a message that was shown, so that somebody may think something of it.
    pub(super) fn has_seen(&mut self, conversation: &Conversation, id: &str, author: &str) {
        remember(&mut self.seen, (conversation.clone(), id.to_owned(), author.to_owned()));
    }

    /// Whether it shows that it is about to write.
    pub(super) fn types(&mut self) -> bool {
        self.rng.random_bool(TYPING)
    }

    /// How long it thinks about its next message.
    pub(super) fn pause(&mut self) -> Duration {
        Duration::from_secs(1).div_f64(f64::from(self.habits.rate)).mul_f64(self.rng.random_range(0.2..1.8))
    }

    /// Tells the run how far this device is with what it reads.
    pub(super) fn tell(&self, reads: impl Fn(&Conversation) -> bool) {
        let read = || self.views.iter().filter(|(conversation, _)| reads(conversation));
        let status = Status {
            pending: self.pending.len(),
            holes: read().any(|(_, view)| view.hole().is_some()),
            heads: read().map(|(conversation, view)| (conversation.clone(), view.head())).collect(),
        };
        self.status.send_if_modified(|told| {
            let news = *told != status;
            *told = status;
            news
        });
    }
}

/// Keeps the newest few.
fn remember<T>(few: &mut VecDeque<T>, new: T) {
    if few.len() == REMEMBERED {
        few.pop_front();
    }
    few.push_back(new);
}
