//! What a run did, in numbers, on one line.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::checker::Violation;
use super::fault::Fault;
use super::history::{Entry, History, What};

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
    /// Messages of MQTT clients in the log.
    pub foreign: usize,
    /// From the last fault until everybody knew everything that was said by then, in ms.
    pub settled: u64,
    /// From the last fault until everything of MQTT clients was taken in and everything was published, in ms, where the
    /// broker keeps what it has confirmed.
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
        let foreign = |entry: &&Entry| entry.from.starts_with("mqtt:");
        figures.foreign = history.logs.values().flatten().filter(foreign).count();
        figures.read(history);
        figures
    }

    fn read(&mut self, history: &History) {
        let mut acknowledged = HashSet::new();
        let (mut healed, mut again) = (None, false);
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
                What::Opened { .. } => self.sessions += 1,
                What::Saw { .. } => self.shown += 1,
                What::Healed if healed.is_some() => again = true,
                What::Healed => healed = Some(record.at),
                _ => {}
            }
            let since = record.at - healed.unwrap_or(record.at);
            match &record.what {
                What::Saw { .. } | What::Fetched { .. } if !again => self.settled = since,
                What::Saw { .. } | What::Fetched { .. } | What::Overheard { .. } => self.outside = since,
                _ => {}
            }
        }
        self.outside = self.outside.max(self.settled);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lost, order, stored_twice, leaked, shown_twice, invented, late] = self.broken;
        write!(
            out,
            "kills={} acknowledged={} repeated={} conflicts={} shown={} sessions={} foreign={} ",
            self.kills,
            self.acknowledged,
            self.repeated,
            self.conflicts,
            self.shown,
            self.sessions,
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
