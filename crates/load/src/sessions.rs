//! `sessions`: many sign in and join, and then do nothing.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::cli::Which;
use crate::client::{Client, Who};
use crate::event::Event;
use crate::lab::{Crew, Lab};
use crate::latency::{Latency, Summary};
use crate::process::{Held, Process};
use crate::report::{mega, percent};
use crate::scan;
use crate::target::Target;

/// Nothing came, and no connection was made or closed, for so long: it is quiet.
const QUIET: Duration = Duration::from_millis(1500);
const QUIET_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Args, Debug)]
pub(crate) struct Sessions {
    /// How many sessions
    #[arg(default_value_t = 1000)]
    sessions: usize,
    #[command(flatten)]
    which: Which,
    /// How many sign in at a time
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// How long they do nothing while the server's processor time is taken, in seconds
    #[arg(long, default_value_t = 10)]
    idle: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct SessionsReport {
    target: String,
    sessions: usize,
    /// Why sessions failed, the first few.
    failures: Vec<String>,
    failed: usize,
    /// From the first connection until the last session has its reply to `join`.
    joined_s: f64,
    sign_in: Summary,
    join: Summary,
    presence_frames: u64,
    presence_frames_per_session: f64,
    presence_frames_most: u64,
    /// People named in `joined` and `left`, over all frames.
    presence_people: u64,
    presence_bytes: u64,
    received_bytes_per_session: f64,
    server: Option<ServerCost>,
}

#[derive(Debug, Serialize)]
struct ServerCost {
    before: Held,
    /// Right after the last join.
    joined: Held,
    /// When presence has been told and the clients on the broker are connected.
    settled: Held,
    /// After the time of doing nothing.
    idle: Held,
    /// After all have gone.
    after: Held,
    idle_cpu_percent: f64,
    /// Growth of resident memory from before to idle, by session.
    resident_bytes_per_session: f64,
}

/// What one session was told.
#[derive(Clone, Copy, Default)]
struct Told {
    frames: u64,
    people: u64,
    bytes: u64,
    received: u64,
}

struct Tally {
    told: RefCell<Vec<Told>>,
    failures: RefCell<Vec<String>>,
    failed: Cell<usize>,
    done: Cell<usize>,
    changed: Notify,
    sign_in: RefCell<Latency>,
    join: RefCell<Latency>,
    /// When anything last came in, of the clock.
    last: Cell<u64>,
}

impl Sessions {
    pub(crate) async fn run(&self) -> Result<SessionsReport> {
        let lab = Lab::open(&self.which).await?;
        let before = held(lab.process)?;
        let tally = Rc::new(Tally {
            told: RefCell::new(vec![Told::default(); self.sessions]),
            failures: RefCell::default(),
            failed: Cell::default(),
            done: Cell::default(),
            changed: Notify::new(),
            sign_in: RefCell::new(Latency::new()?),
            join: RefCell::new(Latency::new()?),
            last: Cell::default(),
        });
        let gate = Rc::new(Semaphore::new(self.concurrency.max(1)));
        let mut tasks = JoinSet::new();
        let start = lab.crew.clock.now();
        for number in 0..self.sessions {
            let who = lab.crew.member_of_many(number, self.sessions, &lab.target);
            let (target, tally, gate) = (lab.target.clone(), tally.clone(), gate.clone());
            tasks.spawn_local(session(target, lab.crew, who, number, tally, gate));
        }
        while tally.done.get() < self.sessions {
            tally.changed.notified().await;
        }
        let joined_s = lab.crew.clock.since(start).as_secs_f64();
        let joined = held(lab.process)?;
        quiet(&lab, &tally).await?;
        let settled = held(lab.process)?;
        tokio::time::sleep(Duration::from_secs(self.idle)).await;
        let idle = held(lab.process)?;
        drop(tasks);
        tally.last.set(lab.crew.clock.now());
        quiet(&lab, &tally).await?;
        let after = held(lab.process)?;
        let holds = [before, joined, settled, idle, after].into_iter().collect::<Option<Vec<_>>>();
        let server = holds.map(|holds| self.cost(&holds));
        self.report(&lab, &tally, joined_s, server)
    }

    fn cost(&self, holds: &[Held]) -> ServerCost {
        let (before, joined, settled, idle, after) = (holds[0], holds[1], holds[2], holds[3], holds[4]);
        let grown = idle.resident_bytes as f64 - before.resident_bytes as f64;
        ServerCost {
            before,
            joined,
            settled,
            idle,
            after,
            idle_cpu_percent: percent(idle.cpu_seconds - settled.cpu_seconds, self.idle as f64),
            resident_bytes_per_session: grown / self.sessions.max(1) as f64,
        }
    }

    fn report(
        &self,
        lab: &Lab,
        tally: &Tally,
        joined_s: f64,
        server: Option<ServerCost>,
    ) -> Result<SessionsReport> {
        let failed = tally.failed.get();
        ensure!(failed < self.sessions, "no session came to be: {}", tally.failures.borrow().join("; "));
        let good = (self.sessions - failed) as f64;
        let told = tally.told.borrow();
        let sum = |of: fn(&Told) -> u64| told.iter().map(of).sum::<u64>();
        let frames = sum(|told| told.frames);
        Ok(SessionsReport {
            target: lab.target.to_string(),
            sessions: self.sessions,
            failures: tally.failures.borrow().clone(),
            failed,
            joined_s,
            sign_in: tally.sign_in.borrow().summary(),
            join: tally.join.borrow().summary(),
            presence_frames: frames,
            presence_frames_per_session: frames as f64 / good,
            presence_frames_most: told.iter().map(|told| told.frames).max().unwrap_or(0),
            presence_people: sum(|told| told.people),
            presence_bytes: sum(|told| told.bytes),
            received_bytes_per_session: sum(|told| told.received) as f64 / good,
            server,
        })
    }
}

fn held(process: Option<Process>) -> Result<Option<Held>> {
    process.map(Process::held).transpose()
}

async fn session(
    target: Target,
    crew: Crew,
    who: Who,
    number: usize,
    tally: Rc<Tally>,
    gate: Rc<Semaphore>,
) -> Result<()> {
    let permit = gate.acquire().await?;
    let entered = enter(&target, crew, &who, number, &tally).await;
    drop(permit);
    tally.done.set(tally.done.get() + 1);
    tally.changed.notify_one();
    let stayed = match entered {
        Ok(client) => stay(client, crew, number, &tally).await,
        Err(error) => error,
    };
    let mut failures = tally.failures.borrow_mut();
    if failures.len() < 5 {
        failures.push(format!("{stayed:#}"));
    }
    tally.failed.set(tally.failed.get() + 1);
    Ok(())
}

async fn enter(target: &Target, crew: Crew, who: &Who, number: usize, tally: &Tally) -> Result<Client> {
    let start = crew.clock.now();
    let note = |event: Event<'_>| tally.note(number, &event);
    let mut client = Client::open(target, who, crew.run, note).await?;
    tally.sign_in.borrow_mut().record(crew.clock.since(start));
    let start = crew.clock.now();
    client.join(1, note).await?;
    tally.join.borrow_mut().record(crew.clock.since(start));
    Ok(client)
}

/// Listens until the connection ends, which it should not: returns why.
async fn stay(mut client: Client, crew: Crew, number: usize, tally: &Tally) -> anyhow::Error {
    loop {
        tally.told.borrow_mut()[number].received = client.received();
        let turned = client.turn(|event| tally.note(number, &event)).await;
        tally.last.set(crew.clock.now());
        if let Err(ended) = turned {
            return ended.into();
        }
    }
}

impl Tally {
    fn note(&self, number: usize, event: &Event<'_>) {
        if let Event::Presence { data, bytes } = event {
            let told = &mut self.told.borrow_mut()[number];
            told.frames += 1;
            told.bytes += *bytes as u64;
            for list in ["joined", "left"] {
                scan::member(data, list).and_then(|list| scan::elements(list, |_| told.people += 1));
            }
        }
    }
}

/// Waits until nothing more comes in and the server opens and closes no connections, or long enough.
async fn quiet(lab: &Lab, tally: &Tally) -> Result<()> {
    let clock = lab.crew.clock;
    let begin = clock.now();
    let mut descriptors = 0;
    let mut changed = begin;
    while clock.since(begin) < QUIET_WITHIN {
        let now = held(lab.process)?.map_or(0, |held| held.descriptors);
        if now != descriptors {
            (descriptors, changed) = (now, clock.now());
        }
        if clock.since(changed) > QUIET && clock.since(tally.last.get()) > QUIET {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

impl SessionsReport {
    pub(crate) fn good(&self) -> bool {
        self.failed == 0
    }
}

impl fmt::Display for SessionsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} sessions at {}", self.sessions, self.target)?;
        writeln!(f, "  signed in and joined   {:.2} s, {} failed", self.joined_s, self.failed)?;
        for failure in &self.failures {
            writeln!(f, "    {failure}")?;
        }
        writeln!(f, "  one sign-in            {}", self.sign_in)?;
        writeln!(f, "  one join               {}", self.join)?;
        writeln!(
            f,
            "  presence frames        {} in all, {:.1} a session (most {}), {:.1} people a frame",
            self.presence_frames,
            self.presence_frames_per_session,
            self.presence_frames_most,
            self.presence_people as f64 / self.presence_frames.max(1) as f64,
        )?;
        writeln!(
            f,
            "  bytes received         {:.0} a session, {} of presence in all",
            self.received_bytes_per_session,
            mega(self.presence_bytes)
        )?;
        let Some(server) = &self.server else { return writeln!(f, "  the server's process is not known") };
        let moments = [
            ("before", &server.before),
            ("joined", &server.joined),
            ("settled", &server.settled),
            ("idle", &server.idle),
            ("all gone", &server.after),
        ];
        for (name, held) in moments {
            writeln!(
                f,
                "  server {name:<15} {} resident ({} anonymous), {} descriptors, {} threads, {:.2} s of processor time",
                mega(held.resident_bytes),
                mega(held.anonymous_bytes),
                held.descriptors,
                held.threads,
                held.cpu_seconds
            )?;
        }
        writeln!(f, "  processor while idle   {:.2} % of one core", server.idle_cpu_percent)?;
        writeln!(f, "  one idle session       {:.1} KB resident", server.resident_bytes_per_session / 1000.0)
    }
}
