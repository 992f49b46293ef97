//! `talk`: some clients talk at a given pace, all hear all.

use std::cell::RefCell;
use std::convert::Infallible;
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
use crate::disk;
use crate::hearing::Hearing;
use crate::lab::Lab;
use crate::latency::{Latency, Summary};
use crate::process::Process;
use crate::report::percent;
use crate::socket::Ended;
use crate::target::Speech;

#[derive(Args, Debug)]
pub(crate) struct Talk {
    #[command(flatten)]
    which: Which,
    /// Clients; all of them talk and all of them listen
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Messages of each client in a second (the server allows 20 by default)
    #[arg(long, default_value_t = 2.0)]
    rate: f64,
    /// How long they talk, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Characters of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// How long the last messages may take to arrive, in seconds
    #[arg(long, default_value_t = 15)]
    patience: u64,
    /// A directory on the disk that the server writes to, whose syncs are timed beside the load
    #[arg(long, value_name = "DIRECTORY")]
    disk: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TalkReport {
    target: String,
    clients: usize,
    messages_per_second: f64,
    sent: u64,
    accepted: u64,
    refused: u64,
    refusal: Option<String>,
    delivered: u64,
    /// From sending to 100.
    acceptance: Summary,
    /// From sending until another client has it.
    delivery: Summary,
    /// One sync of the disk, beside the load.
    sync: Summary,
    /// The middle acceptance less the middle sync.
    acceptance_less_sync_ms: f64,
    /// How much later than planned messages were sent: what the generator itself is late.
    late: Summary,
    faults: Faults,
    server_cpu_percent: Option<f64>,
    own_cpu_percent: f64,
}

impl Talk {
    pub(crate) async fn run(&self) -> Result<TalkReport> {
        ensure!(self.clients >= 2, "two clients are needed for a talk");
        ensure!(self.rate > 0.0, "the rate must be above 0");
        let lab = Lab::open(&self.which).await?;
        let hearing = Rc::new(Hearing::new(lab.crew, lab.target.speech == Speech::Chat)?);
        let clients = self.members(&lab, &hearing).await?;
        let late = Rc::new(RefCell::new(Latency::new()?));
        let stop = Rc::new(Notify::new());
        let syncs = tokio::task::spawn_local(disk::watch(lab.disk(self.disk.as_deref()), stop.clone()));
        let (server_before, own_before) = (lab.cpu(), Process::own().cpu()?);
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        let pause = Duration::from_secs_f64(1.0 / self.rate);
        let messages = (self.rate * self.seconds as f64).round() as u32;
        for (number, client) in clients.into_iter().enumerate() {
            // Spread evenly: all at once would measure a queue.
            let due = begin + pause.mul_f64(number as f64 / self.clients as f64);
            let part = Part { number, due, pause, messages, text: "x".repeat(self.size) };
            tasks.spawn_local(member(hearing.clone(), client, part, late.clone()));
        }
        let sent = u64::from(messages) * self.clients as u64;
        hearing.all(sent, begin + Duration::from_secs(self.seconds + self.patience)).await?;
        let seconds = begin.elapsed().as_secs_f64();
        let (server_after, own_after) = (lab.cpu(), Process::own().cpu()?);
        stop.notify_one();
        let sync = syncs.await??;
        let of_core = |before: Duration, after: Duration| percent((after - before).as_secs_f64(), seconds);
        let acceptance = hearing.acceptance();
        let late = late.borrow().summary();
        Ok(TalkReport {
            target: lab.target.to_string(),
            clients: self.clients,
            messages_per_second: self.rate * self.clients as f64,
            sent,
            accepted: hearing.accepted(),
            refused: hearing.refused(),
            refusal: hearing.refusal(),
            delivered: hearing.delivered(),
            acceptance,
            delivery: hearing.delivery(),
            sync,
            acceptance_less_sync_ms: acceptance.p50_ms - sync.p50_ms,
            late,
            faults: hearing.verdict(),
            server_cpu_percent: server_before.zip(server_after).map(|(before, after)| of_core(before, after)),
            own_cpu_percent: of_core(own_before, own_after),
        })
    }

    async fn members(&self, lab: &Lab, hearing: &Hearing) -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for number in 0..self.clients {
            let who = lab.crew.member(number);
            let mut client = Client::open(&lab.target, &who, lab.crew.run, |_| {}).await?;
            hearing.seat(client.join(1, |_| {}).await?);
            clients.push(client);
        }
        Ok(clients)
    }
}

/// What one client is to do.
struct Part {
    number: usize,
    /// When the next message is.
    due: Instant,
    pause: Duration,
    messages: u32,
    text: String,
}

/// Talks and listens for good.
async fn member(hearing: Rc<Hearing>, mut client: Client, part: Part, late: Rc<RefCell<Latency>>) {
    let Err(ended) = talk(&hearing, &mut client, part, &late).await;
    hearing.fail(&ended.to_string());
}

async fn talk(
    hearing: &Hearing,
    client: &mut Client,
    mut part: Part,
    late: &RefCell<Latency>,
) -> Result<Infallible, Ended> {
    let mut said = 0;
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(part.due), if said < part.messages => {
                late.borrow_mut().record(part.due.elapsed());
                client.send(hearing.crew.stamp(part.number, said), &part.text)?;
                said += 1;
                part.due += part.pause;
            }
            turned = client.turn(|event| {
                hearing.answered(&event);
                hearing.heard(part.number, Some(part.number), &event);
            }) => turned?,
        }
    }
}

impl TalkReport {
    pub(crate) fn good(&self) -> bool {
        self.faults.none() && self.refused == 0 && self.accepted == self.sent
    }
}

impl fmt::Display for TalkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} clients talk at {}, {} messages/s",
            self.clients, self.target, self.messages_per_second
        )?;
        let Self { sent, accepted, refused, delivered, .. } = self;
        writeln!(
            f,
            "  messages               {sent} sent, {accepted} accepted, {refused} refused, {delivered} delivered"
        )?;
        if let Some(refusal) = &self.refusal {
            writeln!(f, "    {refusal}")?;
        }
        writeln!(f, "  history                {}", self.faults)?;
        writeln!(f, "  accepted after         {}", self.acceptance)?;
        writeln!(f, "  delivered after        {}", self.delivery)?;
        writeln!(f, "  one sync of the disk   {}", self.sync)?;
        writeln!(f, "  accepted less sync     {:.2} ms at the median", self.acceptance_less_sync_ms)?;
        writeln!(f, "  sent later than due    {}", self.late)?;
        if let Some(server) = self.server_cpu_percent {
            writeln!(f, "  processor of server    {server:.1} % of one core")?;
        }
        writeln!(f, "  processor of this      {:.1} % of one core", self.own_cpu_percent)
    }
}
