//! What one other node has said of its people (docs/mqtt.md "Presence").

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqttchat_protocol::UserId;
use serde::{Deserialize, Serialize};

use crate::hub::now_ms;

/// How often a node is asked for a snapshot at most.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Parts of one snapshot: 2 million people.
const PARTS_MAX: usize = 10_000;

/// Who is somewhere: `at` is the conversation's key, or empty for being signed in at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Line {
    at: String,
    user: String,
    name: String,
    /// Since when they are gone, Unix time in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

impl Line {
    pub(crate) fn new(at: &str, user: &UserId, name: &str, left: Option<u64>) -> Self {
        Self { at: at.to_owned(), user: user.to_string(), name: name.to_owned(), left }
    }
}

/// One message of a node.
#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    incarnation: String,
    pub(crate) kind: Kind,
    #[serde(default)]
    version: u64,
    #[serde(default)]
    part: usize,
    #[serde(default)]
    parts: usize,
    #[serde(default)]
    people: Vec<Line>,
    /// Who is asked.
    #[serde(default)]
    pub(crate) of: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Snapshot,
    Change,
    Alive,
    Ask,
}

/// Somebody who has come to or gone from another node.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) at: String,
    pub(crate) user: UserId,
    pub(crate) name: Arc<str>,
    pub(crate) left: Option<u64>,
}

/// A node, as far as it has been heard.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    incarnation: String,
    version: u64,
    whole: bool,
    pub(crate) people: HashMap<(String, UserId), Arc<str>>,
    parts: Vec<Option<Vec<Line>>>,
    asked: Option<Instant>,
}

impl Peer {
    /// Notes what the node has said; returns who has moved, and whether a snapshot is to be asked for.
    pub(crate) fn take_in(&mut self, said: Said) -> (Vec<Moved>, bool) {
        if self.incarnation != said.incarnation {
            // Another run: its snapshot will tell who of those before is still there.
            self.incarnation.clone_from(&said.incarnation);
            self.whole = false;
            self.parts.clear();
        }
        let is_next = said.version.checked_sub(1) == Some(self.version);
        let mut moved = Vec::new();
        match said.kind {
            Kind::Snapshot => moved = self.part(said),
            Kind::Change if self.whole && is_next => {
                self.version = said.version;
                moved = said.people.into_iter().filter_map(|line| self.change(line)).collect();
            }
            // Told by the snapshot already.
            Kind::Change if self.whole && said.version <= self.version => {}
            Kind::Change => self.whole = false,
            Kind::Alive => self.whole = self.whole && said.version == self.version,
            Kind::Ask => {}
        }
        let ask = !self.whole && self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if ask {
            self.asked = Some(Instant::now());
        }
        (moved, ask)
    }

    fn change(&mut self, line: Line) -> Option<Moved> {
        let user = UserId::parse(&line.user)?;
        let name: Arc<str> = line.name.into();
        let key = (line.at.clone(), user.clone());
        match line.left {
            None => drop(self.people.insert(key, name.clone())),
            Some(_) => drop(self.people.remove(&key)),
        }
        Some(Moved { at: line.at, user, name, left: line.left })
    }

    /// A part of a snapshot; with the last one, what is different from before.
    fn part(&mut self, said: Said) -> Vec<Moved> {
        if said.part >= said.parts || said.parts > PARTS_MAX {
            return Vec::new();
        }
        if said.version != self.version || self.parts.len() != said.parts {
            self.version = said.version;
            self.parts = vec![None; said.parts];
            self.whole = false;
        }
        if let Some(part) = self.parts.get_mut(said.part) {
            *part = Some(said.people);
        }
        if self.parts.iter().any(Option::is_none) {
            return Vec::new();
        }
        let lines = std::mem::take(&mut self.parts).into_iter().flatten().flatten();
        let now: HashMap<(String, UserId), Arc<str>> = lines
            .filter_map(|line| Some(((line.at, UserId::parse(&line.user)?), line.name.into())))
            .collect();
        self.whole = true;
        let before = std::mem::replace(&mut self.people, now);
        let kept: HashSet<_> = self.people.keys().collect();
        let at = now_ms();
        let gone = before.into_iter().filter(|(key, _)| !kept.contains(key));
        let mut moved: Vec<Moved> =
            gone.map(|((place, user), name)| Moved { at: place, user, name, left: Some(at) }).collect();
        // Those who were here already are told of once more: entering twice is the same as once.
        moved.extend(self.people.iter().map(|((place, user), name)| Moved {
            at: place.clone(),
            user: user.clone(),
            name: name.clone(),
            left: None,
        }));
        moved
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(kind: &str, version: u64, people: &serde_json::Value) -> Said {
        serde_json::from_value(json!({
            "incarnation": "i", "kind": kind, "version": version, "part": 0, "parts": 1, "people": people,
        }))
        .unwrap()
    }

    fn line(user: &str, left: Option<u64>) -> serde_json::Value {
        json!({ "at": "public", "user": user, "name": user, "left": left })
    }

    fn names(moved: &[Moved]) -> Vec<(String, bool)> {
        let mut names: Vec<_> =
            moved.iter().map(|moved| (moved.user.to_string(), moved.left.is_none())).collect();
        names.sort();
        names
    }

    #[test]
    fn changes_count_from_a_snapshot_on() {
        let mut peer = Peer::default();
        let (moved, ask) = peer.take_in(said("change", 4, &json!([line("ann", None)])));
        assert!(moved.is_empty() && ask, "what came before is unknown");
        let (moved, ask) = peer.take_in(said("snapshot", 4, &json!([line("ann", None), line("bob", None)])));
        assert_eq!((names(&moved), ask), (vec![("ann".into(), true), ("bob".into(), true)], false));
        let (moved, _) = peer.take_in(said("change", 5, &json!([line("bob", Some(9))])));
        assert_eq!(names(&moved), [("bob".into(), false)]);
        let (moved, _) = peer.take_in(said("change", 5, &json!([line("eve", None)])));
        assert!(moved.is_empty(), "twice is once");
    }

    #[test]
    fn a_missed_change_is_made_up_for() {
        let mut peer = Peer::default();
        peer.take_in(said("snapshot", 1, &json!([line("ann", None)])));
        let (moved, ask) = peer.take_in(said("change", 3, &json!([line("bob", None)])));
        assert!(moved.is_empty() && ask == peer.asked.is_some());
        let (moved, _) = peer.take_in(said("snapshot", 3, &json!([line("bob", None)])));
        assert_eq!(names(&moved), [("ann".into(), false), ("bob".into(), true)]);
    }

    #[test]
    fn parts_of_two_runs_are_never_one_snapshot() {
        let part = |incarnation: &str, part: usize, user: &str| -> Said {
            serde_json::from_value(json!({
                "incarnation": incarnation, "kind": "snapshot", "version": 1, "part": part, "parts": 2,
                "people": [line(user, None)],
            }))
            .unwrap()
        };
        let mut peer = Peer::default();
        assert!(peer.take_in(part("i", 0, "ann")).0.is_empty());
        assert!(peer.take_in(part("j", 1, "bob")).0.is_empty(), "ann may have gone");
        let (moved, _) = peer.take_in(part("j", 0, "eve"));
        assert_eq!(names(&moved), [("bob".into(), true), ("eve".into(), true)]);
    }

    #[test]
    fn there_is_nothing_after_the_last_version() {
        let mut peer = Peer::default();
        peer.take_in(said("snapshot", u64::MAX, &json!([line("ann", None)])));
        let (moved, ask) = peer.take_in(said("change", 0, &json!([line("bob", None)])));
        assert!(moved.is_empty() && !ask);
    }
}
