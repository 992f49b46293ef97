//! Who is on other nodes, as those say: snapshots and changes on `nodes/<node>/presence` (docs/mqtt.md "Presence").
//!
//! Each node is the authority for its own sessions. Its messages carry a version that rises by one; a node that misses
//! one asks for a snapshot. What a node has said holds until its lease in the store has run out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqttchat_protocol::{Conversation, PersonState, UserId};
use serde_json::json;

use crate::hub::{Hub, now_ms};
use crate::peer::{Kind, Line, Moved, Peer, Said};
use crate::roster::LocalChange;

/// How many people one message names at most: a packet stays far below what brokers take.
const PEOPLE_MAX: usize = 200;

/// What other nodes have said.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    nodes: Mutex<HashMap<Arc<str>, Peer>>,
    own: Mutex<u64>,
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
        self.nodes().entry(node.clone()).or_default().take_in(said)
    }
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
            let line = |change: &LocalChange| Line::new(&at, &change.user, &change.name, change.left_at);
            let people: Vec<Line> = changes.iter().map(line).collect();
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
