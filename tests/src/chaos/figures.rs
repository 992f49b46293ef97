//! What a run did, in numbers, on one line.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::checker::Violation;
use super::fault::Fault;
use super::history::{Deed, Entry, History, What};

/// What a run did, and how often each promise was broken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Messages that were acknowledged, each counted once.
    pub acknowledged: usize,
    /// Answers to messages that had been acknowledged before.
    pub repeated: usize,
    /// Messages that were refused since their id was spent on another.
    pub conflicts: usize,
    /// Messages that sessions were shown.
    pub shown: usize,
    /// Sessions that were opened.
    pub sessions: usize,
    /// Servers and brokers that got SIGKILL.
    pub kills: usize,
    /// Of these, how many came over SockJS.
    pub sockjs: usize,
    /// Changes of messages in the logs.
    pub changes: usize,
    /// Entries of rooms.
    pub rooms: usize,
    /// How often somebody was removed from a room.
    pub removals: usize,
    /// What somebody tried in a room, and was refused since it was not there for them.
    pub barred: usize,
    /// Messages of MQTT clients in the log.
    pub foreign: usize,
    /// From the last fault until everybody knew everything that people had said, in ms.
    pub settled: u64,
    /// From the last fault until everybody knew what MQTT clients had said, too, and it was published, in ms. Who takes
    /// that in may have died; then it waits until that lease has run out.
    pub outside: u64,
    /// What was suffered, by kind.
    pub faults: BTreeMap<String, usize>,
    /// What could not be tried on this machine.
    pub skipped: Vec<String>,
    /// Violations of the checker's seven promises.
    pub broken: [usize; 7],
}

impl Figures {
    /// Counts what happened in a run.
    #[must_use]
    pub fn of(history: &History, suffered: &[Fault], skipped: &[Fault], violations: &[Violation]) -> Self {
        let mut figures =
            Self { kills: suffered.iter().filter(|fault| fault.kills()).count(), ..Self::default() };
        for fault in suffered {
            *figures.faults.entry(fault.kind()).or_default() += 1;
        }
        let skipped: HashSet<_> = skipped.iter().map(Fault::kind).collect();
        figures.skipped = skipped.into_iter().collect();
        figures.skipped.sort();
        for violation in violations {
            figures.broken[usize::from(violation.invariant) - 1] += 1;
        }
        for (conversation, log) in &history.logs {
            let changes = log.iter().filter_map(|entry| entry.does.as_ref());
            figures.changes += changes.clone().filter(|deed| deed.target().is_some()).count();
            figures.removals += changes.filter(|deed| matches!(deed, Deed::Remove(_))).count();
            figures.rooms += if conversation.is_room() { log.len() } else { 0 };
        }
        figures.foreign = history.logs.values().flatten().filter(|entry| is_foreign(entry)).count();
        figures.read(history);
        figures
    }

    fn read(&mut self, history: &History) {
        let mut acknowledged = HashSet::new();
        let mut healed = None;
        for record in &history.records {
            match &record.what {
                What::Acknowledged { user, id, .. } => {
                    if acknowledged.insert((user, id)) {
                        self.acknowledged += 1;
                    } else {
                        self.repeated += 1;
                    }
                }
                What::Refused { code, .. } if code == "id_conflict" => self.conflicts += 1,
                What::Opened { door, .. } => {
                    self.sessions += 1;
                    self.sockjs += usize::from(door != "ws");
                }
                What::Tried { answer, .. } if answer == "not_found" => self.barred += 1,
                What::Saw { .. } => self.shown += 1,
                What::Healed => {
                    healed.get_or_insert(record.at);
                }
                _ => {}
            }
            let since = record.at - healed.unwrap_or(record.at);
            let entries = match &record.what {
                What::Saw { entry, .. } | What::Overheard { entry, .. } => std::slice::from_ref(entry),
                What::Fetched { entries, .. } => entries,
                _ => continue,
            };
            self.outside = since;
            let is_overheard = matches!(record.what, What::Overheard { .. });
            if !is_overheard && entries.iter().any(|entry| !is_foreign(entry)) {
                self.settled = since;
            }
        }
    }
}

fn is_foreign(entry: &Entry) -> bool {
    entry.from.starts_with("mqtt:")
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lost, order, stored_twice, leaked, shown_twice, invented, late] = self.broken;
        write!(
            out,
            "kills={} acknowledged={} repeated={} conflicts={} shown={} sessions={} sockjs={} changes={} rooms={} removals={} barred={} foreign={} ",
            self.kills,
            self.acknowledged,
            self.repeated,
            self.conflicts,
            self.shown,
            self.sessions,
            self.sockjs,
            self.changes,
            self.rooms,
            self.removals,
            self.barred,
            self.foreign
        )?;
        write!(
            out,
            "settled_ms={} outside_ms={} lost={lost} disordered={order} twice={} leaked={leaked} invented={invented} late={late} ",
            self.settled,
            self.outside,
            stored_twice + shown_twice
        )?;
        let faults: Vec<_> = self.faults.iter().map(|(kind, count)| format!("{kind}:{count}")).collect();
        let named = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(",") };
        write!(out, "faults={} skipped={}", named(&faults), named(&self.skipped))
    }
}
