//! What a program asks of a node without a session: the HTTP API, and applications that have a server inside.
//!
//! Everything here goes through the same functions as the frames of a session, with the same limits, rates and rights.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mqttchat_protocol::{
    Dest, DisplayName, Entry, ErrorCode, Hello, HistoryBounds, Limits, MessageId, Person, PersonState,
    Refusal, Room, RoomChange, RoomId, UserId,
};
use mqttchat_store::Appended;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::auth::{Denied, Grant, Identity};
use crate::bridge::{Bridge, run};
use crate::budget::{Spending, Wallet};
use crate::caller::Caller;
use crate::command::store_away;
use crate::content::Content;
use crate::deliver::{Origin, unavailable};
use crate::greet::{Ended, open_as};
use crate::history::{Page, history_page};
use crate::hub::Hub;
use crate::pages::Counted;
use crate::rooms::{rooms_page, told};
use crate::search::search_page;
use crate::session::CloseCode;
use crate::transport::Transport;
use crate::whois::{conversations_page, users_page};

/// How a session ends that the store didn't let begin: "Try Again Later" (IANA WebSocket Close Code 1013).
const TRY_LATER: CloseCode = (1013, "the store is away; try again later");

/// How many messages a search finds where the program doesn't say.
const SEARCH_FIRST: u64 = 50;

/// A user, spoken for by a program. Rights are read again for each call; what an API key may not be used for is refused.
#[derive(Clone)]
pub struct Program {
    hub: Arc<Hub>,
    who: Caller,
    grant: Grant,
}

/// A message that is in the log.
#[derive(Clone, Debug)]
pub struct Sent {
    /// It, as it stands there now.
    pub entry: Arc<Entry>,
    /// Whether this call put it there; if not, it came again, and this is the first.
    pub fresh: bool,
}

/// A change of a room that is in the log.
#[derive(Clone, Debug)]
pub struct ChangedRoom {
    /// The room as the change left it; a deleted one as it was.
    pub room: Value,
    /// Whether this call changed it; if not, the change came again, and this is the first.
    pub fresh: bool,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("user", &self.who.user).finish_non_exhaustive()
    }
}

impl Bridge {
    /// The program that shows this token or API key, which speaks for its user.
    ///
    /// # Errors
    /// [`Denied`]: the token is no good, or the store can't be asked.
    pub async fn program(&self, token: &str) -> Result<Program, Denied> {
        let hello = Hello { name: None, token: Some(token.to_owned()), log: None, resume: BTreeMap::new() };
        Ok(self.program_of(self.hub.identify(&hello).await?))
    }

    /// A program that speaks for somebody whom the application itself vouches for, under the name `issuer`. They become
    /// a user of this server when they aren't one yet.
    ///
    /// # Errors
    /// [`Denied`]: the id came here by another issuer, or is blocked, or the store can't be asked.
    pub async fn speak_for(&self, issuer: &str, user: UserId, name: &DisplayName) -> Result<Program, Denied> {
        let blocks = Some(self.hub.vouch(issuer, &user, name).await?);
        let grant = Grant { blocks, ..Grant::default() };
        Ok(self.program_of(Identity { user, name: name.to_shared(), token: None, grant }))
    }

    /// A program that speaks for a user who was signed in just now.
    #[must_use]
    pub fn program_of(&self, identity: Identity) -> Program {
        let who = Caller::new(identity.user, identity.name).for_rooms(identity.grant.rooms.clone());
        Program { hub: self.hub.clone(), who, grant: identity.grant }
    }

    /// What a client may do.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.hub.options.limits
    }
}

impl Program {
    /// The user it speaks for.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.who.user
    }

    /// Refuses what an API key is not for.
    fn needs(&self, has: bool, scope: &str) -> Result<(), Refusal> {
        let reason = || format!("this token or API key has not the scope {scope}");
        has.then_some(()).ok_or_else(|| Refusal::new(ErrorCode::Forbidden, reason()))
    }

    fn reads(&self, spending: Spending) -> Result<(), Refusal> {
        self.needs(self.grant.scopes.read, "read")?;
        self.spend(spending)
    }

    fn spend(&self, spending: Spending) -> Result<(), Refusal> {
        Wallet::new(self.hub.people.budget_of(&self.who.user)).spend(spending)
    }

    /// Sends a message, and waits until it is on disk. The same id, conversation and content again are the same message.
    ///
    /// Cancel safety: dropped, it may or may not be sent; the same id can be sent again.
    ///
    /// # Errors
    /// `too_large`, `rate_limited`, `id_conflict`, `not_found`, `forbidden`, `unavailable`.
    pub async fn send(&self, id: MessageId, dest: &Dest, data: &Map<String, Value>) -> Result<Sent, Refusal> {
        self.needs(self.grant.scopes.write, "write")?;
        self.submit(Content::message(data.clone()), id, dest).await
    }

    async fn submit(&self, content: Content, id: MessageId, dest: &Dest) -> Result<Sent, Refusal> {
        let entry = content.into_entry(&self.hub.options.limits, &self.who, id, dest)?;
        self.spend(Spending::Message)?;
        let (sender, outcome) = oneshot::channel();
        self.hub.clone().submit(entry, Origin::Caller(sender)).await;
        match outcome.await {
            Ok(Ok(Appended { entry, fresh, .. })) => Ok(Sent { entry, fresh }),
            Ok(Err(error)) => Err(error.refusal()),
            Err(_) => Err(unavailable()),
        }
    }

    /// Reads a page of a conversation's log.
    ///
    /// # Errors
    /// `forbidden` without the scope, `not_found`, `unavailable`.
    pub async fn history(&self, dest: &Dest, bounds: HistoryBounds) -> Result<Page, Refusal> {
        self.reads(Spending::Page)?;
        history_page(&self.hub, &self.who, dest, bounds).await
    }

    /// An answer that is written to a client by others than a session: for as long as its bytes are there it counts among
    /// what clients haven't taken, by which the next answers are bounded.
    #[must_use]
    pub fn counted(&self, answer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Counted::new(&self.hub.pages, answer))
    }

    /// Looks for messages in a conversation, or wherever the user may read; newest first. `more` says whether it found as
    /// many as were wanted, or fit into an answer.
    ///
    /// # Errors
    /// `bad_frame` when there is nothing to look for, `forbidden` without the scope, `not_found`, `unavailable`.
    pub async fn search(&self, q: &str, dest: Option<&Dest>, limit: Option<u64>) -> Result<Page, Refusal> {
        self.reads(Spending::Search)?;
        let limit = limit.unwrap_or(SEARCH_FIRST).min(self.hub.options.limits.history);
        let messages = search_page(&self.hub, &self.who, q, dest, Some(limit)).await?;
        let more = messages.len() as u64 >= limit;
        Ok(Page { first: None, messages, more })
    }

    /// A page of the user's conversations as docs/protocol.md §4 shows them, by dest, and whether there are more.
    ///
    /// # Errors
    /// `forbidden` without the scope, `unavailable`.
    pub async fn conversations(
        &self,
        after: Option<&str>,
        limit: Option<u64>,
    ) -> Result<(Vec<Value>, bool), Refusal> {
        self.reads(Spending::Page)?;
        conversations_page(&self.hub, &self.who, after, limit).await
    }

    /// A page of the rooms that the user can see, by id, and whether there are more.
    ///
    /// # Errors
    /// `forbidden` without the scope, `unavailable`.
    pub async fn rooms(
        &self,
        after: Option<&RoomId>,
        limit: Option<u64>,
    ) -> Result<(Vec<Room>, bool), Refusal> {
        self.reads(Spending::Page)?;
        rooms_page(&self.hub, &self.who, after, limit).await
    }

    /// A room that the user can see.
    ///
    /// # Errors
    /// `forbidden` without the scope, `not_found`, `unavailable`.
    pub async fn room(&self, id: &RoomId) -> Result<Room, Refusal> {
        self.reads(Spending::Page)?;
        let dest = Dest::Room(id.clone());
        self.hub.readable(&self.who, &dest).await?;
        let room = self.hub.store.room(id).await.map_err(store_away)?;
        // It may have been deleted since.
        room.ok_or_else(|| Refusal::new(ErrorCode::NotFound, format!("there is no {dest}")))
    }

    /// Makes a room, changes it, or changes who belongs to it. The same id again with the same change is the same.
    ///
    /// Cancel safety: dropped, it may or may not happen; the same id can be sent again.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `conflict`, `id_conflict`, `too_large`, `rate_limited`, `unavailable`.
    pub async fn change_room(
        &self,
        id: MessageId,
        room: &RoomId,
        change: RoomChange,
    ) -> Result<ChangedRoom, Refusal> {
        self.needs(self.grant.scopes.rooms, "rooms")?;
        let sent = self.submit(Content::room(change), id, &Dest::Room(room.clone())).await?;
        Ok(ChangedRoom { room: told(&sent.entry), fresh: sent.fresh })
    }

    /// A page of all users by id, or of those in one state, and whether there are more.
    ///
    /// # Errors
    /// `forbidden` without the scope, `unavailable`.
    pub async fn users(
        &self,
        state: Option<PersonState>,
        after: Option<&str>,
        limit: Option<u64>,
    ) -> Result<(Vec<Person>, bool), Refusal> {
        self.reads(Spending::Page)?;
        users_page(&self.hub, state, after, limit).await
    }

    /// A user.
    ///
    /// # Errors
    /// `forbidden` without the scope, `not_found`, `unavailable`.
    pub async fn person(&self, id: &UserId) -> Result<Person, Refusal> {
        self.reads(Spending::Page)?;
        let person = self.hub.person(id).await?;
        person.ok_or_else(|| no_user(id))
    }

    /// Locks a user out, or lets them in again. Their sessions here end at once, those of other nodes within a second.
    ///
    /// # Errors
    /// `forbidden` without the scope `admin`, `not_found`, `unavailable`.
    pub async fn set_blocked(&self, id: &UserId, blocked: bool) -> Result<Person, Refusal> {
        self.administers()?;
        self.spend(Spending::Message)?;
        let user = self.hub.store.set_blocked(id, blocked).await.map_err(store_away)?;
        self.hub.revocations.hurry();
        let by = &self.who.user;
        match user {
            Some(user) => {
                tracing::info!(user = %user.id, blocked, %by, "user blocked or unblocked");
                let person = self.hub.person(id).await?;
                person.ok_or_else(|| no_user(id))
            }
            None => Err(no_user(id)),
        }
    }

    /// Whether a user is locked out.
    ///
    /// # Errors
    /// `forbidden` without the scope `admin`, `not_found`, `unavailable`.
    pub async fn is_blocked(&self, id: &UserId) -> Result<bool, Refusal> {
        self.administers()?;
        self.spend(Spending::Page)?;
        let user = self.hub.store.user(id).await.map_err(store_away)?;
        user.map(|user| user.blocked).ok_or_else(|| no_user(id))
    }

    /// Whether it may do what an operator does.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.grant.scopes.admin
    }

    fn administers(&self) -> Result<(), Refusal> {
        self.needs(self.grant.scopes.admin, "admin")
    }

    /// Whether the user may read a conversation at this moment.
    ///
    /// # Errors
    /// `forbidden` without the scope, `not_found`, `unavailable`.
    pub async fn may_read(&self, dest: &Dest) -> Result<(), Refusal> {
        self.reads(Spending::Join)?;
        self.hub.readable(&self.who, dest).await.map(|_| ())
    }

    /// Runs a session that hears of these conversations and of nothing else, to its end. It goes on behind the `seq` that
    /// is given with a conversation; the others `transport` joins by frames of its own. The first frame that it is fed
    /// is a 1000; without one it is closed with 1013 when the store is away.
    pub fn follow<T: Transport>(
        &self,
        transport: T,
        conversations: &BTreeMap<Dest, Option<u64>>,
    ) -> impl Future<Output = ()> + Send + use<T> {
        let known = conversations.iter().filter_map(|(dest, seq)| Some((dest.clone(), (*seq)?)));
        let hello = Hello { name: None, token: None, log: None, resume: known.collect() };
        let identity = Identity {
            user: self.who.user.clone(),
            name: self.who.name.clone(),
            token: None,
            grant: self.grant.clone(),
        };
        let only = conversations.keys().map(|dest| dest.seen_by(&self.who.party)).collect();
        let hub = self.hub.clone();
        run(transport, move |_| {
            Box::pin(async move {
                let opened = open_as(&hub, None, &hello, &identity, Some(only)).await;
                if let Ok((session, _)) = &opened {
                    tracing::debug!(session = session.handle.id, user = %identity.user, "stream opened");
                }
                opened.map_err(|refusal| match refusal.code {
                    ErrorCode::Unauthorized => Ended::Close((4401, "unauthorized")),
                    _ => Ended::Close(TRY_LATER),
                })
            })
        })
    }
}

fn no_user(id: &UserId) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("there is no user {id}"))
}
