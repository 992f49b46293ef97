//! `crowd`: many people come within a short time, while some talk: what do those who are there notice of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::Faults;
use crate::cli::Which;
use crate::client::{Client, Who};
use crate::event::Event;
use crate::hearing::Hearing;
use crate::lab::Lab;
use crate::latency::{Latency, Summary};
use crate::process::Process;
use crate::report::percent;
use crate::socket::Ended;

/// How long those who talk hear of each other before the first one comes.
const SETTLING: Duration = Duration::from_secs(2);

/// How long they go on talking after the last one was due, and how long what they said may then take.
const AFTERWARDS: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(15);

/// The time in which presence frames are counted, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

#[derive(Args, Debug)]
pub(crate) struct Crowd {
    /// How many people come
    #[arg(default_value_t = 5000)]
    people: usize,
    #[command(flatten)]
    which: Which,
    /// In how many seconds
    #[arg(long, default_value_t = 10)]
    within: u64,
    /// How many others are there already and talk
    #[arg(long, default_value_t = 50)]
    talkers: usize,
    /// Messages of all of them together in a second
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Characters of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct CrowdReport {
    target: String,
    people: usize,
    failed: usize,
    failure: Option<String>,
    /// From the first one's coming until the last one has joined.
    joined_s: f64,
    /// One sign-in and join.
    coming: Summary,
    presence_frames_per_session: f64,
    presence_frames_per_session_most: u64,
    /// The most that came to one session within a second.
    presence_frames_a_second_most: usize,
    presence_bytes_per_session: f64,
    presence_bytes_per_session_most: u64,
    sent: u64,
    accepted: u64,
    /// From sending to 100.
    acceptance: Summary,
    /// From sending until another of those who talk has it.
    delivery: Summary,
    /// From sending until somebody who has come has it.
    delivery_to_crowd: Summary,
    faults: Faults,
    server_cpu_percent: Option<f64>,
    own_cpu_percent: f64,
}

/// What one session is told of the others' coming.
#[derive(Default)]
struct Told {
    frames: u64,
    bytes: u64,
    lately: VecDeque<u64>,
    most_at_once: usize,
}

impl Told {
    fn note(&mut self, bytes: usize, now: u64) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.lately.push_back(now);
        while self.lately.front().is_some_and(|first| now - first >= SECOND) {
            self.lately.pop_front();
        }
        self.most_at_once = self.most_at_once.max(self.lately.len());
    }
}

/// Shared by the tasks of all.
struct Tally {
    hearing: Hearing,
    told: RefCell<Vec<Told>>,
    coming: RefCell<Latency>,
    delivery: RefCell<Latency>,
    done: Cell<usize>,
    changed: Notify,
    failed: Cell<usize>,
    failure: RefCell<Option<String>>,
}

impl Tally {
    fn noted(&self, session: usize, event: &Event<'_>) {
        if let Event::Presence { bytes, .. } = event {
            self.told.borrow_mut()[session].note(*bytes, self.hearing.crew.clock.now());
        }
    }

    /// The same for one of the crowd.
    fn heard(&self, session: usize, event: &Event<'_>) {
        self.noted(session, event);
        if let Event::Message { stamp: Some(stamp), .. } = event
            && stamp.run == self.hearing.crew.run
        {
            self.delivery.borrow_mut().record(self.hearing.crew.clock.since(stamp.at));
        }
    }

    fn failed(&self, why: &anyhow::Error) {
        self.failed.set(self.failed.get() + 1);
        self.failure.borrow_mut().get_or_insert_with(|| format!("{why:#}"));
    }
}

impl Crowd {
    pub(crate) async fn run(&self) -> Result<CrowdReport> {
        ensure!(self.talkers >= 2 && self.rate > 0.0, "two people at least have to talk");
        let lab = Lab::open(&self.which).await?;
        let tally = Rc::new(Tally {
            hearing: Hearing::new(lab.crew, true)?,
            told: RefCell::new((0..self.talkers + self.people).map(|_| Told::default()).collect()),
            coming: RefCell::new(Latency::new()?),
            delivery: RefCell::new(Latency::new()?),
            done: Cell::default(),
            changed: Notify::new(),
            failed: Cell::default(),
            failure: RefCell::default(),
        });
        let talkers = self.talkers(&lab, &tally).await?;
        let begin = Instant::now() + SETTLING;
        let mut tasks = JoinSet::new();
        let pause = Duration::from_secs_f64(self.talkers as f64 / self.rate);
        let talked = Duration::from_secs(self.within) + AFTERWARDS;
        let messages = (talked.as_secs_f64() / pause.as_secs_f64()).ceil() as u32;
        for (number, client) in talkers.into_iter().enumerate() {
            let due = begin + pause.mul_f64(number as f64 / self.talkers as f64);
            let part = Part { number, due, pause, messages, text: "x".repeat(self.size) };
            tasks.spawn_local(talk(tally.clone(), client, part));
        }
        tokio::time::sleep_until(begin).await;
        // What they were told of each other doesn't count.
        tally.told.borrow_mut().fill_with(Told::default);
        let (server_before, own_before) = (lab.cpu(), Process::own().cpu()?);
        for number in 0..self.people {
            let due = begin + Duration::from_secs(self.within).mul_f64(number as f64 / self.people as f64);
            let session = self.talkers + number;
            let who = lab.crew.member_of_many(session, self.talkers + self.people, &lab.target);
            tasks.spawn_local(come(tally.clone(), lab.target.clone(), who, session, due));
        }
        while tally.done.get() < self.people {
            tally.changed.notified().await;
        }
        let joined_s = begin.elapsed().as_secs_f64();
        let sent = u64::from(messages) * self.talkers as u64;
        tally.hearing.all(sent, Instant::now().max(begin + talked) + PATIENCE).await?;
        let seconds = begin.elapsed().as_secs_f64();
        let (server_after, own_after) = (lab.cpu(), Process::own().cpu()?);
        let of_core = |before: Duration, after: Duration| percent((after - before).as_secs_f64(), seconds);
        let server = server_before.zip(server_after).map(|(before, after)| of_core(before, after));
        Ok(self.report(&lab, &tally, joined_s, sent, (server, of_core(own_before, own_after))))
    }

    async fn talkers(&self, lab: &Lab, tally: &Tally) -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for number in 0..self.talkers {
            let who = lab.crew.member(number);
            let mut client = Client::open(&lab.target, &who, lab.crew.run, |_| {}).await?;
            tally.hearing.seat(client.join(1, |_| {}).await?);
            clients.push(client);
        }
        Ok(clients)
    }

    fn report(
        &self,
        lab: &Lab,
        tally: &Tally,
        joined_s: f64,
        sent: u64,
        (server_cpu_percent, own_cpu_percent): (Option<f64>, f64),
    ) -> CrowdReport {
        let told = tally.told.borrow();
        let mean = |of: fn(&Told) -> u64| told.iter().map(of).sum::<u64>() as f64 / told.len() as f64;
        let most = |of: fn(&Told) -> u64| told.iter().map(of).max().unwrap_or(0);
        CrowdReport {
            target: lab.target.to_string(),
            people: self.people,
            failed: tally.failed.get(),
            failure: tally.failure.borrow().clone(),
            joined_s,
            coming: tally.coming.borrow().summary(),
            presence_frames_per_session: mean(|told| told.frames),
            presence_frames_per_session_most: most(|told| told.frames),
            presence_frames_a_second_most: told.iter().map(|told| told.most_at_once).max().unwrap_or(0),
            presence_bytes_per_session: mean(|told| told.bytes),
            presence_bytes_per_session_most: most(|told| told.bytes),
            sent,
            accepted: tally.hearing.accepted(),
            acceptance: tally.hearing.acceptance(),
            delivery: tally.hearing.delivery(),
            delivery_to_crowd: tally.delivery.borrow().summary(),
            faults: tally.hearing.verdict(),
            server_cpu_percent,
            own_cpu_percent,
        }
    }
}

/// One of the crowd: comes when it is time, and stays.
async fn come(tally: Rc<Tally>, target: crate::target::Target, who: Who, session: usize, due: Instant) {
    tokio::time::sleep_until(due).await;
    let crew = tally.hearing.crew;
    let entered = async {
        let start = crew.clock.now();
        let mut client = Client::open(&target, &who, crew.run, |event| tally.heard(session, &event)).await?;
        client.join(1, |event| tally.heard(session, &event)).await?;
        tally.coming.borrow_mut().record(crew.clock.since(start));
        anyhow::Ok(client)
    };
    let entered = entered.await;
    tally.done.set(tally.done.get() + 1);
    tally.changed.notify_one();
    let why = match entered {
        Ok(mut client) => loop {
            if let Err(ended) = client.turn(|event| tally.heard(session, &event)).await {
                break ended.into();
            }
        },
        Err(error) => error,
    };
    tally.failed(&why);
}

/// What one of those who talk is to do.
struct Part {
    number: usize,
    /// When the next message is.
    due: Instant,
    pause: Duration,
    messages: u32,
    text: String,
}

/// Talks and listens for good.
async fn talk(tally: Rc<Tally>, mut client: Client, part: Part) {
    let Err(ended) = talking(&tally, &mut client, part).await;
    tally.hearing.fail(&ended.to_string());
}

async fn talking(tally: &Tally, client: &mut Client, mut part: Part) -> Result<Infallible, Ended> {
    let mut said = 0;
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(part.due), if said < part.messages => {
                client.send(tally.hearing.crew.stamp(part.number, said), &part.text)?;
                said += 1;
                part.due += part.pause;
            }
            turned = client.turn(|event| {
                tally.noted(part.number, &event);
                tally.hearing.answered(&event);
                tally.hearing.heard(part.number, Some(part.number), &event);
            }) => turned?,
        }
    }
}

impl CrowdReport {
    pub(crate) fn good(&self) -> bool {
        self.failed == 0 && self.faults.none() && self.accepted == self.sent
    }
}

impl fmt::Display for CrowdReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} people come to {}", self.people, self.target)?;
        writeln!(f, "  signed in and joined   {:.2} s, {} failed", self.joined_s, self.failed)?;
        if let Some(failure) = &self.failure {
            writeln!(f, "    {failure}")?;
        }
        writeln!(f, "  one coming             {}", self.coming)?;
        writeln!(
            f,
            "  presence frames        {:.1} a session (most {}), at most {} within a second",
            self.presence_frames_per_session,
            self.presence_frames_per_session_most,
            self.presence_frames_a_second_most
        )?;
        writeln!(
            f,
            "  presence bytes         {:.0} a session (most {})",
            self.presence_bytes_per_session, self.presence_bytes_per_session_most
        )?;
        writeln!(f, "  messages meanwhile     {} sent, {} accepted", self.sent, self.accepted)?;
        writeln!(f, "  history                {}", self.faults)?;
        writeln!(f, "  accepted after         {}", self.acceptance)?;
        writeln!(f, "  delivered after        {}", self.delivery)?;
        writeln!(f, "  to those who came      {}", self.delivery_to_crowd)?;
        if let Some(server) = self.server_cpu_percent {
            writeln!(f, "  processor of server    {server:.1} % of one core")?;
        }
        writeln!(f, "  processor of this      {:.1} % of one core", self.own_cpu_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_second() {
        let mut told = Told::default();
        for now in [0, SECOND / 4, SECOND / 2, SECOND * 3 / 4, SECOND, SECOND * 5 / 4, SECOND * 9] {
            told.note(10, now);
        }
        assert_eq!((told.frames, told.bytes, told.most_at_once), (7, 70, 4));
    }
}
