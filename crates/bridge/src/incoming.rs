//! What MQTT brings to the node's own clients: signed frames of other nodes, and of itself. It rings the sequencers;
//! nothing of it goes to a socket unchecked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mqttchat_protocol::{Conversation, Dest, EntryKind, Frame, MessageId, Party, PersonState, Topic, UserId};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::effect::Effect;
use crate::hub::{Hub, now_ms};
use crate::link::Link;
use crate::sequencer::Offered;

/// Where `Hub::seal_passing` begins what it adds to a frame. It can't stand inside a JSON string.
const ORIGIN: &[u8] = br#","topic":""#;

/// What is not of the log and older than this, in ms, is dropped.
const PASSING_MAX_AGE: u64 = 30_000;

/// Topics of runs of nodes whose counters are remembered.
const ORIGINS_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Rung<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<String>,
    dest: String,
    from: String,
    seq: u64,
}

/// What an entry that changes something says.
#[derive(Deserialize)]
struct Changing<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// A change of a room, or the bell for one, for somebody whom it concerns.
#[derive(Deserialize)]
struct RoomChanged {
    dest: String,
    seq: u64,
}

#[derive(Deserialize)]
struct Passing {
    /// A string, or the number of a transport message; presence has none.
    #[serde(rename = "type", default)]
    kind: Value,
    topic: String,
    incarnation: String,
    n: u64,
    at: u64,
    from: Option<String>,
    user: Option<String>,
    session: Option<String>,
    state: Option<String>,
}

/// The newest counter seen of each run of a node, by topic: on one topic it only rises.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<String, u64>>);

impl Seen {
    /// Whether this is newer than all before it of the same run.
    fn is_new(&self, incarnation: &str, topic: &str, n: u64) -> bool {
        let origin = format!("{incarnation} {topic}");
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() > ORIGINS_MAX {
            seen.clear();
        }
        match seen.get_mut(&origin) {
            Some(last) if *last >= n => false,
            Some(last) => {
                *last = n;
                true
            }
            None => {
                seen.insert(origin, n);
                true
            }
        }
    }
}

impl Hub {
    /// Takes a message of the node's own clients in. What does not verify is none of this installation's: the ingest
    /// client looks at such.
    pub(crate) fn rung(self: &Arc<Self>, link: &Link, publish: &rumqttc::Publish) {
        let Some(topic) = self.topics.parse(&publish.topic) else { return };
        let Ok(envelope) = self.keys.open(&publish.payload) else {
            // What comes on the topics of messages, the ingest client counts.
            if !matches!(topic, Topic::Msgs(_)) {
                metrics::counter!("mqttchat_forged_total").increment(1);
            }
            return;
        };
        match topic {
            Topic::Msgs(dest) => self.rung_entry(&dest, &envelope.to_json()),
            // What was retained was true once.
            Topic::Status(_) if publish.retain => {}
            Topic::Typing(_) | Topic::Acks(_) | Topic::RoomAcks(_) | Topic::Status(_) => {
                self.rung_passing(link, &topic, &publish.topic, &envelope.to_json());
            }
            Topic::NodePresence(node) => {
                let json = envelope.to_json();
                if self.is_news(&publish.topic, &json).is_some() {
                    self.rung_presence(&node, &json);
                }
            }
        }
    }

    fn rung_entry(self: &Arc<Self>, topic: &Dest, json: &[u8]) {
        let Ok(entry) = serde_json::from_slice::<Rung<'_>>(json) else { return };
        let (Ok(dest), Some(from)) = (Dest::parse(&entry.dest), Party::parse(&entry.from)) else { return };
        let conversation = dest.seen_by(&from);
        if entry.seq == 0 || !fits(topic, &conversation) {
            return;
        }
        let Some(sequencer) = self.reading(&conversation) else { return };
        if sequencer.head().is_some_and(|head| head >= entry.seq) {
            return;
        }
        let id = entry.id.as_deref().and_then(MessageId::parse);
        let effect = EntryKind::parse(entry.kind).and_then(|kind| effect(kind, json));
        let hole = match (id, effect) {
            (Some(id), Some(effect)) => {
                sequencer.offer(entry.seq, &id, effect, Frame::text(json)) == Offered::Hole
            }
            // A bell: what it rings for is in the log.
            _ => sequencer.ring_for(entry.seq),
        };
        if hole {
            self.repair(&sequencer);
        }
        self.wake(&sequencer);
    }

    /// What is not of the log, if another node has said it, just now, on this topic, and for the first time.
    fn is_news(&self, topic: &str, json: &[u8]) -> Option<Passing> {
        let passing: Passing = serde_json::from_slice(json).ok()?;
        let fresh = now_ms().abs_diff(passing.at) <= PASSING_MAX_AGE;
        let own = passing.incarnation == self.incarnation;
        (passing.topic == topic && fresh && !own && self.seen.is_new(&passing.incarnation, topic, passing.n))
            .then_some(passing)
    }

    fn rung_passing(self: &Arc<Self>, link: &Link, topic: &Topic, name: &str, json: &[u8]) {
        if let Topic::Status(user) = topic {
            if let Ok(passing) = serde_json::from_slice::<Passing>(json)
                && passing.topic == name
            {
                self.rung_status(link, user, &passing);
            }
            return;
        }
        let Some(passing) = self.is_news(name, json) else { return };
        // Clients get what the other node's clients got, without where it came from.
        let Some(origin) = json.windows(ORIGIN.len()).rposition(|window| window == ORIGIN) else { return };
        let json = [&json[..origin], b"}"].concat();
        let json = json.as_slice();
        let frame = Frame::text(json);
        match topic {
            Topic::Acks(user) if passing.kind == "room" || passing.kind == "bell" => {
                let Ok(changed) = serde_json::from_slice::<RoomChanged>(json) else { return };
                let Ok(Dest::Room(room)) = Dest::parse(&changed.dest) else { return };
                let conversation = Conversation::Room(room);
                if passing.kind == "room" {
                    self.mail_room(user, &conversation, changed.seq, &frame);
                } else {
                    self.rung_room(user.clone(), conversation, changed.seq);
                }
            }
            Topic::Acks(_) | Topic::RoomAcks(_) => self.rung_move(),
            Topic::Typing(dest) => {
                let Some(from) = passing.from.as_deref().and_then(UserId::parse) else { return };
                if let Some(sequencer) = self.known_sequencer(&dest.seen_by(&Party::from(&from))) {
                    sequencer.pass(frame, Some(from));
                    self.wake(&sequencer);
                }
            }
            Topic::Msgs(_) | Topic::Status(_) | Topic::NodePresence(_) => {}
        }
    }

    /// A Last Will, perhaps: somebody with another session here is not offline, and one of their sessions says so.
    fn rung_status(&self, link: &Link, user: &UserId, passing: &Passing) {
        if passing.user.as_deref() != Some(user.as_str()) || passing.state.as_deref() != Some("offline") {
            return;
        }
        let here = self.people.sessions_of(user);
        let Some(session) = here.first().filter(|session| session.link.is(link)) else { return };
        let ended =
            passing.session.as_deref().is_some_and(|ended| here.iter().all(|session| session.id != ended));
        if ended && !self.is_stopping() {
            self.publish_status(session, PersonState::Online);
        }
    }
}

/// What an entry of another node does to its readers.
fn effect(kind: EntryKind, json: &[u8]) -> Option<Effect> {
    if kind == EntryKind::Msg {
        return Some(Effect::Nothing);
    }
    let changing: Changing<'_> = serde_json::from_slice(json).ok()?;
    Some(Effect::of(kind, changing.data.get()))
}

/// Whether an entry of `conversation` belongs on this topic: private ones on those of their two users.
fn fits(topic: &Dest, conversation: &Conversation) -> bool {
    match (topic, conversation) {
        (Dest::Public, Conversation::Public) => true,
        (Dest::Room(topic), Conversation::Room(room)) => topic == room,
        (Dest::Private(user), Conversation::Pair(one, other)) => user == one || user == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_only_rise() {
        let seen = Seen::default();
        assert!(seen.is_new("a", "t", 0) && seen.is_new("a", "t", 2) && seen.is_new("b", "t", 1));
        assert!(!seen.is_new("a", "t", 2) && !seen.is_new("a", "t", 1) && !seen.is_new("b", "t", 1));
        assert!(seen.is_new("a", "other", 1));
    }

    #[test]
    fn what_passes_has_a_type_of_either_form_or_none() {
        for (kind, is_room) in [(r#""type":300,"#, false), (r#""type":"room","#, true), ("", false)] {
            let json = format!(r#"{{{kind}"topic":"t","incarnation":"i","n":1,"at":2}}"#);
            let passing: Passing = serde_json::from_str(&json).unwrap();
            assert_eq!((passing.kind == "room", passing.n), (is_room, 1), "{json}");
        }
    }

    #[test]
    fn entries_count_on_their_own_topics_only() {
        let pair = Dest::parse("private/bob").unwrap().seen_by(&Party::parse("ann").unwrap());
        assert!(fits(&Dest::parse("private/ann").unwrap(), &pair));
        assert!(fits(&Dest::parse("private/bob").unwrap(), &pair));
        assert!(!fits(&Dest::parse("private/eve").unwrap(), &pair));
        assert!(
            !fits(&Dest::Public, &pair) && !fits(&Dest::parse("rooms/ann").unwrap(), &Conversation::Public)
        );
    }
}
