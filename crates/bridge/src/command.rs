//! What each frame of a client does: one function per type.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use mqttchat_protocol::{
    ClientFrame, Command, Conversation, Dest, EntryKind, ErrorCode, Frame, Hello, MessageId, Party, Refusal,
    ServerFrame,
};
use mqttchat_store::{Access, Scopes, StoreError};
use serde_json::json;

use crate::budget::Spending;
use crate::caller::Caller;
use crate::content::Content;
use crate::cursor::Cursor;
use crate::deliver::{Origin, unavailable};
use crate::history::history;
use crate::hub::Hub;
use crate::join::join;
use crate::mail::Handle;
use crate::own_frame::own_frame;
use crate::receipts::{read, received};
use crate::rooms::rooms;
use crate::search::search;
use crate::session::Session;
use crate::whois::{conversations, roster};

/// What came of a command.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Answers, in order.
    pub(crate) frames: Vec<Frame>,
    /// Conversations that the session reads from now on.
    pub(crate) cursors: Vec<Cursor>,
    /// What was refused, if anything; its frame is among the answers.
    pub(crate) refusal: Option<Refusal>,
}

impl Outcome {
    pub(crate) fn frame(frame: Frame) -> Self {
        Self { frames: vec![frame], ..Self::default() }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { frames: vec![refusal.to_frame()], refusal: Some(refusal), ..Self::default() }
    }
}

/// Where an answer belongs: the frame's id, and its conversation.
#[derive(Clone, Debug)]
pub(crate) struct Re {
    pub(crate) id: Option<MessageId>,
    pub(crate) dest: Option<Dest>,
}

impl Re {
    /// A `reply` with a finished JSON object.
    pub(crate) fn reply(&self, data: &[u8]) -> Frame {
        ServerFrame::Reply { re: self.id.as_ref(), dest: self.dest.as_ref(), data }.to_frame()
    }

    /// The refusal of the frame that it answers.
    pub(crate) fn refused(self, refusal: Refusal) -> Refusal {
        refusal.re(self.id).about(self.dest)
    }
}

/// A command that is being carried out.
pub(crate) type Running = BoxFuture<'static, Outcome>;

/// Carries out a frame: at once, or as a future that needs the store.
///
/// # Errors
/// The refusal that the client is told.
pub(crate) fn command(session: &mut Session, frame: ClientFrame) -> Result<Option<Running>, Refusal> {
    let ClientFrame { id, dest, command } = frame;
    let re = Re { id, dest };
    let (hub, handle) = (session.hub.clone(), session.handle.clone());
    may(&handle.grant().scopes, &command).map_err(|refusal| re.clone().refused(refusal))?;
    // The parser has seen to it that these are there.
    let dest = re.dest.clone().unwrap_or(Dest::Public);
    if let Some(spending) = spending(&command) {
        session.wallet.spend(spending).map_err(|refusal| re.clone().refused(refusal))?;
    }
    let running = match command {
        Command::Own { kind, data } => {
            answered(re.clone(), async move { own_frame(&hub, &handle.who, &re, kind, data).await })
        }
        Command::Ping => {
            session.answer(ServerFrame::Pong { re: re.id.as_ref() }.to_frame());
            return Ok(None);
        }
        Command::Pong => return Ok(None),
        Command::Hello(_) => {
            return Err(
                re.refused(Refusal::new(ErrorCode::BadFrame, "this session is open already: say hello once"))
            );
        }
        Command::Msg(data) => submit(session, re, &dest, Content::message(data))?,
        Command::Edit { target, text } => submit(session, re, &dest, Content::edit(target, text))?,
        Command::Delete(target) => submit(session, re, &dest, Content::delete(target))?,
        Command::React { target, emoji, on } => {
            submit(session, re, &dest, Content::react(target, emoji, on))?
        }
        Command::Room(change) => submit(session, re, &dest, Content::room(change))?,
        Command::Typing(typing) => return typing_changed(session, re, &dest, typing),
        Command::Leave => return leave(session, re, &dest).map(|()| None),
        Command::Join { history } => {
            let conversation = dest.seen_by(&handle.who.party);
            // Its answer says where the conversation stands, so nothing of it may overtake the answer.
            let at = session.cursor(&conversation).map(|cursor| {
                cursor.paused = true;
                cursor.position.seq
            });
            session.joining = Some(conversation);
            answered(re.clone(), async move { join(&hub, &handle, &re, &dest, history, at).await })
        }
        Command::History(bounds) => {
            answered(re.clone(), async move { history(&hub, &handle.who, &re, &dest, bounds).await })
        }
        Command::Roster { after, limit } => {
            answered(re.clone(), async move { roster(&hub, &handle.who, &re, &dest, after, limit).await })
        }
        Command::Conversations { after, limit } => {
            answered(re.clone(), async move { conversations(&hub, &handle.who, &re, after, limit).await })
        }
        Command::Rooms { after, limit } => {
            answered(re.clone(), async move { rooms(&hub, &handle.who, &re, after, limit).await })
        }
        Command::Search { q, limit } => {
            answered(re.clone(), async move { search(&hub, &handle.who, &re, &q, limit).await })
        }
        Command::Token(token) => {
            answered(re.clone(), async move { token_renewed(&hub, &handle, &re, token).await })
        }
        Command::Read { seq } => answered(re, async move { read(&hub, &handle, &dest, seq).await }),
        Command::Received(id) => {
            let wanted = re.dest.as_ref().map(|dest| dest.seen_by(&handle.who.party));
            let (mut found, is_news) = session.confirm_handed(&id);
            // As many as there were messages are nobody's fault.
            if !is_news {
                session.wallet.spend(Spending::Frame).map_err(|refusal| re.clone().refused(refusal))?;
            }
            found.retain(|(conversation, _)| wanted.as_ref().is_none_or(|wanted| wanted == conversation));
            answered(re, async move { received(&hub, &handle.who, found).await })
        }
    };
    Ok(Some(running))
}

/// Refuses what the session's token is not for.
fn may(scopes: &Scopes, command: &Command) -> Result<(), Refusal> {
    let (has, scope) = match command {
        Command::Msg(_)
        | Command::Edit { .. }
        | Command::Delete(_)
        | Command::React { .. }
        | Command::Typing(_)
        | Command::Own { .. } => (scopes.write, "write"),
        Command::Room(_) => (scopes.rooms, "rooms"),
        _ => (true, ""),
    };
    let reason = || format!("this token has not the scope {scope}");
    has.then_some(()).ok_or_else(|| Refusal::new(ErrorCode::Forbidden, reason()))
}

/// A fresh token for the same user and rooms: the session goes on until that one ends. With any other it goes on as
/// before.
async fn token_renewed(
    hub: &Arc<Hub>,
    handle: &Arc<Handle>,
    re: &Re,
    token: String,
) -> Result<Outcome, Refusal> {
    let hello = Hello { name: None, token: Some(token), log: None, resume: BTreeMap::new() };
    let identity = hub.identify(&hello).await?;
    let unauthorized = |reason: &str| Err(Refusal::new(ErrorCode::Unauthorized, reason));
    if identity.user != handle.who.user {
        return unauthorized("this token is of another user");
    }
    if identity.grant.rooms != handle.grant().rooms || !identity.grant.scopes.read {
        return unauthorized("this token is for other rooms, or not for reading: open a new session with it");
    }
    let expires = identity.grant.expires;
    handle.renew(identity.grant);
    hub.still_welcome(handle).await?;
    Ok(Outcome::frame(re.reply(json!({ "expires": expires }).to_string().as_bytes())))
}

/// What carrying out a command costs its user. What is to be an entry is looked at first ([`submit`]), and so is what was
/// received.
fn spending(command: &Command) -> Option<Spending> {
    match command {
        Command::Own { .. } => Some(Spending::Message),
        Command::Join { .. } => Some(Spending::Join),
        Command::Search { .. } => Some(Spending::Search),
        Command::History(_)
        | Command::Roster { .. }
        | Command::Conversations { .. }
        | Command::Rooms { .. } => Some(Spending::Page),
        Command::Read { .. }
        | Command::Typing(_)
        | Command::Leave
        | Command::Token(_)
        | Command::Ping
        | Command::Pong => Some(Spending::Frame),
        Command::Msg(_)
        | Command::Edit { .. }
        | Command::Delete(_)
        | Command::React { .. }
        | Command::Room(_)
        | Command::Received(_)
        // It is refused.
        | Command::Hello(_) => None,
    }
}

/// Boxes a command whose refusal names its frame.
fn answered(
    re: Re,
    work: impl Future<Output = Result<Outcome, Refusal>> + Send + 'static,
) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        match work.await {
            Ok(outcome) => outcome,
            Err(refusal) => Outcome::refused(re.refused(refusal)),
        }
    })
}

/// Hands an entry to the log, within the user's rate. It is answered when it is on disk.
///
/// # Errors
/// `rate_limited`, `too_large`.
fn submit(session: &mut Session, re: Re, dest: &Dest, content: Content) -> Result<Running, Refusal> {
    let Some(id) = re.id.clone() else {
        return Err(re.refused(Refusal::new(ErrorCode::BadFrame, "this frame needs an id")));
    };
    let (hub, handle) = (session.hub.clone(), session.handle.clone());
    let entry = content
        .into_entry(&hub.options.limits, &handle.who, id, dest)
        .and_then(|entry| session.wallet.spend(Spending::Message).map(|()| entry))
        .map_err(|refusal| re.refused(refusal))?;
    if entry.kind == EntryKind::Msg
        && let Some(cursor) = session.cursor(&entry.conversation)
    {
        let sequencer = cursor.sequencer.clone();
        hub.stop_typing(&sequencer, &handle);
    }
    handle.submit();
    Ok(Box::pin(async move {
        hub.submit(entry, Origin::Session(handle)).await;
        Outcome::default()
    }))
}

fn typing_changed(
    session: &mut Session,
    re: Re,
    dest: &Dest,
    typing: bool,
) -> Result<Option<Running>, Refusal> {
    let conversation = dest.seen_by(&session.handle.who.party);
    let joined = session.cursor(&conversation).filter(|cursor| cursor.is_joined());
    let Some(sequencer) = joined.map(|cursor| cursor.sequencer.clone()) else {
        return Err(re.refused(not_joined()));
    };
    // An end is told only when there was a beginning, so it costs nothing; dropped, it would show for seconds.
    if typing && session.typing_bucket.take(Instant::now()).is_err() {
        return Ok(None);
    }
    if !matches!(dest, Dest::Room(_)) {
        session.hub.typing(&session.handle, &sequencer, typing);
        return Ok(None);
    }
    // Who was removed a moment ago, on another node, is still in the conversation here.
    let (hub, handle, dest) = (session.hub.clone(), session.handle.clone(), dest.clone());
    Ok(Some(answered(re, async move {
        hub.readable(&handle.who, &dest).await.map_err(|refusal| match refusal.code {
            ErrorCode::NotFound => not_joined(),
            _ => refusal,
        })?;
        hub.typing(&handle, &sequencer, typing);
        Ok(Outcome::default())
    })))
}

fn leave(session: &mut Session, re: Re, dest: &Dest) -> Result<(), Refusal> {
    let conversation = dest.seen_by(&session.handle.who.party);
    let Some(cursor) = session.cursor(&conversation).filter(|cursor| cursor.is_joined()) else {
        return Err(re.refused(not_joined()));
    };
    cursor.leave(false);
    // What is private to the user keeps coming.
    if !matches!(conversation, Conversation::Pair(..)) {
        session.drop_cursor(&conversation);
    }
    session.answer(re.reply(b"{}"));
    Ok(())
}

fn not_joined() -> Refusal {
    Refusal::new(ErrorCode::NotJoined, "join this conversation first")
}

impl Hub {
    /// The conversation that `caller` means by `dest`, if they may read it. Asked again for every frame.
    ///
    /// # Errors
    /// `not_found`, or `unavailable` when the store can't be asked.
    pub(crate) async fn readable(&self, caller: &Caller, dest: &Dest) -> Result<Conversation, Refusal> {
        let conversation = dest.seen_by(&caller.party);
        let there = match dest {
            _ if !caller.covers(&conversation) => false,
            Dest::Public => true,
            Dest::Room(room) => {
                self.store.room_access(room, &caller.party).await.map_err(store_away)? != Access::None
            }
            Dest::Private(party) if *party == caller.user => true,
            Dest::Private(party) => match Party::user(party) {
                Some(user) => self.store.user(&user).await.map_err(store_away)?.is_some(),
                None => self.store.head(&conversation).await.map_err(store_away)? > 0,
            },
        };
        if there {
            return Ok(conversation);
        }
        Err(not_found(dest))
    }
}

/// What somebody is told of a conversation that is not there for them.
pub(crate) fn not_found(dest: &Dest) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("there is no {dest}, or it is not yours to see"))
}

/// What a client is told when the store can't be read; the reason is for the log.
#[allow(clippy::needless_pass_by_value, reason = "maps an error")]
pub(crate) fn store_away(error: StoreError) -> Refusal {
    tracing::warn!(%error, "the store can't be asked");
    unavailable()
}

/// Whether a command may be carried out while earlier messages are on their way to the log.
pub(crate) fn is_quick(command: &Command) -> bool {
    matches!(
        command,
        Command::Msg(_)
            | Command::Edit { .. }
            | Command::Delete(_)
            | Command::React { .. }
            | Command::Room(_)
            | Command::Typing(_)
            | Command::Ping
            | Command::Pong
            | Command::Received(_)
            | Command::Read { .. }
    )
}
