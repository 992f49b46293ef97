//! One sender and its receivers, at one server or broker: what `fanout` measures, round by round.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::Faults;
use crate::client::{Client, Who};
use crate::hearing::Hearing;
use crate::lab::Crew;
use crate::latency::Summary;
use crate::process::Process;
use crate::report::rate;
use crate::target::{Speech, Target};

/// Nothing came for so long: something is stuck.
const PATIENCE: Duration = Duration::from_secs(15);
/// What a server still does after the last delivery belongs to the round's cost.
const AFTERWARDS: Duration = Duration::from_millis(300);
/// How many receivers sign in at a time.
const AT_A_TIME: usize = 32;

/// How each round is.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) receivers: usize,
    pub(crate) messages: u32,
    /// Messages that not all receivers have yet, at most.
    pub(crate) window: u32,
    /// Messages a second; `None`: as fast as the window lets.
    pub(crate) rate: Option<f64>,
    pub(crate) text: String,
    /// Of the subscriptions, in MQTT.
    pub(crate) qos: u8,
}

/// The figures of one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_second: f64,
    /// Processor time of the server for a million deliveries, in seconds.
    pub(crate) server_cpu_seconds_per_million: Option<f64>,
    /// The same of the generator.
    pub(crate) own_cpu_seconds_per_million: f64,
    pub(crate) delivery: Summary,
}

/// Signed in and joined for all rounds.
pub(crate) struct Group {
    pub(crate) target: Target,
    process: Option<Process>,
    hearing: Rc<Hearing>,
    sender: Client,
    sent: u32,
    load: Load,
    _listening: JoinSet<()>,
}

/// Signs in, says so, and listens for good.
async fn receive(
    target: Target,
    who: Who,
    qos: u8,
    hearing: Rc<Hearing>,
    gate: Rc<Semaphore>,
    seated: mpsc::Sender<Result<()>>,
) {
    let Ok(permit) = gate.acquire().await else { return };
    let entered = async {
        let mut client = Client::open(&target, &who, hearing.crew.run, |_| {}).await?;
        let seat = hearing.seat(client.join(qos, |_| {}).await?);
        Ok((client, seat))
    };
    let (said, client) = match entered.await {
        Ok(client) => (Ok(()), Some(client)),
        Err(error) => (Err(error), None),
    };
    drop(permit);
    if seated.send(said).await.is_ok()
        && let Some((client, seat)) = client
    {
        hearing.listen(client, seat).await;
    }
}

impl Group {
    pub(crate) async fn join(target: Target, process: Option<Process>, load: Load) -> Result<Self> {
        let crew = Crew::new();
        let hearing = Rc::new(Hearing::new(crew, target.speech == Speech::Chat)?);
        let gate = Rc::new(Semaphore::new(AT_A_TIME));
        let (seated, mut seats) = mpsc::channel(AT_A_TIME);
        let mut listening = JoinSet::new();
        for number in 0..load.receivers {
            let who = crew.member_of_many(number + 1, load.receivers, &target);
            let receiver =
                receive(target.clone(), who, load.qos, hearing.clone(), gate.clone(), seated.clone());
            listening.spawn_local(receiver);
        }
        for number in 0..load.receivers {
            let seat: Result<()> = seats.recv().await.context("the receivers are gone")?;
            seat.with_context(|| format!("receiver {number} can't sign in at {target}"))?;
        }
        // The sender does not join: only what is delivered to the receivers counts.
        let sender = Client::open(&target, &crew.member(0), crew.run, |_| {}).await?;
        Ok(Self { target, process, hearing, sender, sent: 0, load, _listening: listening })
    }

    /// Sends the round's messages and waits until all receivers have them.
    pub(crate) async fn round(&mut self) -> Result<Round> {
        let measured = self.measure().await;
        measured.with_context(|| format!("the round at {} failed", self.target))
    }

    async fn measure(&mut self) -> Result<Round> {
        self.hearing.forget_times();
        let cpu = |process: Option<Process>| process.and_then(|process| process.cpu().ok());
        let (server, own) = (cpu(self.process), cpu(Some(Process::own())));
        let begin = Instant::now();
        let seconds = self.send_all(begin).await?;
        let generator =
            own.zip(cpu(Some(Process::own()))).map(|(before, after)| (after - before).as_secs_f64());
        tokio::time::sleep(AFTERWARDS).await;
        let server = server.zip(cpu(self.process)).map(|(before, after)| (after - before).as_secs_f64());
        let deliveries = u64::from(self.load.messages) * self.load.receivers as u64;
        let millions = deliveries as f64 / 1e6;
        Ok(Round {
            deliveries,
            deliveries_per_second: rate(deliveries, seconds),
            server_cpu_seconds_per_million: server.map(|seconds| seconds / millions),
            own_cpu_seconds_per_million: generator.unwrap_or(0.0) / millions,
            delivery: self.hearing.delivery(),
        })
    }

    /// Returns after how many seconds the last delivery was made.
    async fn send_all(&mut self, begin: Instant) -> Result<f64> {
        let Self { hearing, sender, load, sent, .. } = self;
        let receivers = load.receivers as u64;
        let last = *sent + load.messages;
        let first = *sent;
        let mut answered = hearing.accepted() + hearing.refused();
        while answered < u64::from(last) || hearing.delivered() < u64::from(last) * receivers {
            let behind = *sent - (hearing.delivered() / receivers) as u32;
            let due = load.rate.map(|rate| begin + Duration::from_secs_f64(f64::from(*sent - first) / rate));
            let free = *sent < last && behind < load.window;
            if free && due.is_none_or(|due| due <= Instant::now()) {
                sender.send(hearing.crew.stamp(0, *sent), &load.text)?;
                *sent += 1;
                continue;
            }
            // Woken when the window opens, or when everything is there.
            let awaited = if *sent < last { *sent + 1 - load.window.min(*sent) } else { last };
            tokio::select! {
                progress = hearing.progress(u64::from(awaited) * receivers, PATIENCE) => progress?,
                turned = sender.turn(|event| hearing.answered(&event)) => turned?,
                () = tokio::time::sleep_until(due.unwrap_or(begin)), if free && due.is_some() => {}
            }
            answered = hearing.accepted() + hearing.refused();
            anyhow::ensure!(
                hearing.refused() == 0,
                "{} refused messages ({}): start the server with messages_per_second = 0",
                self.target,
                hearing.refusal().unwrap_or_default()
            );
        }
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Keeps the sender's connection alive while others have their round. Cancel safe.
    pub(crate) async fn rest(&mut self) -> Result<Infallible> {
        loop {
            let turned = self.sender.turn(|_| {}).await;
            turned.with_context(|| format!("{} failed while it was not its turn", self.target))?;
        }
    }

    /// What was wrong in all rounds.
    pub(crate) fn verdict(&self) -> Faults {
        self.hearing.verdict()
    }
}
