//! A client that behaves as the protocol asks: it sends again what was not acknowledged, resumes where it
//! was, fetches what is missing and confirms what it got.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use super::history::{Conversation, DeviceOf, What};
use super::recorder::Recorder;
use super::session;
use super::view::View;

/// How often one message in a hundred is sent twice at once, as a hasty client does.
const DOUBLE: f64 = 0.02;
/// How often a text is as long as a page.
const LONG: f64 = 0.03;
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

/// A message that was not acknowledged yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: String,
    pub(super) conversation: Conversation,
    pub(super) text: String,
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
    pub(super) rng: StdRng,
    /// How long it was asked to stay away.
    pub(super) away: Duration,
    doors: Vec<SocketAddr>,
    rate: u32,
    status: watch::Sender<Status>,
    written: u64,
    sessions: u64,
}

impl Device {
    /// Somebody's device that was not connected yet, and comes in by one of the doors; and how far it is. It writes
    /// `rate` messages a second, as long as they are answered.
    #[must_use]
    pub fn new(
        (index, of): (usize, DeviceOf),
        identity: Identity,
        (doors, rate): (Vec<SocketAddr>, u32),
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
            rng: StdRng::seed_from_u64(seed),
            away: Duration::ZERO,
            doors,
            rate,
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
            let door = self.doors[self.rng.random_range(0..self.doors.len())];
            let why = match session::run(&mut self, &name, door).await {
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

    /// Makes up a message, and says how often to send it.
    pub(super) fn write(&mut self) -> (Pending, usize) {
        self.written += 1;
        let id = format!("{}-{}", self.of.device, self.written);
        let public = self.rng.random_bool(0.6) || self.of.follows.len() == 1;
        let place = if public { 0 } else { self.rng.random_range(1..self.of.follows.len()) };
        let mut text = format!("{id} says something – ünïcode ☃ \"quoted\"");
        if self.rng.random_bool(LONG) {
            text.push_str(&" and goes on".repeat(250));
        }
        let message = Pending { id, conversation: self.of.follows[place].clone(), text };
        self.pending.push_back(message.clone());
        let times = if self.rng.random_bool(DOUBLE) { 2 } else { 1 };
        (message, times)
    }

    /// How long it thinks about its next message.
    pub(super) fn pause(&mut self) -> Duration {
        Duration::from_secs(1).div_f64(f64::from(self.rate)).mul_f64(self.rng.random_range(0.2..1.8))
    }

    /// Tells the run how far this device is.
    pub(super) fn tell(&self) {
        let status = Status {
            pending: self.pending.len(),
            holes: self.views.values().any(|view| view.hole().is_some()),
            heads: self
                .views
                .iter()
                .map(|(conversation, view)| (conversation.clone(), view.head()))
                .collect(),
        };
        self.status.send_if_modified(|told| {
            let news = *told != status;
            *told = status;
            news
        });
    }
}
