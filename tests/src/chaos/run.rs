//! One run: people talk while things break, then everything is compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::checker;
use super::device::{Device, Identity, Orders, Phase, Status};
use super::fault::{Fault, schedule};
use super::history::{Conversation, DeviceOf, Entry, History, What};
use super::outsider::{Outsider, overhear, publish_readings};
use super::recorder::Recorder;
use super::session::entry;
use super::stage::{Configuration, Database, Stage};

/// How long after the last fault everybody may need.
const SETTLE: Duration = Duration::from_secs(10);
/// How long MQTT clients' messages may wait in the broker after a crash.
const OUTSIDE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(100);
/// MQTT clients that talk too.
const OUTSIDERS: u64 = 2;

/// Who is there, how many devices they have, and with whom they talk in private.
const PEOPLE: [(&str, usize, &[&str]); 8] = [
    ("ann", 2, &["bob", "carol", "ann"]),
    ("bob", 2, &["ann"]),
    ("carol", 1, &["ann", "dave"]),
    ("dave", 1, &["carol"]),
    ("eve", 1, &["frank"]),
    ("frank", 1, &["eve"]),
    ("gina", 1, &[]),
    ("hugo", 1, &[]),
];

/// What to run. See [`Run::go`].
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name in files and messages.
    pub name: String,
    /// What it plays on.
    pub configuration: Configuration,
    /// What everything is made from.
    pub seed: u64,
    /// How long things break.
    pub duration: Duration,
    /// What breaks; all that can where it is empty.
    pub faults: Vec<Fault>,
    /// The database of [`Configuration::Nodes`].
    pub database: Option<Arc<dyn Database>>,
}

/// What a good run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Messages that were acknowledged.
    pub acknowledged: usize,
    /// Messages that sessions were shown.
    pub shown: usize,
    /// Sessions that were opened.
    pub sessions: usize,
    /// Servers killed.
    pub kills: usize,
    /// Messages of MQTT clients in the log.
    pub foreign: usize,
    /// From the last fault until everybody knew everything, in ms.
    pub settled: u128,
}

struct Cast {
    identities: BTreeMap<String, Identity>,
    devices: Vec<DeviceOf>,
    states: Vec<watch::Receiver<Status>>,
}

impl Run {
    /// Runs, and checks what happened.
    ///
    /// # Errors
    /// When a program fails, or a promise was broken; the history is then in a file in `target/chaos`.
    pub async fn go(self) -> Result<Figures> {
        let (history, settled) = self.play().await.with_context(|| self.replay())?;
        let count =
            |like: fn(&What) -> bool| history.records.iter().filter(|record| like(&record.what)).count();
        let public = history.logs.get(&Conversation::public()).map_or(&[][..], Vec::as_slice);
        let figures = Figures {
            acknowledged: count(|what| matches!(what, What::Acknowledged { .. })),
            shown: count(|what| matches!(what, What::Saw { .. })),
            sessions: count(|what| matches!(what, What::Opened { .. })),
            kills: count(
                |what| matches!(what, What::Fault { fault } if fault.starts_with("KillServer") && fault.contains(" for ")),
            ),
            foreign: public.iter().filter(|entry| entry.from.starts_with("mqtt:")).count(),
            settled,
        };
        let violations = checker::check(&history);
        if violations.is_empty() {
            return Ok(figures);
        }
        let path = target()?.join(format!("{}-{}.jsonl", self.name, self.seed));
        history.save(&path)?;
        let report = checker::report(&history, &violations);
        bail!("{report}\n{figures:?}\nthe whole history: {}\n{}", path.display(), self.replay())
    }

    fn replay(&self) -> String {
        let seconds = self.duration.as_secs();
        format!(
            "replay: CHAOS_SEED={} CHAOS_SECONDS={seconds} CHAOS_ONLY={} make test-chaos",
            self.seed, self.name
        )
    }

    async fn play(&self) -> Result<(History, u128)> {
        let mut stage = Stage::start(self.configuration, self.database.clone()).await?;
        let recorder = Recorder::default();
        let orders = watch::Sender::new(Orders { phase: Phase::Talking, asleep: None });
        let mut tasks = JoinSet::new();
        let mut witnesses = JoinSet::new();
        let choice =
            if self.faults.is_empty() { self.configuration.faults(devices()) } else { self.faults.clone() };
        let choice: Vec<_> = choice.into_iter().filter(|fault| stage.can(*fault)).collect();
        let loses = |fault: &Fault| matches!(fault, Fault::KillBroker | Fault::EmptyBroker);
        // The broker inside the server dies with it.
        let broker_kept = matches!(self.configuration, Configuration::Mosquitto | Configuration::Nodes(_))
            && !choice.iter().any(loses);
        if broker_kept {
            let mut witness = Outsider::connect(&stage.access().borrow().clone(), "witness").await?;
            witness.subscribe("public/msgs").await?;
            witnesses.spawn(overhear(witness, recorder.clone()));
        }
        let cast = self.assemble(&stage, &recorder, &orders, &mut tasks).await?;
        for number in 0..OUTSIDERS {
            let (name, seed) = (format!("meter{number}"), self.seed ^ (0x4d << 32) ^ number);
            tasks.spawn(publish_readings(name, seed, stage.access(), recorder.clone(), orders.subscribe()));
        }
        let end = Instant::now() + self.duration;
        for planned in schedule(self.seed, choice) {
            if Instant::now() + planned.pause >= end {
                break;
            }
            sleep(planned.pause).await;
            stage.suffer(planned, &recorder, &orders).await.with_context(|| format!("{planned:?}"))?;
        }
        sleep(end.saturating_duration_since(Instant::now())).await;

        recorder.note(What::Healed);
        orders.send_modify(|orders| orders.phase = Phase::Quiet);
        let healed = Instant::now();
        let mut logs = settle(&stage, &cast, healed).await?;
        let settled = healed.elapsed().as_millis();
        let taken = recorder.count(|what| matches!(what, What::Taken { .. }));
        while broker_kept && foreign(&logs) < taken && healed.elapsed() < OUTSIDE {
            sleep(LOOK).await;
            logs = read_logs(&stage, &cast).await?;
            // What comes in late has to reach everybody as well, only later than the ten seconds.
            if foreign(&logs) >= taken {
                recorder.note(What::Healed);
                logs = settle(&stage, &cast, Instant::now()).await?;
            }
        }
        let public = logs.get(&Conversation::public()).map_or(0, Vec::len);
        let overheard = || recorder.count(|what| matches!(what, What::Overheard { .. }));
        while broker_kept && overheard() < public && healed.elapsed() < OUTSIDE {
            sleep(LOOK).await;
        }
        orders.send_modify(|orders| orders.phase = Phase::Over);
        while let Some(ended) = tasks.join_next().await {
            ended.context("a client failed")?;
        }
        let history = History {
            configuration: self.name.to_owned(),
            seed: self.seed,
            broker_kept,
            devices: cast.devices,
            records: recorder.take(),
            logs,
        };
        Ok((history, settled))
    }

    async fn assemble(
        &self,
        stage: &Stage,
        recorder: &Recorder,
        orders: &watch::Sender<Orders>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Cast> {
        let mut cast = Cast { identities: BTreeMap::new(), devices: Vec::new(), states: Vec::new() };
        for (user, _, _) in PEOPLE {
            let identity = stage.sign_in(user).await?;
            cast.identities.insert(user.to_owned(), identity);
        }
        for (user, count, partners) in PEOPLE {
            for number in 0..count {
                let index = cast.devices.len();
                let mut follows = vec![Conversation::public()];
                follows.extend(partners.iter().map(|partner| Conversation::pair(user, partner)));
                let device = format!("{user}{number}");
                let of = DeviceOf { device, user: user.to_owned(), follows };
                cast.devices.push(of.clone());
                let seed = self.seed ^ (u64::try_from(index)? << 40);
                let identity = cast.identities[user].clone();
                let (device, status) = Device::new(
                    (index, of),
                    identity,
                    stage.doors(),
                    seed,
                    recorder.clone(),
                    orders.subscribe(),
                );
                cast.states.push(status);
                tasks.spawn(device.run());
            }
        }
        Ok(cast)
    }
}

/// How many devices all people have together.
#[must_use]
pub const fn devices() -> usize {
    let (mut count, mut place) = (0, 0);
    while place < PEOPLE.len() {
        count += PEOPLE[place].1;
        place += 1;
    }
    count
}

fn foreign(logs: &BTreeMap<Conversation, Vec<Entry>>) -> usize {
    logs.values().flatten().filter(|entry| entry.from.starts_with("mqtt:")).count()
}

/// Waits until everybody knows the whole logs, or the time is over; gives the logs.
async fn settle(stage: &Stage, cast: &Cast, healed: Instant) -> Result<BTreeMap<Conversation, Vec<Entry>>> {
    loop {
        let late = healed.elapsed() >= SETTLE;
        if late || cast.states.iter().all(|state| quiet(&state.borrow())) {
            let logs = read_logs(stage, cast).await?;
            let heads = |state: &Status| {
                state.heads.iter().all(|(conversation, head)| {
                    logs.get(conversation).map_or(0, |entries| entries.len() as u64) == *head
                })
            };
            let all = || cast.states.iter().all(|state| quiet(&state.borrow()) && heads(&state.borrow()));
            if late || all() {
                return Ok(logs);
            }
        }
        sleep(LOOK).await;
    }
}

/// Whether a device has said everything, and has everything that it knows of.
fn quiet(status: &Status) -> bool {
    status.pending == 0 && !status.holes && !status.heads.is_empty()
}

async fn read_logs(stage: &Stage, cast: &Cast) -> Result<BTreeMap<Conversation, Vec<Entry>>> {
    let mut logs = BTreeMap::new();
    let mut visitors: BTreeMap<&str, crate::User> = BTreeMap::new();
    for device in &cast.devices {
        for conversation in &device.follows {
            if logs.contains_key(conversation) {
                continue;
            }
            if !visitors.contains_key(device.user.as_str()) {
                visitors.insert(&device.user, stage.visit(&cast.identities[&device.user]).await?);
            }
            let visitor = visitors.get_mut(device.user.as_str()).context("nobody to ask")?;
            let messages = visitor.whole_history(&conversation.dest_for(&device.user)).await?;
            logs.insert(conversation.clone(), messages.iter().map(entry).collect::<Result<_>>()?);
        }
    }
    Ok(logs)
}

/// Where histories of failed runs are kept.
fn target() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().find(|folder| folder.ends_with("target"));
    let folder = target.unwrap_or_else(|| Path::new("target")).join("chaos");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
