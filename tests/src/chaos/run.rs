//! One run: people talk while things break, then everything is compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::checker::{self, Violation};
use super::device::{Device, Habits, Identity, Orders, Phase, Status};
use super::entry::number;
use super::fault::{Fault, schedule};
use super::figures::Figures;
use super::history::{Conversation, Deed, DeviceOf, Entry, History, What};
use super::keeper::{CHURNED, Keeper, ROOM};
use super::liar::Lie;
use super::outsider::{Outsider, overhear, publish_readings};
use super::recorder::Recorder;
use super::spy::Spy;
use super::stage::{Configuration, Database, Stage};
use super::twin::Twin;

/// How long after the last fault everybody may need.
const SETTLE: Duration = Duration::from_secs(10);
/// How long MQTT clients' messages may wait in the broker after a crash.
const OUTSIDE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(100);
/// MQTT clients that talk too.
const OUTSIDERS: u64 = 2;

/// Who is there, how many devices they have, and with whom they talk in private.
const PEOPLE: [(&str, usize, &[&str]); 9] = [
    ("ann", 2, &["bob", "carol", "ann"]),
    ("bob", 2, &["ann"]),
    ("carol", 1, &["ann", "dave"]),
    ("dave", 1, &["carol"]),
    ("eve", 1, &["frank"]),
    ("frank", 1, &["eve"]),
    ("gina", 1, &[]),
    ("hugo", 1, &[]),
    (TWIN, 1, &[TWIN]),
];
/// Who says everything twice, beside their device.
const TWIN: &str = "ida";
/// Who belongs to the room in the beginning; the first owns it.
const MEMBERS: [&str; 4] = ["ann", "bob", "carol", "dave"];
/// Who never belongs to it, and tries to get in.
const STRANGER: &str = "eve";
/// Messages that a device writes in a second, where nothing else is said.
pub const RATE: u32 = 22;

/// What to run. See [`Run::go`].
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name in files and messages.
    pub name: String,
    /// What it plays on.
    pub configuration: Configuration,
    /// What everything is made from.
    pub seed: u64,
    /// What to type to have the same run again.
    pub replay: String,
    /// How long things break.
    pub duration: Duration,
    /// What breaks first, however short the run is.
    pub first: Vec<Fault>,
    /// What breaks then.
    pub faults: Vec<Fault>,
    /// Messages that each device writes in a second.
    pub rate: u32,
    /// The database of [`Configuration::Nodes`].
    pub database: Option<Arc<dyn Database>>,
    /// What the clients are told instead of the truth.
    pub lie: Option<Lie>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it did.
    pub figures: Figures,
    /// The promises that were broken.
    pub violations: Vec<Violation>,
    /// Everything that happened.
    pub history: History,
}

struct Cast {
    identities: BTreeMap<String, Identity>,
    devices: Vec<DeviceOf>,
    states: Vec<watch::Receiver<Status>>,
    /// Whether those who say everything twice and who own the room wait for answers.
    busy: [watch::Receiver<bool>; 2],
}

impl Run {
    /// Runs, and checks what happened.
    ///
    /// # Errors
    /// When a program fails.
    pub async fn go(&self) -> Result<Outcome> {
        let (history, suffered, skipped) = self.play().await.with_context(|| self.replay.clone())?;
        let violations = checker::check(&history);
        let figures = Figures::of(&history, &suffered, &skipped, &violations);
        Ok(Outcome { figures, violations, history })
    }

    /// Demands that no promise was broken.
    ///
    /// # Errors
    /// When one was. The history is then in a file in `target/chaos`.
    pub fn demand(&self, outcome: &Outcome) -> Result<()> {
        let Outcome { violations, history, .. } = outcome;
        if violations.is_empty() {
            return Ok(());
        }
        let path = target()?.join(format!("{}-{}.jsonl", self.name, self.seed));
        history.save(&path)?;
        let report = checker::report(history, violations);
        bail!("{report}\nthe whole history: {}\n{}", path.display(), self.replay)
    }

    async fn play(&self) -> Result<(History, Vec<Fault>, Vec<Fault>)> {
        let mut stage = Stage::start(self.configuration, self.database.clone(), self.lie).await?;
        let recorder = Recorder::default();
        let orders = watch::Sender::new(Orders { phase: Phase::Talking, asleep: None });
        let mut tasks = JoinSet::new();
        let mut witnesses = JoinSet::new();
        let broker_kept = self.keeps_broker();
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
        let (suffered, skipped) = self.torment(&mut stage, &recorder, &orders).await?;

        recorder.note(What::Healed);
        orders.send_modify(|orders| orders.phase = Phase::Quiet);
        let healed = Instant::now();
        let mut logs = settle(&stage, &cast, healed).await?;
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
        // Who was late is that, and what they said late is in the log all the same.
        let logs = read_logs(&stage, &cast).await?;
        let history = History {
            configuration: self.name.clone(),
            seed: self.seed,
            broker_kept,
            devices: cast.devices,
            records: recorder.take(),
            logs,
        };
        Ok((history, suffered, skipped))
    }

    /// Whether the broker keeps what it has confirmed to MQTT clients, whatever breaks.
    fn keeps_broker(&self) -> bool {
        let loses = |fault: &Fault| matches!(fault, Fault::KillBroker | Fault::EmptyBroker);
        // The broker inside the server dies with it.
        matches!(self.configuration, Configuration::Mosquitto | Configuration::Nodes(_))
            && !self.first.iter().chain(&self.faults).any(loses)
    }

    /// Breaks things until the time is over; says what was broken, and what cannot be on this machine.
    async fn torment(
        &self,
        stage: &mut Stage,
        recorder: &Recorder,
        orders: &watch::Sender<Orders>,
    ) -> Result<(Vec<Fault>, Vec<Fault>)> {
        let (first, skipped): (Vec<_>, Vec<_>) = self.first.iter().partition(|fault| stage.can(**fault));
        let (choice, never): (Vec<_>, Vec<_>) = self.faults.iter().partition(|fault| stage.can(**fault));
        let (begin, mut suffered) = (first.len(), Vec::new());
        let end = Instant::now() + self.duration;
        for planned in schedule(self.seed, first, choice) {
            if suffered.len() >= begin && Instant::now() + planned.pause >= end {
                break;
            }
            sleep(planned.pause).await;
            stage.suffer(planned, recorder, orders).await.with_context(|| format!("{planned:?}"))?;
            suffered.push(planned.fault);
        }
        // What follows is measured from the end of the last fault.
        if suffered.is_empty() {
            sleep(end.saturating_duration_since(Instant::now())).await;
        }
        Ok((suffered, [skipped, never].concat()))
    }

    async fn assemble(
        &self,
        stage: &Stage,
        recorder: &Recorder,
        orders: &watch::Sender<Orders>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Cast> {
        let mut identities = BTreeMap::new();
        for (user, _, _) in PEOPLE {
            identities.insert(user.to_owned(), stage.sign_in(user).await?);
        }
        self.make_room(stage, &identities[MEMBERS[0]], recorder).await?;
        let (doors, sockjs) = (stage.doors(), self.sockjs());
        let (identity, seed) = (&identities[TWIN], self.seed ^ (0x54 << 32));
        let (twin, twin_busy) = Twin::new(identity, &doors, sockjs, seed, recorder, orders.subscribe())?;
        tasks.spawn(twin.run());
        let (identity, seed) = (identities[MEMBERS[0]].clone(), self.seed ^ (0x4b << 32));
        let (keeper, keeper_busy) =
            Keeper::new(identity, doors.clone(), seed, recorder.clone(), orders.subscribe());
        tasks.spawn(keeper.run());
        for (number, user) in [STRANGER, CHURNED[1]].into_iter().enumerate() {
            let spy = Spy {
                identity: identities[user].clone(),
                doors: doors.clone(),
                sockjs,
                stranger: user == STRANGER,
                room: Conversation::room(ROOM),
                recorder: recorder.clone(),
                orders: orders.subscribe(),
            };
            tasks.spawn(spy.run(self.seed ^ (0x53 << 32) ^ u64::try_from(number)?));
        }
        let busy = [twin_busy, keeper_busy];
        let mut cast = Cast { identities, devices: Vec::new(), states: Vec::new(), busy };
        for (user, count, partners) in PEOPLE {
            for number in 0..count {
                let index = cast.devices.len();
                let mut follows = vec![Conversation::public()];
                follows.extend(partners.iter().map(|partner| Conversation::pair(user, partner)));
                follows.extend(MEMBERS.contains(&user).then(|| Conversation::room(ROOM)));
                let device = format!("{user}{number}");
                let of = DeviceOf { device, user: user.to_owned(), follows };
                cast.devices.push(of.clone());
                let seed = self.seed ^ (u64::try_from(index)? << 40);
                let identity = cast.identities[user].clone();
                let (device, status) = Device::new(
                    (index, of),
                    identity,
                    Habits { doors: doors.clone(), rate: self.rate, sockjs },
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

    /// Whether SockJS is spoken, too. A lie is told over plain WebSockets.
    fn sockjs(&self) -> bool {
        self.lie.is_none()
    }

    async fn make_room(&self, stage: &Stage, owner: &Identity, recorder: &Recorder) -> Result<()> {
        let (id, conversation, text) =
            ("room".to_owned(), Conversation::room(ROOM), "room.create".to_owned());
        let user = owner.id.clone();
        recorder.note(What::Sent {
            user: user.clone(),
            id: id.clone(),
            conversation: conversation.clone(),
            text: text.clone(),
        });
        let mut visitor = stage.visit(owner).await?;
        let data = json!({"title": "Operations", "open": false, "members": MEMBERS});
        let dest = conversation.dest_for(&user);
        visitor.send(&json!({"type": "room.create", "id": id, "dest": dest, "data": data})).await?;
        let room = visitor.expect("reply").await?["data"].clone();
        let (seq, time) = (number(&room["head"])?, number(&room["modified"])?);
        let session = "ann-makes".to_owned();
        recorder.note(What::Acknowledged { session, user, id, conversation, seq, time, text: Some(text) });
        visitor.close().await
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
        let busy = cast.busy.iter().any(|busy| *busy.borrow());
        if late || (!busy && cast.states.iter().all(|state| quiet(&state.borrow()))) {
            let logs = read_logs(stage, cast).await?;
            let all = || {
                cast.devices.iter().zip(&cast.states).all(|(device, state)| {
                    let state = state.borrow();
                    quiet(&state)
                        && device.follows.iter().all(|place| knows(&logs, place, &device.user, &state))
                })
            };
            if late || all() {
                return Ok(logs);
            }
        }
        sleep(LOOK).await;
    }
}

/// Whether a device knows a whole log, where it may.
fn knows(
    logs: &BTreeMap<Conversation, Vec<Entry>>,
    place: &Conversation,
    user: &str,
    state: &Status,
) -> bool {
    let log = logs.get(place).map_or(&[][..], Vec::as_slice);
    let named = |entry: &&Entry| match &entry.does {
        Some(Deed::Add(other) | Deed::Remove(other)) => other == user,
        _ => false,
    };
    let last = log.iter().rfind(named).and_then(|entry| entry.does.as_ref());
    let known = state.heads.get(place).copied();
    // Who had to go has to know that, too.
    if matches!(last, Some(Deed::Remove(_))) { known.is_none() } else { known == Some(log.len() as u64) }
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
            logs.insert(conversation.clone(), messages.iter().map(Entry::read).collect::<Result<_>>()?);
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
