//! The opening of a session: from the first bytes to the 1000 frame, and what follows it in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mqttchat_protocol::{
    ClientFrame, ClientKey, Command, Conversation, Dest, ErrorCode, Frame, Hello, MessageId, Party, Ready,
    ReadyUser, Refusal, ServerFrame,
};
use serde_json::Value;

use crate::auth::{Denied, Identity};
use crate::bridge::{Peer, Present, retry_after};
use crate::budget::{Spending, Wallet, knock, limited};
use crate::caller::Caller;
use crate::command::{Outcome, store_away};
use crate::cursor::Cursor;
use crate::hub::Hub;
use crate::limits::Bucket;
use crate::link::Link;
use crate::mail::Handle;
use crate::options::{Rates, Signing};
use crate::patience::Strikes;
use crate::session::{CloseCode, Session, no_room, too_large};
use crate::transport::{Event, Transport};

/// How long a client may take to say `hello` (docs/protocol.md §3).
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take to say another, after one that was refused.
const ANOTHER_HELLO_WITHIN: Duration = Duration::from_secs(120);

/// What a connection may send before its session is open: a person tries a few names, and whoever guesses is slow.
const BEFORE_HELLO: Rates = Rates { messages_per_second: 20, burst: 500 };

/// A `hello` counts as so many frames.
const HELLO_COSTS: u32 = 10;

/// A new guest counts as so many requests of an address: each stays in the database.
const GUEST_COSTS: u32 = 5;

/// Bytes of answers that may wait for a client that has not said `hello`.
const UNTAKEN_MAX: usize = 16 << 10;

/// Why no session came of a connection.
pub(crate) enum Ended {
    /// The client is gone.
    Gone,
    /// It is to be closed.
    Close(CloseCode),
}

/// Waits for a `hello` that can be accepted, and opens the session.
pub(crate) async fn greet<T: Transport>(
    hub: &Arc<Hub>,
    transport: &mut T,
    mut peer: Peer,
) -> Result<(Session, Present), Ended> {
    let mut deadline = Instant::now() + HELLO_WITHIN;
    let mut strikes = Strikes::default();
    let mut bucket = Bucket::new(BEFORE_HELLO, Instant::now());
    let address = hub.addresses.bucket_of(peer.addr);
    let mut stopping = hub.stopping.subscribe();
    loop {
        let event = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => {
                transport.feed(ServerFrame::Bye { retry_after: retry_after(0) }.to_frame());
                return Err(Ended::Close((1001, "the server stops")));
            },
            // Answers that aren't taken are reason enough not to read on.
            event = transport.drive(transport.backlog() < UNTAKEN_MAX) => event,
            () = tokio::time::sleep_until(deadline.into()) => {
                return Err(Ended::Close((4408, "no hello within 10 s")));
            }
        };
        let refusal = match event {
            Event::Closed => return Err(Ended::Gone),
            Event::Drained => continue,
            Event::Binary => Refusal::new(ErrorCode::BadFrame, "frames are text, not binary"),
            Event::TooLarge => too_large(hub.options.limits.frame),
            Event::NoRoom => no_room(),
            Event::Text(text) => match first_frame(&text).and_then(|first| first.pay(&mut bucket)) {
                Err(refusal) => refusal,
                Ok(First::Ping(id)) => {
                    transport.feed(ServerFrame::Pong { re: id.as_ref() }.to_frame());
                    continue;
                }
                Ok(First::Pong) => continue,
                Ok(First::Hello(id, hello)) => {
                    peer.is_page |= transport.is_page();
                    let opened = match admit(hub, peer, address.as_ref(), &hello) {
                        Ok(()) => open(hub, id.as_ref(), &hello, &mut strikes).await,
                        Err(refused) => Err(refused),
                    };
                    match opened {
                        Ok((session, present)) => return Ok((session.at(address), present)),
                        Err(Refused::Again(refusal)) => {
                            // A person looks for another name.
                            deadline = Instant::now() + ANOTHER_HELLO_WITHIN;
                            refusal.re(id)
                        }
                        Err(Refused::Unauthorized(reason)) => {
                            let refusal = Refusal::new(ErrorCode::Unauthorized, reason).re(id);
                            transport.feed(refusal.to_frame());
                            return Err(Ended::Close((4401, "unauthorized")));
                        }
                    }
                }
            },
        };
        // What can't be carried out has not been paid for.
        let refusal = match refusal.code {
            ErrorCode::RateLimited => refusal,
            _ => match pay(&mut bucket, 1) {
                Ok(()) => refusal,
                Err(limited) => limited.re(refusal.re),
            },
        };
        strikes.refused(&refusal, Instant::now());
        if refusal.code != ErrorCode::BadFrame {
            strikes.good();
        }
        transport.feed(refusal.to_frame());
        if let Some(close) = strikes.verdict() {
            return Err(Ended::Close(close));
        }
    }
}

enum First {
    Hello(Option<MessageId>, Box<Hello>),
    Ping(Option<MessageId>),
    Pong,
}

impl First {
    /// Spends what it costs.
    ///
    /// # Errors
    /// `rate_limited`.
    fn pay(self, bucket: &mut Bucket) -> Result<Self, Refusal> {
        match &self {
            Self::Hello(id, _) => pay(bucket, HELLO_COSTS).map_err(|limited| limited.re(id.clone()))?,
            Self::Ping(id) => pay(bucket, 1).map_err(|limited| limited.re(id.clone()))?,
            Self::Pong => pay(bucket, 1)?,
        }
        Ok(self)
    }
}

fn pay(bucket: &mut Bucket, cost: u32) -> Result<(), Refusal> {
    let taken = bucket.take_many(cost, Instant::now());
    taken.map_err(|wait| limited(wait, "too much comes before the session is open; wait a moment"))
}

fn first_frame(text: &str) -> Result<First, Refusal> {
    let hello_first = || Refusal::new(ErrorCode::HelloFirst, "say hello before anything else");
    match ClientFrame::parse(text) {
        Ok(ClientFrame { id, command: Command::Hello(hello), .. }) => Ok(First::Hello(id, Box::new(hello))),
        Ok(ClientFrame { id, command: Command::Ping, .. }) => Ok(First::Ping(id)),
        Ok(ClientFrame { command: Command::Pong, .. }) => Ok(First::Pong),
        Ok(frame) => Err(hello_first().re(frame.id)),
        // Whatever else it is, a frame with another type comes too early.
        Err(refusal) => {
            match serde_json::from_str::<Value>(text).ok().and_then(|frame| frame.get("type").cloned()) {
                Some(Value::String(kind)) if kind != "hello" => Err(hello_first().re(refusal.re)),
                Some(Value::Number(_)) => Err(hello_first().re(refusal.re)),
                _ => Err(refusal),
            }
        }
    }
}

enum Refused {
    Again(Refusal),
    Unauthorized(String),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Again(refusal)
    }
}

/// Whether this peer may say such a `hello` now, whoever it is of.
fn admit(hub: &Hub, peer: Peer, address: Option<&Arc<Mutex<Bucket>>>, hello: &Hello) -> Result<(), Refused> {
    let is_guest = hello.token.is_none();
    knock(address, if is_guest { GUEST_COSTS } else { 1 })?;
    if is_guest && !peer.is_page && hub.options.origin_or_token.concerns(peer.addr) {
        let reason = "a client that sends no Origin needs a token or an API key to sign in here: data.token";
        return Err(Refused::Unauthorized(reason.to_owned()));
    }
    Ok(())
}

async fn open(
    hub: &Arc<Hub>,
    id: Option<&MessageId>,
    hello: &Hello,
    strikes: &mut Strikes,
) -> Result<(Session, Present), Refused> {
    let most = hub.options.limits.resume;
    if hello.resume.len() > most {
        let reason = format!("data.resume names more than {most} conversations");
        return Err(Refusal::new(ErrorCode::BadFrame, reason).into());
    }
    let identity = hub.identify(hello).await.map_err(|denied| match denied {
        Denied::Refused(refusal) => Refused::Again(refusal),
        Denied::Unauthorized(reason) => Refused::Unauthorized(reason),
    })?;
    if !identity.grant.scopes.read {
        let reason = "this token gives no right to read, which a session needs";
        return Err(Refused::Unauthorized(reason.to_owned()));
    }
    // Each time the log is read.
    Wallet::new(hub.people.budget_of(&identity.user)).spend(Spending::Join)?;
    let (session, present) =
        open_as(hub, id, hello, &identity, None).await.map_err(|refusal| match refusal.code {
            ErrorCode::Unauthorized => Refused::Unauthorized(refusal.reason),
            _ => Refused::Again(refusal),
        })?;
    Ok((session.forgiven(std::mem::take(strikes)), present))
}

/// Opens the session of somebody who is known already; one that follows `only` these conversations hears of no others.
///
/// # Errors
/// `unavailable`, when the store can't be asked.
pub(crate) async fn open_as(
    hub: &Arc<Hub>,
    id: Option<&MessageId>,
    hello: &Hello,
    identity: &Identity,
    only: Option<Box<[Conversation]>>,
) -> Result<(Session, Present), Refusal> {
    let link = Link::new(hub.confirm.clone());
    let session_id = format!("{:016x}", rand::random::<u64>());
    let who =
        Caller::new(identity.user.clone(), identity.name.clone()).for_rooms(identity.grant.rooms.clone());
    // What a stream says it says to itself.
    let key = (only.is_none() && hub.options.signing != Signing::Off).then(ClientKey::random);
    let handle = Handle::new(session_id, who, link, hub.settled(), identity.grant.clone());
    let handle = Arc::new(handle.following(only).signing(key));
    // Registered first: what comes from now on is not missed by what is read below.
    let (present, wallet) = Present::new(hub, &handle);
    hub.still_welcome(&handle).await?;
    let outcome = resume(hub, &handle, id, hello, identity).await?;
    let mut session = Session::new(hub.clone(), handle.clone(), wallet);
    session.begin(outcome);
    hub.start_link(&handle);
    Ok((session, present))
}

/// The 1000 frame, and where each conversation goes on.
async fn resume(
    hub: &Arc<Hub>,
    handle: &Arc<Handle>,
    id: Option<&MessageId>,
    hello: &Hello,
    identity: &Identity,
) -> Result<Outcome, Refusal> {
    let undelivered = if handle.hears_all() {
        hub.store
            .undelivered(&handle.who.user, hub.is_cluster().then_some(handle.since))
            .await
            .map_err(store_away)?
    } else {
        Vec::new()
    };
    let mut unread = BTreeMap::new();
    for (conversation, count) in hub.store.unread(&handle.who.user).await.map_err(store_away)? {
        if !handle.who.covers(&conversation) {
            continue;
        }
        unread.insert(conversation.dest_for(&handle.who.party).to_string(), count);
    }
    let ready = Ready {
        user: ReadyUser { id: identity.user.clone(), name: identity.name.clone() },
        session: handle.id.clone(),
        token: identity.token.clone(),
        expires: handle.expires(),
        key: handle.key().map(ClientKey::to_text),
        protocol: 1,
        log: hub.store.log_id().to_owned(),
        limits: hub.options.limits.clone(),
        unread,
    };
    let mut outcome = Outcome::frame(ServerFrame::Ready { re: id, data: &ready }.to_frame());
    let other_log = hello.log.as_deref().is_some_and(|log| log != hub.store.log_id());
    for (dest, seq) in &hello.resume {
        match rejoin(hub, handle, dest, *seq, other_log).await {
            Ok((frames, cursor)) => {
                outcome.frames.extend(frames);
                outcome.cursors.push(cursor);
            }
            Err(refusal) if refusal.code == ErrorCode::Unavailable => return Err(refusal),
            Err(refusal) => outcome.frames.push(refusal.about(Some(dest.clone())).to_frame()),
        }
    }
    for missed in undelivered {
        if outcome.cursors.iter().any(|cursor| *cursor.conversation() == missed.conversation) {
            continue;
        }
        let sequencer = hub.sequencer(&missed.conversation).await.map_err(store_away)?;
        let mut cursor = Cursor::new(hub, handle, sequencer);
        let gap = go_on(hub, handle, &mut cursor, missed.delivered, false).await?;
        outcome.frames.extend(gap);
        outcome.cursors.push(cursor);
    }
    Ok(outcome)
}

async fn rejoin(
    hub: &Arc<Hub>,
    handle: &Arc<Handle>,
    dest: &Dest,
    seq: u64,
    other_log: bool,
) -> Result<(Vec<Frame>, Cursor), Refusal> {
    let conversation = hub.readable(&handle.who, dest).await?;
    let sequencer = hub.sequencer(&conversation).await.map_err(store_away)?;
    let mut cursor = Cursor::new(hub, handle, sequencer);
    if let Conversation::Room(_) = &conversation {
        // Read again behind the registration: from here on it is the room's entries that take the right away.
        cursor.granted = hub.store.head(&conversation).await.map_err(store_away)?;
        hub.readable(&handle.who, dest).await?;
    }
    cursor.join();
    let gap = go_on(hub, handle, &mut cursor, seq, other_log).await?;
    let mut frames: Vec<Frame> = gap.into_iter().collect();
    if let (Conversation::Pair(..), Dest::Private(partner)) = (&conversation, dest)
        && let Some(user) = Party::user(partner).filter(|user| *user != handle.who.user)
        && let Some(person) = hub.person(&user).await?
        && let Some(state) = person.state
    {
        frames.push(ServerFrame::Status { from: &user, state, last_seen: person.last_seen }.to_frame());
    }
    Ok((frames, cursor))
}

/// Puts a cursor behind `seq`, or, where that is too far back or of another log, before the newest entries; then with
/// the `gap` to be told.
async fn go_on(
    hub: &Hub,
    handle: &Handle,
    cursor: &mut Cursor,
    seq: u64,
    other_log: bool,
) -> Result<Option<Frame>, Refusal> {
    let mut head = cursor.position.seq;
    if seq > head {
        // What is delivered here follows the log a little later.
        head = hub.store.head(cursor.conversation()).await.map_err(store_away)?;
    }
    let newest = head.saturating_sub(hub.options.limits.history);
    let dest = cursor.conversation().dest_for(&handle.who.party);
    // Behind a hole, what the client has is of an earlier room of that id.
    let reset = other_log || seq > head || hub.first_after(cursor.conversation(), seq).await? > seq + 1;
    if !reset && seq >= newest {
        cursor.start_after(seq);
        return Ok(None);
    }
    let first = hub.first_after(cursor.conversation(), newest).await?;
    let newest = first - 1;
    cursor.start_after(newest);
    let after = if reset { 0 } else { seq };
    Ok(Some(ServerFrame::Gap { dest: &dest, after, before: newest + 1, reset }.to_frame()))
}

impl Hub {
    /// The first `seq` behind `seq` that there is, or will be. Only rooms have holes: where one of that id was deleted.
    async fn first_after(&self, conversation: &Conversation, seq: u64) -> Result<u64, Refusal> {
        if !matches!(conversation, Conversation::Room(_)) {
            return Ok(seq + 1);
        }
        let entries = self.store.entries_after(conversation, seq, 1).await.map_err(store_away)?;
        Ok(entries.first().map_or(seq + 1, |entry| entry.seq))
    }
}
