//! One signed-in client, as an actor: reads its frames, answers them, and hands it what its conversations have.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, OptionFuture};
use mqttchat_protocol::{
    ClientFrame, ClientSign, Command, Conversation, ErrorCode, Frame, MessageId, Refusal, ServerFrame,
};
use mqttchat_store::StoreError;

use crate::bridge::retry_after;
use crate::budget::{Spending, Wallet};
use crate::catch_up::Page;
use crate::command::{Outcome, command, is_quick};
use crate::cursor::Cursor;
use crate::handed::Handed;
use crate::hub::{Hub, far_future, now_ms};
use crate::limits::Bucket;
use crate::mail::Handle;
use crate::options::{Rates, Signing};
use crate::pages::Untaken;
use crate::patience::{Patience, Strikes, Verdict};
use crate::room_mail::RoomNews;
use crate::sequencer::Sequencer;
use crate::transport::{Event, Transport};

/// Bytes that are handed to the socket before waiting for it to take them.
pub(crate) const BATCH_BYTES: usize = 64 << 10;

/// With more than this waiting for the socket, what needs a page of the log or of people waits, too: then only one such
/// page does.
pub(crate) const LEFT_MAX: usize = 16 << 10;

/// Messages of one session that may be on their way to the log.
const SUBMITTED_MAX: usize = 64;

/// How often a session may say that its user is typing; what is above that is dropped (docs/protocol.md "typing").
const TYPING_RATES: Rates = Rates { messages_per_second: 2, burst: 10 };

/// How long a token's end is waited for before the clock is looked at again, in ms: it may have been set.
const LOOK_AT_CLOCK: u64 = 60_000;

/// How a session ends, for its transport.
pub(crate) type CloseCode = (u16, &'static str);

/// A page that is being read for one of the cursors.
pub(crate) type CatchUp = BoxFuture<'static, (u64, Result<Page, StoreError>)>;

/// A session that is open.
pub(crate) struct Session {
    pub(crate) hub: Arc<Hub>,
    pub(crate) handle: Arc<Handle>,
    pub(crate) wallet: Wallet,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) handed: Handed,
    pub(crate) rooms: RoomNews,
    pub(crate) outbox: VecDeque<Frame>,
    /// Bytes from the outbox that were fed since the socket had taken everything.
    fed: usize,
    untaken: Untaken,
    /// A frame that waits for the messages before it to be answered, or for the answers before it to be taken.
    pub(crate) waiting: Option<ClientFrame>,
    /// The command that is being carried out: one at a time, in order.
    running: Option<BoxFuture<'static, Outcome>>,
    pub(crate) catch_up: Option<CatchUp>,
    /// The conversation that is being joined; what is attached meanwhile waits.
    pub(crate) joining: Option<Conversation>,
    attach_later: Vec<(Arc<Sequencer>, u64)>,
    pub(crate) typing_bucket: Bucket,
    strikes: Strikes,
    pub(crate) turn: usize,
    /// When there is presence to be told that came too soon after the last.
    pub(crate) presence_due: Option<Instant>,
}

impl Session {
    pub(crate) fn new(hub: Arc<Hub>, handle: Arc<Handle>, wallet: Wallet) -> Self {
        Self {
            fed: 0,
            untaken: hub.pages.share(),
            hub,
            handle,
            wallet,
            strikes: Strikes::default(),
            cursors: Vec::new(),
            handed: Handed::default(),
            rooms: RoomNews::default(),
            outbox: VecDeque::new(),
            waiting: None,
            running: None,
            catch_up: None,
            joining: None,
            attach_later: Vec::new(),
            typing_bucket: Bucket::new(TYPING_RATES, Instant::now()),
            turn: 0,
            presence_due: None,
        }
    }

    /// Counts what it does for its address, too.
    pub(crate) fn at(mut self, address: Option<Arc<Mutex<Bucket>>>) -> Self {
        self.wallet = self.wallet.at(address);
        self
    }

    /// Remembers what the client got wrong before.
    pub(crate) fn forgiven(mut self, strikes: Strikes) -> Self {
        self.strikes = strikes;
        self
    }

    /// Starts with what the opening has to say.
    pub(crate) fn begin(&mut self, outcome: Outcome) {
        self.apply(outcome);
    }

    /// Talks with the client until one of the two ends it. Returns the close code, if the client is still there.
    pub(crate) async fn talk<T: Transport>(&mut self, transport: &mut T) -> Option<CloseCode> {
        let mut patience = Patience::new(self.hub.options.limits.ping);
        let mut stopping = self.hub.stopping.subscribe();
        let mut alarm = Instant::now();
        let sleep = tokio::time::sleep_until(alarm.into());
        tokio::pin!(sleep);
        // Whether something may wait that the socket hasn't been handed.
        let mut more = true;
        loop {
            if more {
                self.take_mail();
                self.start_waiting(transport.backlog());
                more = !self.fill(transport);
            }
            self.count(transport.backlog());
            let reads = self.reads(transport.backlog());
            let has_room = transport.backlog() < BATCH_BYTES;
            let next_alarm = patience.alarm(transport, reads).min(self.token_end());
            let next_alarm = self.presence_due.into_iter().fold(next_alarm, Instant::min);
            if next_alarm < alarm || alarm <= Instant::now() {
                alarm = next_alarm;
                sleep.as_mut().reset(alarm.into());
            }
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => {
                    let retry_after = retry_after(self.hub.people.session_count() as u64);
                    self.outbox.push_back(ServerFrame::Bye { retry_after }.to_frame());
                    return Some((1001, "the server stops"));
                },
                why = self.handle.revoked() => return Some(self.unauthorized(why)),
                () = &mut sleep => {
                    alarm = Instant::now();
                    more |= self.presence_due.take_if(|due| *due <= alarm).is_some();
                    if self.handle.expires().is_some_and(|end| end <= now_ms()) {
                        return Some(self.unauthorized("the token has expired; sign in with a fresh one"));
                    }
                    match patience.look(transport, reads, self.more_waits(transport.backlog())) {
                        Verdict::Wait => {}
                        Verdict::Ping => transport.ping(),
                        Verdict::Close(close) => return Some(close),
                    }
                },
                event = transport.drive(reads) => match event {
                    Event::Closed => return None,
                    // All that there was is taken: only with more is there something to do.
                    Event::Drained => more |= self.waiting.is_some(),
                    event => {
                        more = true;
                        if let Some(close) = self.event(event, transport.backlog()) {
                            return Some(close);
                        }
                    }
                },
                Some(outcome) = OptionFuture::from(self.running.as_mut()) => {
                    self.running = None;
                    self.apply(outcome);
                    more = true;
                },
                Some((cursor, read)) = OptionFuture::from(self.catch_up.as_mut()) => {
                    self.catch_up = None;
                    self.caught_up(cursor, read);
                    more = true;
                },
                () = self.handle.bell.rung(), if has_room => more = true,
            }
        }
    }

    /// When the token ends, as far as can be said now.
    fn token_end(&self) -> Instant {
        let left = |end: u64| Instant::now() + Duration::from_millis(end.saturating_sub(now_ms()));
        self.handle.expires().map_or_else(far_future, |end| left(end.min(now_ms() + LOOK_AT_CLOCK)))
    }

    /// The last that is said to somebody who is no longer welcome: what waits for them is no longer theirs.
    fn unauthorized(&mut self, why: &'static str) -> CloseCode {
        self.outbox.clear();
        self.outbox.push_back(Refusal::new(ErrorCode::Unauthorized, why).to_frame());
        (4401, why)
    }

    /// Whether the client's next frame is wanted: not while an earlier one is waited for, or answers are not taken.
    fn reads(&self, backlog: usize) -> bool {
        self.running.is_none()
            && self.waiting.is_none()
            && self.handle.submitted() < SUBMITTED_MAX
            && self.outbox.is_empty()
            && backlog < BATCH_BYTES
    }

    fn event(&mut self, event: Event, backlog: usize) -> Option<CloseCode> {
        let refusal = match event {
            Event::Text(text) => match self.parse(&text) {
                Ok(frame) => {
                    if let Err(refusal) = self.check_sign(&frame, &text) {
                        self.refuse(&refusal);
                        return self.strikes.verdict();
                    }
                    let bad = self.strikes.bad_in_a_row();
                    self.waiting = Some(frame);
                    self.start_waiting(backlog);
                    if self.strikes.bad_in_a_row() == bad {
                        self.strikes.good();
                    }
                    return self.strikes.verdict();
                }
                Err(refusal) => refusal,
            },
            Event::Binary => Refusal::new(ErrorCode::BadFrame, "frames are text, not binary"),
            Event::TooLarge => too_large(self.hub.options.limits.frame),
            Event::NoRoom => no_room(),
            Event::Drained | Event::Closed => return None,
        };
        self.refuse(&refusal);
        self.strikes.verdict()
    }

    fn parse(&self, text: &str) -> Result<ClientFrame, Refusal> {
        ClientFrame::parse_with(text, |kind| self.hub.options.frame_types.has(kind))
    }

    /// Looks at a data message's signature, where signatures are looked at.
    fn check_sign(&self, frame: &ClientFrame, text: &str) -> Result<(), Refusal> {
        let Some(key) = self.handle.key() else { return Ok(()) };
        if matches!(frame.command, Command::Hello(_) | Command::Received(_) | Command::Ping | Command::Pong) {
            return Ok(());
        }
        let reason = match key.check(text) {
            ClientSign::Good => return Ok(()),
            ClientSign::Missing if self.hub.options.signing == Signing::Optional => return Ok(()),
            ClientSign::Missing => {
                "this server takes signed frames only: sign with the key of the 1000 frame"
            }
            ClientSign::Wrong => "the signature is not of this session's key and this frame",
        };
        metrics::counter!("mqttchat_bad_signatures_total").increment(1);
        Err(Refusal::new(ErrorCode::Unauthorized, reason).re(frame.id.clone()).about(frame.dest.clone()))
    }

    /// Tells the client that something was not done, and remembers it.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) {
        // What can't be carried out costs too: it would be the cheapest way to flood.
        let limited = match refusal.code {
            ErrorCode::RateLimited => None,
            _ => self.wallet.spend(Spending::Frame).err(),
        };
        let limited = limited.map(|limited| limited.re(refusal.re.clone()).about(refusal.dest.clone()));
        let refusal = limited.as_ref().unwrap_or(refusal);
        self.strikes.refused(refusal, Instant::now());
        self.outbox.push_back(refusal.to_frame());
    }

    /// Starts the frame that waits, once what must come before it is answered and, where it asks for a page, taken.
    fn start_waiting(&mut self, backlog: usize) {
        if self.running.is_some() {
            return;
        }
        let Some(frame) = self.waiting.take() else { return };
        if !is_quick(&frame.command) && (self.handle.submitted() > 0 || backlog > LEFT_MAX) {
            self.waiting = Some(frame);
            return;
        }
        let mut running = match command(self, frame) {
            Ok(Some(running)) => running,
            Ok(None) => return,
            Err(refusal) => return self.refuse(&refusal),
        };
        // Most are done at once: a message has its place in the store's queue.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match running.as_mut().poll(&mut context) {
            std::task::Poll::Ready(outcome) => self.apply(outcome),
            std::task::Poll::Pending => self.running = Some(running),
        }
    }

    /// Whether a frame waits for answers to be taken. Until then nothing else is handed over, or with much to be handed over
    /// its time would never come.
    pub(crate) fn is_held(&self, backlog: usize) -> bool {
        backlog > LEFT_MAX && self.waiting.as_ref().is_some_and(|frame| !is_quick(&frame.command))
    }

    fn apply(&mut self, outcome: Outcome) {
        if let Some(refusal) = &outcome.refusal {
            self.strikes.refused(refusal, Instant::now());
        }
        self.outbox.extend(outcome.frames);
        for cursor in outcome.cursors {
            match self.cursors.iter_mut().find(|known| known.conversation() == cursor.conversation()) {
                Some(known) if cursor.is_joined() && !known.is_joined() => {
                    known.paused = false;
                    known.join();
                    // The answer has told the roster as it was then.
                    known.position.presence = cursor.position.presence;
                }
                Some(known) => known.paused = false,
                None => self.cursors.push(cursor),
            }
        }
        if let Some(joined) = self.joining.take() {
            // Where the join was refused, everything is as before.
            if let Some(known) = self.cursor(&joined) {
                known.paused = false;
            }
            for (sequencer, before) in std::mem::take(&mut self.attach_later) {
                self.attach(sequencer, before);
            }
        }
    }

    /// Reads a private conversation from behind `before` on, if the session doesn't read it already.
    fn attach(&mut self, sequencer: Arc<Sequencer>, before: u64) {
        if self.cursors.iter().all(|cursor| cursor.conversation() != &sequencer.conversation) {
            let mut cursor = Cursor::new(&self.hub, &self.handle, sequencer);
            cursor.start_after(before);
            self.cursors.push(cursor);
        }
    }

    /// Hands the socket the last answers before it is closed.
    pub(crate) fn finish<T: Transport>(&mut self, transport: &mut T) {
        while transport.backlog() < BATCH_BYTES {
            let Some(frame) = self.outbox.pop_front() else { break };
            self.fed += frame.len();
            transport.feed(frame);
        }
    }

    /// Says what waits for the client, beside what it shares with others.
    fn count(&mut self, backlog: usize) {
        if backlog == 0 {
            self.fed = 0;
        }
        let waiting: usize = self.outbox.iter().map(Frame::len).sum();
        self.untaken.set(waiting + self.fed.min(backlog));
    }

    /// Takes what the node has left for this session.
    fn take_mail(&mut self) {
        let mail = self.handle.take_mail();
        self.outbox.extend(mail.frames);
        for (sequencer, before) in mail.attach {
            if self.joining.as_ref() == Some(&sequencer.conversation) {
                self.attach_later.push((sequencer, before));
            } else {
                self.attach(sequencer, before);
            }
        }
        self.rooms.arrived(mail.rooms);
        self.tell_rooms();
    }

    /// The cursor of a conversation.
    pub(crate) fn cursor(&mut self, conversation: &Conversation) -> Option<&mut Cursor> {
        self.cursors.iter_mut().find(|cursor| cursor.conversation() == conversation)
    }

    /// Lets go of a conversation.
    pub(crate) fn drop_cursor(&mut self, conversation: &Conversation) {
        if let Some(seq) = self.cursor(conversation).map(|cursor| cursor.position.seq) {
            self.rooms.note(conversation, seq);
        }
        self.cursors.retain(|cursor| cursor.conversation() != conversation);
        self.turn = 0;
    }

    /// Answers at once.
    pub(crate) fn answer(&mut self, frame: Frame) {
        self.outbox.push_back(frame);
    }

    /// An id of a private message that this session was handed: which conversation, and where in it; and whether it is
    /// confirmed for the first time.
    pub(crate) fn confirm_handed(&mut self, id: &MessageId) -> (Vec<(Conversation, u64)>, bool) {
        self.handed.confirm(id)
    }
}

/// The refusal of a frame that is too large.
pub(crate) fn no_room() -> Refusal {
    let reason = "a large frame took too long, or too many come at once; send it again";
    Refusal::new(ErrorCode::Unavailable, reason)
}

pub(crate) fn too_large(limit: usize) -> Refusal {
    Refusal::new(ErrorCode::TooLarge, format!("a frame is at most {limit} bytes"))
}
