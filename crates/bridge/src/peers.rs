//! Who is on other nodes, as those say: snapshots and changes on `nodes/<node>/presence` (docs/mqtt.md "Presence").
//!
//! Each node is the authority for its own sessions. Its messages carry a version that rises by one; a node that misses
//! one asks for a snapshot. What a node has said holds until its lease in the store has run out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mqttchat_protocol::{Conversation, PersonState, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::hub::{Hub, now_ms};
use crate::roster::LocalChange;

/// How many people one message names at most: a packet stays far below what brokers take.
const PEOPLE_MAX: usize = 200;

/// How often a node is asked for a snapshot at most.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Who is somewhere: `at` is the conversation's key, or empty for being signed in at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Line {
    at: String,
    user: String,
    name: String,
    /// Since when they are gone, Unix time in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

#[derive(Deserialize)]
struct Said {
    incarnation: String,
    kind: Kind,
    #[serde(default)]
    version: u64,
    #[serde(default)]
    part: usize,
    #[serde(default)]
    parts: usize,
    #[serde(default)]
    people: Vec<Line>,
    #[serde(default)]
    of: String,
}

#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Snapshot,
    Change,
    Alive,
    Ask,
}

/// What other nodes have said.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    nodes: Mutex<HashMap<Arc<str>, Peer>>,
    own: Mutex<u64>,
}

#[derive(Debug, Default)]
struct Peer {
    incarnation: String,
    version: u64,
    whole: bool,
    people: HashMap<(String, UserId), Arc<str>>,
    parts: Vec<Option<Vec<Line>>>,
    asked: Option<Instant>,
}

impl Peers {
    fn nodes(&self) -> MutexGuard<'_, HashMap<Arc<str>, Peer>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another node says that a user is signed in there.
    pub(crate) fn has(&self, user: &UserId) -> bool {
        let key = (String::new(), user.clone());
        self.nodes().values().any(|peer| peer.people.contains_key(&key))
    }

    /// Every user who is signed in on another node, and the name that is shown.
    pub(crate) fn everybody(&self) -> Vec<(UserId, Arc<str>)> {
        let nodes = self.nodes();
        let people = nodes.values().flat_map(|peer| &peer.people).filter(|((at, _), _)| at.is_empty());
        people.map(|((_, user), name)| (user.clone(), name.clone())).collect()
    }
}

/// Somebody who has come to or gone from another node.
struct Moved {
    at: String,
    user: UserId,
    name: Arc<str>,
    left: Option<u64>,
}

impl Hub {
    /// Takes in what a node says of its people.
    pub(crate) fn rung_presence(self: &Arc<Self>, node: &str, json: &[u8]) {
        if node == self.node {
            return;
        }
        let Ok(said) = serde_json::from_slice::<Said>(json) else { return };
        if said.kind == Kind::Ask {
            if said.of == self.node {
                self.say_snapshot();
            }
            return;
        }
        let node: Arc<str> = node.into();
        let (moved, ask) = self.peers.take_in(&node, said);
        self.apply(&node, moved);
        if ask {
            self.say(&json!({ "kind": "ask", "of": &*node }));
        }
    }

    /// Forgets a node that is dead: its people have gone.
    pub(crate) fn forget_node(self: &Arc<Self>, node: &Arc<str>) {
        let Some(peer) = self.peers.nodes().remove(node) else { return };
        let now = now_ms();
        let gone =
            peer.people.into_iter().map(|((at, user), name)| Moved { at, user, name, left: Some(now) });
        self.apply(node, gone.collect());
    }

    fn apply(self: &Arc<Self>, node: &Arc<str>, moved: Vec<Moved>) {
        for Moved { at, user, name, left } in moved {
            match Conversation::parse(&at) {
                Some(conversation) => {
                    let Some(sequencer) = self.known_sequencer(&conversation) else { continue };
                    let mut roster = sequencer.roster();
                    match left {
                        None => roster.enter_on(node, &user, &name),
                        Some(left) => roster.leave_on(node, &user, left),
                    }
                }
                None if self.people.is_online(&user) => {}
                None => match left {
                    None => self.tell_state(&user, PersonState::Online, now_ms()),
                    Some(_) if self.peers.has(&user) => {}
                    Some(left) => self.tell_state(&user, PersonState::Offline, left),
                },
            }
        }
    }

    /// Tells a conversation that has just come to life here who is in it elsewhere.
    pub(crate) fn fill_roster(&self, conversation: &Conversation) {
        let Some(sequencer) = self.known_sequencer(conversation) else { return };
        let at = conversation.to_string();
        let nodes = self.peers.nodes();
        let mut roster = sequencer.roster();
        for (node, peer) in nodes.iter() {
            for ((_, user), name) in peer.people.iter().filter(|((there, _), _)| *there == at) {
                roster.enter_on(node, user, name);
            }
        }
    }

    /// Tells other nodes who has come and gone here.
    pub(crate) fn say_changes(&self, at: Option<&Conversation>, changes: &[LocalChange]) {
        let at = at.map(ToString::to_string).unwrap_or_default();
        for changes in changes.chunks(PEOPLE_MAX) {
            let people: Vec<Line> = changes.iter().map(|change| Line::of(&at, change)).collect();
            let version = self.peers.next_version();
            self.say(&json!({ "kind": "change", "version": version, "people": people }));
        }
    }

    /// Tells other nodes everybody who is here.
    pub(crate) fn say_snapshot(&self) {
        let mut people = Vec::new();
        for sequencer in self.active() {
            let at = sequencer.conversation.to_string();
            let local = sequencer.roster().local_people();
            let line = |(user, name): (UserId, Arc<str>)| Line::new(&at, &user, &name, None);
            people.extend(local.into_iter().map(line));
        }
        let line = |(user, name): (UserId, Arc<str>)| Line::new("", &user, &name, None);
        people.extend(self.people.everybody().into_iter().map(line));
        let version = self.peers.version();
        let parts = people.len().div_ceil(PEOPLE_MAX).max(1);
        for part in 0..parts {
            let people: Vec<&Line> = people.iter().skip(part * PEOPLE_MAX).take(PEOPLE_MAX).collect();
            self.say(&json!({
                "kind": "snapshot", "version": version, "part": part, "parts": parts, "people": people,
            }));
        }
    }

    /// Tells other nodes which version they should have.
    pub(crate) fn say_alive(&self) {
        self.say(&json!({ "kind": "alive", "version": self.peers.version() }));
    }

    fn say(&self, what: &serde_json::Value) {
        let topic = self.topics.node_presence(&self.node);
        let payload = self.seal_passing(what.to_string().as_bytes(), &topic);
        // What can't be said now is asked for later: the version tells.
        let _ = self.link.publish_state(topic, payload, false);
    }
}

impl Line {
    fn new(at: &str, user: &UserId, name: &str, left: Option<u64>) -> Self {
        Self { at: at.to_owned(), user: user.to_string(), name: name.to_owned(), left }
    }

    fn of(at: &str, change: &LocalChange) -> Self {
        Self::new(at, &change.user, &change.name, change.left_at)
    }
}

impl Peers {
    fn version(&self) -> u64 {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_version(&self) -> u64 {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        *own += 1;
        *own
    }

    /// Notes what a node has said; returns who has moved, and whether a snapshot is to be asked for.
    fn take_in(&self, node: &Arc<str>, said: Said) -> (Vec<Moved>, bool) {
        let mut nodes = self.nodes();
        let peer = nodes.entry(node.clone()).or_default();
        if peer.incarnation != said.incarnation {
            // Another run: its snapshot will tell who of those before is still there.
            peer.incarnation.clone_from(&said.incarnation);
            peer.whole = false;
        }
        let mut moved = Vec::new();
        match said.kind {
            Kind::Snapshot => moved = peer.part(said),
            Kind::Change if peer.whole && said.version == peer.version + 1 => {
                peer.version = said.version;
                moved = said.people.into_iter().filter_map(|line| peer.change(line)).collect();
            }
            // Told by the snapshot already.
            Kind::Change if peer.whole && said.version <= peer.version => {}
            Kind::Change => peer.whole = false,
            Kind::Alive => peer.whole = peer.whole && said.version == peer.version,
            Kind::Ask => {}
        }
        let ask = !peer.whole && peer.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if ask {
            peer.asked = Some(Instant::now());
        }
        (moved, ask)
    }
}

impl Peer {
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
        if said.part >= said.parts || said.parts > 10_000 {
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
        let (peers, node) = (Peers::default(), Arc::from("n2"));
        let (moved, ask) = peers.take_in(&node, said("change", 4, &json!([line("ann", None)])));
        assert!(moved.is_empty() && ask, "what came before is unknown");
        let (moved, ask) =
            peers.take_in(&node, said("snapshot", 4, &json!([line("ann", None), line("bob", None)])));
        assert_eq!((names(&moved), ask), (vec![("ann".into(), true), ("bob".into(), true)], false));
        let (moved, _) = peers.take_in(&node, said("change", 5, &json!([line("bob", Some(9))])));
        assert_eq!(names(&moved), [("bob".into(), false)]);
        let (moved, _) = peers.take_in(&node, said("change", 5, &json!([line("eve", None)])));
        assert!(moved.is_empty(), "twice is once");
    }

    #[test]
    fn a_missed_change_is_made_up_for() {
        let (peers, node) = (Peers::default(), Arc::from("n2"));
        peers.take_in(&node, said("snapshot", 1, &json!([line("ann", None)])));
        let (moved, ask) = peers.take_in(&node, said("change", 3, &json!([line("bob", None)])));
        assert!(moved.is_empty() && ask == peers.nodes()[&node].asked.is_some());
        let (moved, _) = peers.take_in(&node, said("snapshot", 3, &json!([line("bob", None)])));
        assert_eq!(names(&moved), [("ann".into(), false), ("bob".into(), true)]);
    }
}
