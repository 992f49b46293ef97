//! What the node has for one session: answers of the log, private conversations to read, the order to end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mqttchat_protocol::{ClientKey, Conversation, Frame};
use tokio::sync::Notify;

use crate::auth::Grant;
use crate::bell::Bell;
use crate::caller::Caller;
use crate::hub::now_ms;
use crate::link::Link;
use crate::sequencer::Sequencer;

/// Bytes of frames that may wait for a session that doesn't take them; above it receipts are dropped, which the next
/// `join` makes up for. Answers to its own messages are bounded by their number.
const MAIL_MAX: usize = 1 << 20;

/// One session, as the rest of the node knows it.
#[derive(Debug)]
pub(crate) struct Handle {
    /// The session's id.
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) who: Caller,
    /// Entries above this position may not have been in the log when it was opened; those up to it were.
    pub(crate) since: u64,
    /// Wakes it.
    pub(crate) bell: Arc<Bell>,
    /// Its MQTT client.
    pub(crate) link: Link,
    /// The only conversations that it is to hear of; `None`: all of its user's.
    only: Option<Box<[Conversation]>>,
    mail: Mutex<Mail>,
    submitted: AtomicUsize,
    left_at: OnceLock<u64>,
    grant: Mutex<Grant>,
    key: Option<ClientKey>,
    revoked: OnceLock<&'static str>,
    /// Rung when it is.
    revocation: Notify,
}

/// What waits for a session.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Frames, oldest first.
    pub(crate) frames: VecDeque<Frame>,
    /// Private conversations in which something came, and the last `seq` before that.
    pub(crate) attach: Vec<(Arc<Sequencer>, u64)>,
    /// Changes of rooms that concern its user.
    pub(crate) rooms: Vec<RoomMail>,
    bytes: usize,
}

/// A change of a room, for somebody who may not read the room.
#[derive(Clone, Debug)]
pub(crate) struct RoomMail {
    /// Which room.
    pub(crate) conversation: Conversation,
    /// The entry's place there.
    pub(crate) seq: u64,
    /// The entry.
    pub(crate) frame: Frame,
}

impl Handle {
    pub(crate) fn new(id: String, who: Caller, link: Link, since: u64, grant: Grant) -> Self {
        Self {
            id,
            who,
            link,
            since,
            bell: Arc::default(),
            only: None,
            mail: Mutex::default(),
            submitted: AtomicUsize::new(0),
            left_at: OnceLock::new(),
            grant: Mutex::new(grant),
            key: None,
            revoked: OnceLock::new(),
            revocation: Notify::new(),
        }
    }

    /// What its client was signed in for.
    pub(crate) fn grant(&self) -> Grant {
        self.grant.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another grant in the place of the one before.
    pub(crate) fn renew(&self, grant: Grant) {
        *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = grant;
    }

    /// When its token ends, Unix time in ms.
    pub(crate) fn expires(&self) -> Option<u64> {
        self.grant.lock().unwrap_or_else(PoisonError::into_inner).expires
    }

    /// Ends the session with 4401, whatever it is doing.
    pub(crate) fn revoke(&self, why: &'static str) {
        // Whoever was first says why.
        let _ = self.revoked.set(why);
        self.revocation.notify_one();
    }

    /// Why it was revoked, if it was.
    pub(crate) fn is_revoked(&self) -> Option<&'static str> {
        self.revoked.get().copied()
    }

    /// Waits until the session was revoked, and says why. Cancel safe.
    pub(crate) async fn revoked(&self) -> &'static str {
        loop {
            if let Some(why) = self.revoked.get() {
                return why;
            }
            self.revocation.notified().await;
        }
    }

    /// A session that hears of these conversations only, and of nothing that is for its user whatever they read.
    pub(crate) fn following(mut self, only: Option<Box<[Conversation]>>) -> Self {
        self.only = only;
        self
    }

    /// A session whose client signs, or may sign, with this key.
    pub(crate) fn signing(mut self, key: Option<ClientKey>) -> Self {
        self.key = key;
        self
    }

    /// What its client signs with.
    pub(crate) fn key(&self) -> Option<&ClientKey> {
        self.key.as_ref()
    }

    /// Whether it hears of all that is its user's.
    pub(crate) fn hears_all(&self) -> bool {
        self.only.is_none()
    }

    /// Whether it hears of what comes in this conversation of its user.
    pub(crate) fn hears_of(&self, conversation: &Conversation) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(conversation))
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a receipt for it.
    pub(crate) fn send(&self, frame: Frame) {
        if !self.hears_all() {
            return;
        }
        let mut mail = self.mail();
        if mail.bytes + frame.len() > MAIL_MAX {
            return;
        }
        mail.push(frame);
        drop(mail);
        self.bell.ring();
    }

    /// Leaves a change of a room for it.
    pub(crate) fn send_room(&self, change: RoomMail) {
        if !self.who.covers(&change.conversation) || !self.hears_of(&change.conversation) {
            return;
        }
        let mut mail = self.mail();
        if mail.bytes + change.frame.len() > MAIL_MAX {
            return;
        }
        mail.bytes += change.frame.len();
        mail.rooms.push(change);
        drop(mail);
        self.bell.ring();
    }

    /// Tells it that something came in a private conversation of its user, after `seq`.
    pub(crate) fn attach(&self, sequencer: &Arc<Sequencer>, seq: u64) {
        if !self.hears_of(&sequencer.conversation) {
            return;
        }
        self.mail().attach.push((sequencer.clone(), seq));
        self.bell.ring();
    }

    /// Takes everything that waits.
    pub(crate) fn take_mail(&self) -> Mail {
        std::mem::take(&mut *self.mail())
    }

    /// Counts a message on its way to the log.
    pub(crate) fn submit(&self) {
        self.submitted.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts one that has been answered.
    pub(crate) fn answered(&self, frame: Frame) {
        self.submitted.fetch_sub(1, Ordering::AcqRel);
        self.mail().push(frame);
        self.bell.ring();
    }

    /// When the session ended, Unix time in ms: the moment of the first call, the same for all who ask.
    pub(crate) fn left_at(&self) -> u64 {
        *self.left_at.get_or_init(now_ms)
    }

    /// Messages on their way to the log.
    pub(crate) fn submitted(&self) -> usize {
        self.submitted.load(Ordering::Acquire)
    }
}

impl Mail {
    fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }
}
