//! Who is typing: passed on, never stored, and ended by the server when the client doesn't.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mqttchat_protocol::{Conversation, Dest, ServerFrame, UserId};

use crate::hub::{Hub, now_ms};
use crate::link::Link;
use crate::mail::Handle;
use crate::sequencer::Sequencer;

/// After this long without another frame nobody is typing any more (docs/protocol.md §4).
const TYPING_ENDS: Duration = Duration::from_secs(6);

/// Those who are typing, and until when.
#[derive(Debug, Default)]
pub(crate) struct Typists(Mutex<HashMap<(Conversation, UserId), Typist>>);

/// Somebody who goes on typing is told again after this long, for those who joined meanwhile.
const TYPING_AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Typist {
    name: Arc<str>,
    until: Instant,
    told: Instant,
}

impl Typists {
    /// Notes that somebody is typing; true when it is news.
    fn start(&self, conversation: &Conversation, user: &UserId, name: &Arc<str>, now: Instant) -> bool {
        let mut typists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match typists.entry((conversation.clone(), user.clone())) {
            Entry::Occupied(mut known) => {
                let typist = known.get_mut();
                typist.until = now + TYPING_ENDS;
                let news = now.duration_since(typist.told) >= TYPING_AGAIN;
                if news {
                    typist.told = now;
                }
                news
            }
            Entry::Vacant(place) => {
                place.insert(Typist { name: name.clone(), until: now + TYPING_ENDS, told: now });
                true
            }
        }
    }

    /// Notes that somebody is not; true when it is news.
    fn stop(&self, conversation: &Conversation, user: &UserId) -> bool {
        let mut typists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        typists.remove(&(conversation.clone(), user.clone())).is_some()
    }

    fn take_over(&self, now: Instant) -> Vec<(Conversation, UserId, Arc<str>)> {
        let mut over = Vec::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(conversation, user), typist| {
            let stays = typist.until > now;
            if !stays {
                over.push((conversation.clone(), user.clone(), typist.name.clone()));
            }
            stays
        });
        over
    }
}

impl Hub {
    /// Passes on that somebody is typing, or no longer.
    pub(crate) fn typing(self: &Arc<Self>, handle: &Handle, sequencer: &Arc<Sequencer>, typing: bool) {
        let news = if typing {
            self.typists.start(&sequencer.conversation, &handle.who.user, &handle.who.name, Instant::now())
        } else {
            self.typists.stop(&sequencer.conversation, &handle.who.user)
        };
        if news {
            self.pass_typing(sequencer, &handle.who.user, &handle.who.name, typing, self.link_of(handle));
        }
    }

    /// Ends the typing of somebody who has sent, or gone.
    pub(crate) fn stop_typing(&self, sequencer: &Arc<Sequencer>, handle: &Handle) {
        if self.typists.stop(&sequencer.conversation, &handle.who.user) {
            self.pass_typing(sequencer, &handle.who.user, &handle.who.name, false, self.link_of(handle));
        }
    }

    /// Ends the typing of those who have stopped without saying so.
    pub(crate) fn end_typing(&self, now: Instant) {
        for (conversation, user, name) in self.typists.take_over(now) {
            if let Some(sequencer) = self.known_sequencer(&conversation) {
                self.pass_typing(&sequencer, &user, &name, false, &self.link);
            }
        }
    }

    fn pass_typing(&self, sequencer: &Arc<Sequencer>, user: &UserId, name: &str, typing: bool, link: &Link) {
        let dest = sequencer.conversation.dest_for(&user.into());
        let frame = ServerFrame::Typing { dest: &dest, from: user, name, typing }.to_frame();
        sequencer.pass(frame.clone(), Some(user.clone()));
        self.wake(sequencer);
        // Notes to oneself have no others, and strangers no topic.
        let others = !matches!(&dest, Dest::Private(party) if party.is_foreign() || *party == *user);
        if others {
            let topic = self.topics.typing(&dest);
            let payload = self.seal_passing(frame.as_json(), &topic);
            link.publish_passing(topic, payload);
        }
    }

    /// Signs what is not of the log, so that nothing of it can be replayed: with its topic, this run of the node, a
    /// counter, and the time.
    pub(crate) fn seal_passing(&self, json: &[u8], topic: &str) -> Vec<u8> {
        let mut sealed = json.strip_suffix(b"}").unwrap_or(json).to_vec();
        let origin = serde_json::json!({
            "topic": topic, "node": self.node, "incarnation": self.incarnation, "n": self.count(), "at": now_ms(),
        });
        sealed.push(b',');
        sealed.extend_from_slice(&origin.to_string().as_bytes()[1..]);
        self.keys.seal(&sealed)
    }
}
