//! `throughput`: senders who send as fast as they are answered.

use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
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
use crate::client::Client;
use crate::commits::{Commits, CommitsReport};
use crate::disk;
use crate::event::Event;
use crate::hearing::Hearing;
use crate::lab::Lab;
use crate::latency::Summary;
use crate::process::Process;
use crate::report::{percent, rate};
use crate::socket::Ended;
use crate::target::Speech;

/// How long the last messages may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(crate) struct Throughput {
    #[command(flatten)]
    which: Which,
    /// How many send
    #[arg(long, default_value_t = 32)]
    senders: usize,
    /// Messages that each of them has under way
    #[arg(long, default_value_t = 32)]
    window: u32,
    /// How long, in seconds; the first second is not counted
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Characters of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// How many listen, and check the order
    #[arg(long, default_value_t = 1)]
    readers: usize,
    /// A directory on the disk that the server writes to, whose syncs are timed beside the load
    #[arg(long, value_name = "DIRECTORY")]
    disk: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ThroughputReport {
    target: String,
    senders: usize,
    window: u32,
    accepted: u64,
    accepted_per_second: f64,
    acceptance: Summary,
    delivery: Summary,
    sync: Summary,
    commits: CommitsReport,
    /// Until the readers had everything, after the last was accepted.
    readers_behind_s: f64,
    faults: Faults,
    server_cpu_seconds_per_thousand: Option<f64>,
    server_cpu_percent: Option<f64>,
    own_cpu_percent: f64,
}

impl Throughput {
    pub(crate) async fn run(&self) -> Result<ThroughputReport> {
        ensure!(self.senders >= 1 && self.window >= 1 && self.seconds >= 1, "nobody would send anything");
        let lab = Lab::open(&self.which).await?;
        let hearing = Rc::new(Hearing::new(lab.crew, lab.target.speech == Speech::Chat)?);
        let _listening = self.readers(&lab, &hearing).await?;
        let senders = self.senders(&lab).await?;
        let stop = Rc::new(Notify::new());
        let syncs = tokio::task::spawn_local(disk::watch(lab.disk(self.disk.as_deref()), stop.clone()));
        let counter = Commits::of(&lab.target, self.which.database.as_deref()).await?;
        let open = Rc::new(Cell::new(true));
        let mut sending = JoinSet::new();
        for (number, client) in senders.into_iter().enumerate() {
            let (hearing, open) = (hearing.clone(), open.clone());
            let part = Part { number, window: self.window, text: "x".repeat(self.size) };
            sending.spawn_local(async move {
                if let Err(ended) = send(&hearing, client, &part, &open).await {
                    hearing.fail(&ended.to_string());
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        hearing.forget_times();
        let commits_before = counter.count().await?;
        let (accepted_before, server_before, own_before) =
            (hearing.accepted(), lab.cpu(), Process::own().cpu()?);
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        let seconds = begin.elapsed().as_secs_f64();
        let (accepted, server_after, own_after) =
            (hearing.accepted() - accepted_before, lab.cpu(), Process::own().cpu()?);
        let commits = counter.count().await?.since(&commits_before);
        let (acceptance, delivery) = (hearing.acceptance(), hearing.delivery());
        open.set(false);
        while sending.join_next().await.is_some() {}
        hearing.check()?;
        let behind = Instant::now();
        hearing.all(0, behind + PATIENCE).await?;
        let readers_behind_s = behind.elapsed().as_secs_f64();
        stop.notify_one();
        let sync = syncs.await??;
        ensure!(
            hearing.refused() == 0,
            "the server refused messages ({}): start it with messages_per_second = 0",
            hearing.refusal().unwrap_or_default()
        );
        let server = server_before.zip(server_after).map(|(before, after)| (after - before).as_secs_f64());
        Ok(ThroughputReport {
            target: lab.target.to_string(),
            senders: self.senders,
            window: self.window,
            accepted,
            accepted_per_second: rate(accepted, seconds),
            acceptance,
            delivery,
            sync,
            commits,
            readers_behind_s,
            faults: hearing.verdict(),
            server_cpu_seconds_per_thousand: server.map(|cpu| cpu / accepted.max(1) as f64 * 1000.0),
            server_cpu_percent: server.map(|cpu| percent(cpu, seconds)),
            own_cpu_percent: percent((own_after - own_before).as_secs_f64(), seconds),
        })
    }

    /// Signs in those who listen.
    async fn readers(&self, lab: &Lab, hearing: &Rc<Hearing>) -> Result<JoinSet<()>> {
        let mut listening = JoinSet::new();
        for number in 0..self.readers {
            let who = lab.crew.member(self.senders + number);
            let mut client = Client::open(&lab.target, &who, lab.crew.run, |_| {}).await?;
            let seat = hearing.seat(client.join(0, |_| {}).await?);
            let hearing = hearing.clone();
            listening.spawn_local(async move { hearing.listen(client, seat).await });
        }
        Ok(listening)
    }

    /// Signs in those who send. They do not join.
    async fn senders(&self, lab: &Lab) -> Result<Vec<Client>> {
        let mut senders = Vec::new();
        for number in 0..self.senders {
            senders.push(Client::open(&lab.target, &lab.crew.member(number), lab.crew.run, |_| {}).await?);
        }
        Ok(senders)
    }
}

/// What one sender is to do.
struct Part {
    number: usize,
    window: u32,
    text: String,
}

/// Keeps the window full while it is open, then waits for the last answers.
async fn send(hearing: &Hearing, mut client: Client, part: &Part, open: &Cell<bool>) -> Result<(), Ended> {
    let mut said = 0;
    let mut under_way = 0;
    loop {
        while open.get() && under_way < part.window {
            client.push(hearing.crew.stamp(part.number, said), &part.text);
            said += 1;
            under_way += 1;
        }
        if under_way == 0 {
            return Ok(());
        }
        let answered = |event: Event<'_>| {
            under_way -= u32::from(matches!(event, Event::Accepted { .. } | Event::Refused { .. }));
            hearing.answered(&event);
        };
        client.turn(answered).await?;
    }
}

impl ThroughputReport {
    pub(crate) fn good(&self) -> bool {
        self.faults.none()
    }
}

impl fmt::Display for ThroughputReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { senders, window, target, accepted, .. } = self;
        writeln!(f, "{senders} senders with {window} messages under way each, at {target}")?;
        writeln!(f, "  accepted               {accepted}, {:.0} a second", self.accepted_per_second)?;
        writeln!(f, "  history                {}", self.faults)?;
        writeln!(f, "  accepted after         {}", self.acceptance)?;
        writeln!(f, "  delivered after        {}", self.delivery)?;
        writeln!(f, "  readers done after     {:.2} s", self.readers_behind_s)?;
        writeln!(f, "  one sync of the disk   {}", self.sync)?;
        write!(f, "{}", self.commits)?;
        if let (Some(each), Some(all)) = (self.server_cpu_seconds_per_thousand, self.server_cpu_percent) {
            writeln!(
                f,
                "  processor of server    {:.1} ms for 1,000 accepted, {all:.0} % of one core",
                each * 1000.0
            )?;
        }
        writeln!(f, "  processor of this      {:.0} % of one core", self.own_cpu_percent)
    }
}
