//! Who is typing: passed on, never stored, and ended by the server when the client doesn't.

use std::collections::HashMap;
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

#[derive(Debug)]
struct Typist {
    name: Arc<str>,
    until: Instant,
}

impl Typists {
    fn set(&self, conversation: &Conversation, user: &UserId, typist: Option<Typist>) -> bool {
        let mut typists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (conversation.clone(), user.clone());
        match typist {
            Some(typist) => {
                typists.insert(key, typist);
                true
            }
            None => typists.remove(&key).is_some(),
        }
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
        let typist =
            typing.then(|| Typist { name: handle.name.clone(), until: Instant::now() + TYPING_ENDS });
        let was_typing = self.typists.set(&sequencer.conversation, &handle.user, typist);
        if typing || was_typing {
            self.pass_typing(sequencer, &handle.user, &handle.name, typing, Some(&handle.link));
        }
    }

    /// Ends the typing of somebody who has sent, or gone.
    pub(crate) fn stop_typing(&self, sequencer: &Arc<Sequencer>, handle: &Handle) {
        if self.typists.set(&sequencer.conversation, &handle.user, None) {
            self.pass_typing(sequencer, &handle.user, &handle.name, false, Some(&handle.link));
        }
    }

    /// Ends the typing of those who have stopped without saying so.
    pub(crate) fn end_typing(&self, now: Instant) {
        for (conversation, user, name) in self.typists.take_over(now) {
            if let Some(sequencer) = self.known_sequencer(&conversation) {
                self.pass_typing(&sequencer, &user, &name, false, None);
            }
        }
    }

    fn pass_typing(
        &self,
        sequencer: &Arc<Sequencer>,
        user: &UserId,
        name: &str,
        typing: bool,
        link: Option<&Link>,
    ) {
        let dest = sequencer.conversation.dest_for(&user.into());
        let frame = ServerFrame::Typing { dest: &dest, from: user, name, typing }.to_frame();
        sequencer.pass(frame.clone(), Some(user.clone()));
        self.wake(sequencer);
        // Notes to oneself have no others, and strangers no topic.
        let others = !matches!(&dest, Dest::Private(party) if party.is_foreign() || *party == *user);
        if let (Some(link), true) = (link, others) {
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
