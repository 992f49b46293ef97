//! What is between the two ends of a session: the queues, and who is there.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout_at};

use crate::bodies::Room;
use crate::session::Event;

/// The limits of one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkLimits {
    pub(crate) message: usize,
    pub(crate) queue: usize,
    pub(crate) queue_patience: Duration,
    pub(crate) disconnect_delay: Duration,
}

/// How long a receiving connection waits for the one before it: when a client has dropped one and opens another, the
/// server may hear of the new one first.
const BUSY_PATIENCE: Duration = Duration::from_millis(100);
/// A message that takes no bytes takes some memory.
const MESSAGE_COST: usize = 64;

/// A session as its two ends, its senders and the registry share it.
#[derive(Debug)]
pub(crate) struct Link {
    state: Mutex<State>,
    /// Somebody came or went, or there is room again: for those who wait for that.
    changed: Notify,
    limits: LinkLimits,
}

#[derive(Debug)]
struct State {
    /// The client has been told that the session is open.
    opened: bool,
    /// How the session ended, from when on nothing is queued any more.
    closed: Option<Closed>,
    /// The client has been told how.
    close_told: bool,
    /// Nobody will come any more.
    expired: bool,
    /// To the client.
    outgoing: VecDeque<String>,
    backlog: usize,
    /// What a response was handed, and its connection hasn't taken.
    handed: usize,
    progress: Instant,
    /// Everything fed was taken, and the session hasn't been told.
    drained: bool,
    told_drained: bool,
    /// From the client.
    incoming: VecDeque<(Incoming, Option<Arc<Room>>)>,
    incoming_bytes: usize,
    heard: Instant,
    /// A request told which page it comes from.
    origin_known: bool,
    ping: bool,
    /// The receiving connection, by number.
    receiver: Option<u64>,
    receivers: u64,
    /// Since when there is none.
    alone_since: Instant,
    receiver_waker: Option<Waker>,
    session_waker: Option<Waker>,
}

#[derive(Debug)]
enum Incoming {
    Message(String),
    TooLarge,
}

#[derive(Clone, Debug)]
struct Closed {
    code: u16,
    reason: String,
    since: Instant,
}

/// What goes to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Open,
    Messages(Vec<String>),
    Heartbeat,
    /// A heartbeat after which the client shows that it is there.
    Ping,
    Close(u16, String),
}

/// Another connection receives already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy;

/// Why messages of the client were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The session is over.
    Closed,
    /// It doesn't read.
    Full,
}

impl Link {
    /// A session that begins, with its first receiver still to come. `framed` sessions tell the client when they are
    /// open.
    pub(crate) fn new(limits: LinkLimits, framed: bool) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            opened: !framed,
            closed: None,
            close_told: false,
            expired: false,
            outgoing: VecDeque::new(),
            backlog: 0,
            handed: 0,
            progress: now,
            drained: false,
            told_drained: false,
            incoming: VecDeque::new(),
            incoming_bytes: 0,
            heard: now,
            origin_known: false,
            ping: false,
            receiver: None,
            receivers: 0,
            alone_since: now,
            receiver_waker: None,
            session_waker: None,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), limits })
    }

    /// The state is right whatever a panicking holder did: nothing between two changes can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` has something to say about the state; asked again whenever somebody came or went.
    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

/// The session's end.
impl Link {
    pub(crate) fn feed(&self, text: String) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        if state.untaken() == 0 {
            state.progress = Instant::now();
        }
        state.backlog += text.len() + MESSAGE_COST;
        state.outgoing.push_back(text);
        wake(&mut state.receiver_waker);
    }

    pub(crate) fn backlog(&self) -> usize {
        self.lock().untaken()
    }

    pub(crate) fn last_progress(&self) -> Instant {
        self.lock().progress
    }

    pub(crate) fn last_heard(&self) -> Instant {
        self.lock().heard
    }

    pub(crate) fn origin_known(&self) -> bool {
        self.lock().origin_known
    }

    pub(crate) fn ping(&self) {
        let mut state = self.lock();
        state.ping = true;
        wake(&mut state.receiver_waker);
    }

    pub(crate) fn poll_event(&self, cx: &mut Context<'_>, read: bool) -> Poll<Event> {
        let mut state = self.lock();
        // Turn and turn about, so that neither side keeps the other waiting.
        if state.drained && !state.told_drained {
            return Poll::Ready(state.tell_drained());
        }
        if read && let Some((incoming, _)) = state.incoming.pop_front() {
            state.told_drained = false;
            let was_full = state.incoming_bytes >= self.limits.queue;
            state.incoming_bytes = state.incoming_bytes.saturating_sub(incoming.cost());
            if was_full {
                self.changed.notify_waiters();
            }
            return Poll::Ready(match incoming {
                Incoming::Message(text) => Event::Message(text),
                Incoming::TooLarge => Event::TooLarge,
            });
        }
        if state.closed.is_some() && state.incoming.is_empty() {
            return Poll::Ready(Event::Closed);
        }
        if state.drained {
            return Poll::Ready(state.tell_drained());
        }
        state.session_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits until less than `room` waits for the client; false when it is gone.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, room: usize) -> Poll<bool> {
        let mut state = self.lock();
        if state.closed.is_some() || state.untaken() < room {
            return Poll::Ready(state.closed.is_none());
        }
        state.session_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends the session, unless it has ended. What was fed before is still handed over.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        let mut state = self.lock();
        if state.close(code, reason) {
            self.changed.notify_waiters();
        }
    }

    /// Waits until the client has been told of the end, or nobody will come to be told.
    pub(crate) async fn farewell(&self) {
        self.until(|state| (state.close_told || state.expired).then_some(())).await;
    }
}

/// The client's end.
impl Link {
    /// Takes the place of the receiving connection.
    pub(crate) async fn attach(&self) -> Result<u64, Busy> {
        let attach = self.until(|state| {
            if state.receiver.is_some() {
                return None;
            }
            state.receivers += 1;
            state.receiver = Some(state.receivers);
            state.heard = Instant::now();
            Some(state.receivers)
        });
        let attached = tokio::time::timeout(BUSY_PATIENCE, attach).await;
        self.changed.notify_waiters();
        attached.map_err(|_| Busy)
    }

    /// Gives the place up in good order: the client comes again.
    pub(crate) fn detach(&self, receiver: u64) {
        let mut state = self.lock();
        if state.receiver == Some(receiver) {
            state.leave();
            self.changed.notify_waiters();
        }
    }

    /// The connection broke: what was on its way may be lost, so the session is over.
    pub(crate) fn interrupt(&self, receiver: u64) {
        let mut state = self.lock();
        if state.receiver == Some(receiver) {
            state.leave();
            state.give_up();
            state.close(1002, "Connection interrupted");
            self.changed.notify_waiters();
        }
    }

    /// The next frame for this receiver; `None` when its place was taken away.
    pub(crate) fn poll_frame(&self, receiver: u64, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut state = self.lock();
        if state.receiver != Some(receiver) {
            return Poll::Ready(None);
        }
        if !state.opened {
            state.opened = true;
            return Poll::Ready(Some(Frame::Open));
        }
        if !state.outgoing.is_empty() {
            let texts = std::mem::take(&mut state.outgoing).into();
            state.handed += std::mem::take(&mut state.backlog);
            state.progress = Instant::now();
            return Poll::Ready(Some(Frame::Messages(texts)));
        }
        if let Some(closed) = state.closed.clone() {
            state.close_told = true;
            self.changed.notify_waiters();
            return Poll::Ready(Some(Frame::Close(closed.code, closed.reason)));
        }
        if std::mem::take(&mut state.ping) {
            return Poll::Ready(Some(Frame::Ping));
        }
        state.receiver_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The connection takes some of what its response was handed.
    pub(crate) fn progress(&self) {
        self.lock().progress = Instant::now();
    }

    /// The connection has taken what its response was handed, so many bytes, or never will.
    pub(crate) fn taken(&self, bytes: usize) {
        let mut state = self.lock();
        state.handed = state.handed.saturating_sub(bytes);
        state.progress = Instant::now();
        if state.untaken() == 0 {
            state.drained = true;
        }
        wake(&mut state.session_waker);
    }

    /// A request told which page it comes from.
    pub(crate) fn note_origin(&self) {
        self.lock().origin_known = true;
    }

    /// A sign of life that says nothing.
    #[cfg(feature = "tungstenite")]
    pub(crate) fn hear(&self) {
        self.lock().heard = Instant::now();
    }

    /// Hands messages to the session, all or none of them; waits for room. The room that they take with others is kept
    /// until the session has read them. Cancel safe.
    pub(crate) async fn deliver(&self, texts: Vec<String>, room: Option<Room>) -> Result<(), Refused> {
        let limit = self.limits.message;
        let incoming = texts
            .into_iter()
            .map(|text| if text.len() > limit { Incoming::TooLarge } else { Incoming::Message(text) });
        self.deliver_all(incoming.collect(), room).await
    }

    /// Tells the session of a message that was too large to be read.
    pub(crate) async fn deliver_too_large(&self) -> Result<(), Refused> {
        self.deliver_all(vec![Incoming::TooLarge], None).await
    }

    async fn deliver_all(&self, incoming: Vec<Incoming>, room: Option<Room>) -> Result<(), Refused> {
        let (mut incoming, room) = (Some(incoming), room.map(Arc::new));
        let delivered = self.until(|state| {
            state.heard = Instant::now();
            if state.closed.is_some() {
                return Some(Err(Refused::Closed));
            }
            // A body may go beyond the limit: how far, its own limit says.
            if state.incoming_bytes >= self.limits.queue {
                return None;
            }
            for incoming in incoming.take().unwrap_or_default() {
                state.incoming_bytes += incoming.cost();
                state.incoming.push_back((incoming, room.clone()));
            }
            wake(&mut state.session_waker);
            Some(Ok(()))
        });
        let deadline = Instant::now() + self.limits.queue_patience;
        timeout_at(deadline.into(), delivered).await.unwrap_or(Err(Refused::Full))
    }
}

/// The registry's.
impl Link {
    /// Waits until the session has had no receiver for the disconnect delay, or has been closed for so long; then it
    /// is over for good.
    pub(crate) async fn expire(&self) {
        let delay = self.limits.disconnect_delay;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let deadline = {
                let mut state = self.lock();
                let deadline = match &state.closed {
                    Some(closed) => Some(closed.since + delay),
                    None if state.receiver.is_none() => Some(state.alone_since + delay),
                    None => None,
                };
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    state.expired = true;
                    if state.closed.is_none() {
                        state.give_up();
                        state.close(1002, "Connection interrupted");
                    }
                    self.changed.notify_waiters();
                    return;
                }
                deadline
            };
            match deadline {
                None => changed.await,
                Some(deadline) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(deadline.into()) => {}
                    }
                }
            }
        }
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.lock().expired
    }
}

impl State {
    /// Bytes that the client hasn't taken.
    fn untaken(&self) -> usize {
        self.backlog + self.handed
    }

    fn tell_drained(&mut self) -> Event {
        self.drained = false;
        self.told_drained = true;
        Event::Drained
    }

    fn leave(&mut self) {
        self.receiver = None;
        self.receiver_waker = None;
        self.alone_since = Instant::now();
    }

    /// What waits for the client will not be taken.
    fn give_up(&mut self) {
        self.outgoing = VecDeque::new();
        self.backlog = 0;
    }

    /// False when it was closed before.
    fn close(&mut self, code: u16, reason: &str) -> bool {
        if self.closed.is_some() {
            return false;
        }
        self.closed = Some(Closed { code, reason: reason.to_owned(), since: Instant::now() });
        wake(&mut self.receiver_waker);
        wake(&mut self.session_waker);
        true
    }
}

impl Incoming {
    fn cost(&self) -> usize {
        MESSAGE_COST
            + match self {
                Self::Message(text) => text.len(),
                Self::TooLarge => 0,
            }
    }
}

/// What messages to the client count.
pub(crate) fn cost(texts: &[String]) -> usize {
    texts.iter().map(|text| text.len() + MESSAGE_COST).sum()
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
