//! `reconnect`: all sessions come back at once, and want what they missed.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use rustix::process::Signal;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::{Faults, Ledger, Reader};
use crate::cli::Which;
use crate::client::{Back, Client, Who};
use crate::event::Event;
use crate::lab::{Crew, Lab};
use crate::latency::{Latency, Summary};
use crate::report::rate;
use crate::target::{Speech, Target};

/// How long one session may take to come back.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many sign in at a time, before they are cut off.
const SIGN_IN: usize = 64;

#[derive(Args, Debug)]
pub(crate) struct Reconnect {
    /// How many sessions
    #[arg(default_value_t = 1000)]
    sessions: usize,
    #[command(flatten)]
    which: Which,
    /// Messages that they miss: at most what the server sends without being asked for more (limits.history)
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
    missed: u32,
    /// Restart the server while they are away (with --server)
    #[arg(long, value_enum, requires = "server")]
    restart: Option<Restart>,
    /// How many come back at a time; without it all at once
    #[arg(long)]
    concurrency: Option<usize>,
}

/// How the server ends before it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Restart {
    /// In good order (SIGTERM)
    Stop,
    /// At once (SIGKILL)
    Kill,
}

#[derive(Debug, Serialize)]
pub(crate) struct ReconnectReport {
    target: String,
    sessions: usize,
    missed: u32,
    restart: Option<Restart>,
    /// From the server's start to its ready line.
    ready_s: Option<f64>,
    /// From the first connection (after a restart: from the ready line) until all have everything.
    all_back_s: f64,
    /// From its connection until a session is signed in again.
    signed_in: Summary,
    /// … and until it has what it missed.
    caught_up: Summary,
    entries_per_second: f64,
    failures: Vec<String>,
    failed: usize,
    faults: Faults,
    server_cpu_seconds: Option<f64>,
}

/// What all who come back share.
struct Return {
    target: Target,
    crew: Crew,
    /// The last entry that each of them must have.
    head: u64,
    ledger: RefCell<Ledger>,
    signed_in: RefCell<Latency>,
    caught_up: RefCell<Latency>,
    faults: RefCell<Faults>,
    failures: RefCell<Vec<String>>,
    failed: Cell<usize>,
    gate: Semaphore,
}

impl Reconnect {
    pub(crate) async fn run(&self) -> Result<ReconnectReport> {
        let mut lab = Lab::open(&self.which).await?;
        ensure!(lab.target.speech == Speech::Chat, "only sessions of the chat can be resumed");
        let members = self.sign_in(&lab).await?;
        let first = members.iter().map(|(_, back)| back.seq).min().context("no session is to come back")?;
        let (ledger, head) = self.talk_meanwhile(&lab, first).await?;
        let ready_s = self.restart(&mut lab).await?;
        let back = Rc::new(Return {
            target: lab.target.clone(),
            crew: lab.crew,
            head,
            ledger: RefCell::new(ledger),
            signed_in: RefCell::new(Latency::new()?),
            caught_up: RefCell::new(Latency::new()?),
            faults: RefCell::default(),
            failures: RefCell::default(),
            failed: Cell::default(),
            gate: Semaphore::new(self.concurrency.unwrap_or(self.sessions).max(1)),
        });
        let cpu = lab.cpu();
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for (who, at) in members {
            let back = back.clone();
            tasks.spawn_local(async move { back.come(Who { back: Some(at), ..who }).await });
        }
        // Those who are back stay: the last must come to a server that is full.
        let mut stay = Vec::with_capacity(self.sessions);
        while let Some(done) = tasks.join_next().await {
            stay.extend(done?);
        }
        let all_back_s = begin.elapsed().as_secs_f64();
        let cpu = cpu.zip(lab.cpu()).map(|(before, after)| (after - before).as_secs_f64());
        let entries = stay.len() as u64 * u64::from(self.missed);
        Ok(ReconnectReport {
            target: lab.target.to_string(),
            sessions: self.sessions,
            missed: self.missed,
            restart: self.restart,
            ready_s,
            all_back_s,
            signed_in: back.signed_in.borrow().summary(),
            caught_up: back.caught_up.borrow().summary(),
            entries_per_second: rate(entries, all_back_s),
            failures: back.failures.borrow().clone(),
            failed: back.failed.get(),
            faults: back.faults.borrow().clone(),
            server_cpu_seconds: cpu,
        })
    }

    /// Signs all in and cuts them off again. Returns where each of them was.
    async fn sign_in(&self, lab: &Lab) -> Result<Vec<(Who, Back)>> {
        let gate = Rc::new(Semaphore::new(SIGN_IN));
        let (there, mut come) = mpsc::channel(SIGN_IN);
        let mut tasks = JoinSet::new();
        for number in 0..self.sessions {
            let who = lab.crew.member_of_many(number, self.sessions, &lab.target);
            tasks.spawn_local(be_there(lab.target.clone(), lab.crew.run, who, gate.clone(), there.clone()));
        }
        drop(there);
        let mut members = Vec::with_capacity(self.sessions);
        while members.len() < self.sessions {
            members.push(come.recv().await.context("sessions ended")??);
        }
        Ok(members)
    }

    /// Somebody else says what they miss. Returns the log of it, and its head.
    async fn talk_meanwhile(&self, lab: &Lab, first: u64) -> Result<(Ledger, u64)> {
        let sender = self.sessions;
        let mut client = Client::open(&lab.target, &lab.crew.member(sender), lab.crew.run, |_| {}).await?;
        let mut ledger = Ledger::after(first);
        let mut head = first;
        let mut refusal = None;
        for number in 0..self.missed {
            client.send(lab.crew.stamp(sender, number), "something that was missed")?;
            while ledger.accepted() <= u64::from(number) {
                let note = |event: Event<'_>| match event {
                    Event::Accepted { stamp, seq } => {
                        ledger.accept(stamp, seq);
                        head = head.max(seq.unwrap_or(0));
                    }
                    Event::Refused { code, reason } => refusal = Some(format!("{code}: {reason}")),
                    _ => {}
                };
                tokio::time::timeout(PATIENCE, client.turn(note)).await.context("no answer")??;
                if let Some(refusal) = refusal {
                    bail!("the server refused a message: {refusal}");
                }
            }
        }
        Ok((ledger, head))
    }

    async fn restart(&self, lab: &mut Lab) -> Result<Option<f64>> {
        let (Some(restart), Some(server)) = (self.restart, &mut lab.server) else { return Ok(None) };
        let signal = if restart == Restart::Kill { Signal::KILL } else { Signal::TERM };
        server.stop(signal).await?;
        server.start_again().await?;
        lab.process = Some(server.process()?);
        Ok(Some(server.ready_after.as_secs_f64()))
    }
}

/// Signs in, says where it is, and listens until it is cut off.
async fn be_there(
    target: Target,
    run: u32,
    who: Who,
    gate: Rc<Semaphore>,
    there: mpsc::Sender<Result<(Who, Back)>>,
) -> Result<Infallible> {
    let permit = gate.acquire().await?;
    let entered = async {
        let mut client = Client::open(&target, &who, run, |_| {}).await?;
        let head = client.join(0, |_| {}).await?;
        Ok((client, head))
    };
    let mut client = match entered.await {
        Ok((client, head)) => {
            let back = client.back(head);
            there.send(Ok((who, back))).await?;
            client
        }
        Err(error) => {
            there.send(Err(error)).await?;
            bail!("not signed in");
        }
    };
    drop(permit);
    loop {
        client.turn(|_| {}).await?;
    }
}

impl Return {
    /// Comes back, and returns when everything is there.
    async fn come(&self, who: Who) -> Option<Client> {
        let _permit = self.gate.acquire().await;
        let why = match tokio::time::timeout(PATIENCE, self.catch_up(&who)).await {
            Ok(Ok(client)) => return Some(client),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "did not come back in time".to_owned(),
        };
        self.failed.set(self.failed.get() + 1);
        let mut failures = self.failures.borrow_mut();
        if failures.len() < 5 {
            failures.push(why);
        }
        None
    }

    async fn catch_up(&self, who: &Who) -> Result<Client> {
        let start = self.crew.clock.now();
        let mut reader = Reader::new(who.back.as_ref().map(|back| back.seq));
        let mut gap = None;
        let mut note = |event: Event<'_>, reader: &mut Reader| match event {
            Event::Message { stamp, seq } => {
                let stamp = stamp.filter(|stamp| stamp.run == self.crew.run);
                reader.see(seq, stamp, &mut self.ledger.borrow_mut());
            }
            Event::Gap { before, reset } => gap = Some((before, reset)),
            _ => {}
        };
        let mut client =
            Client::open(&self.target, who, self.crew.run, |event| note(event, &mut reader)).await?;
        self.signed_in.borrow_mut().record(self.crew.clock.since(start));
        while reader.seq() < self.head {
            client.turn(|event| note(event, &mut reader)).await?;
        }
        self.caught_up.borrow_mut().record(self.crew.clock.since(start));
        if let Some((before, reset)) = gap {
            bail!("the server left a gap before {before} (reset: {reset}), though it need not");
        }
        self.faults.borrow_mut().add(&reader.verdict(&self.ledger.borrow()));
        Ok(client)
    }
}

impl ReconnectReport {
    pub(crate) fn good(&self) -> bool {
        self.failed == 0 && self.faults.none()
    }
}

impl fmt::Display for ReconnectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, missed, target, .. } = self;
        writeln!(f, "{sessions} sessions come back to {target}, each missing {missed} messages")?;
        if let Some(ready) = self.ready_s {
            writeln!(f, "  server ready again     {ready:.2} s after its start")?;
        }
        writeln!(f, "  all back               {:.2} s, {} failed", self.all_back_s, self.failed)?;
        for failure in &self.failures {
            writeln!(f, "    {failure}")?;
        }
        writeln!(f, "  signed in after        {}", self.signed_in)?;
        writeln!(f, "  caught up after        {}", self.caught_up)?;
        writeln!(f, "  missed entries         {:.0} a second", self.entries_per_second)?;
        writeln!(f, "  history                {}", self.faults)?;
        if let Some(cpu) = self.server_cpu_seconds {
            writeln!(f, "  processor of server    {cpu:.2} s")?;
        }
        Ok(())
    }
}
