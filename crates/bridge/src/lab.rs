//! The course lab's chat on rooms of this server: what its two calls do, without a login.
//!
//! A room is made by the first message to it, owned by its author: a group room is open, a private one is closed and has
//! its owner and one other in it. Aliases are users that the lab vouches for; what belongs to anybody else (a guest's
//! id, a closed room of people who are signed in) is out of its reach.

use std::sync::Arc;

use mqttchat_protocol::{
    Dest, DisplayName, EntryKind, ErrorCode, MessageId, Party, Refusal, Room, RoomChange, RoomId, UserId,
};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use tokio::sync::oneshot;

use crate::bridge::Bridge;
use crate::budget::{Spending, Wallet};
use crate::caller::Caller;
use crate::command::store_away;
use crate::content::Content;
use crate::deliver::{Origin, unavailable};
use crate::hub::Hub;
use crate::lab_name::{id_of, name_of};

/// Who vouches for the users that are made of aliases.
const ISSUER: &str = "lab";

/// The most messages that are asked for at once.
pub const LAB_MESSAGES_MAX: u64 = 1000;

/// Entries that are read at once, and pages of them at most, until enough messages are found.
const PAGE: u64 = 200;
const PAGES_MAX: usize = 50;

/// Rooms that are listed.
const ROOMS_MAX: u64 = 1000;

/// What is to be sent, by the lab's names.
#[derive(Clone, Debug)]
pub struct LabMessage<'a> {
    /// The room.
    pub room_name: &'a str,
    /// The text.
    pub message: &'a str,
    /// Who says it.
    pub from_alias: &'a str,
    /// To whom; in a group it may be the room itself, or nobody.
    pub to_alias: Option<&'a str>,
    /// Whether a room that is made for it is for a group.
    pub group_room: bool,
}

/// A room as the lab describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabRoom {
    /// Its name.
    pub name: String,
    /// Who made it.
    pub owner_alias: String,
    /// Whether it is for a group.
    pub group_room: bool,
    /// Who belongs to it.
    pub member_list: Vec<String>,
    /// When it was made, Unix time in ms.
    pub create_time: u64,
    /// When it last changed, Unix time in ms.
    pub modify_time: u64,
}

/// The lab's chat on this node.
#[derive(Clone)]
pub struct Lab {
    hub: Arc<Hub>,
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lab")
    }
}

impl Bridge {
    /// The lab's chat. It knows no login: whoever can ask it can speak as any alias.
    #[must_use]
    pub fn lab(&self) -> Lab {
        Lab { hub: self.hub.clone() }
    }
}

impl Lab {
    /// Sends a message, and waits until it is on disk. Makes the room, and the users, where they aren't there.
    ///
    /// Cancel safety: dropped, the room may be there, and the message may or may not be sent.
    ///
    /// # Errors
    /// `bad_frame` for names that can't be one, `forbidden` for what is not the lab's or not the alias's, `too_large`,
    /// `rate_limited`, `unavailable`.
    pub async fn send(&self, message: &LabMessage<'_>) -> Result<(), Refusal> {
        if message.message.is_empty() {
            return Err(bad("the message is empty"));
        }
        let id = room_id(message.room_name)?;
        let from = self.sender(message.from_alias).await?;
        let to = match message.to_alias {
            Some(alias) if alias != message.room_name && alias != message.from_alias => {
                Some(self.reader(alias).await?)
            }
            _ => None,
        };
        let room = match self.hub.store.room(&id).await.map_err(store_away)? {
            Some(room) => room,
            None => self.make(&id, &from, to.as_ref(), message).await?,
        };
        self.let_in(&room, &from, to.as_ref()).await?;
        let mut data = Map::new();
        data.insert("text".to_owned(), message.message.into());
        if let Some(alias) = message.to_alias {
            data.insert("to".to_owned(), alias.into());
        }
        self.submit(&from, id, Content::message(data)).await
    }

    /// The newest `most` texts of a room, oldest first.
    ///
    /// # Errors
    /// `not_found` for a room that isn't there or isn't the lab's to show, `bad_frame`, `unavailable`.
    pub async fn messages(&self, room_name: &str, most: u64) -> Result<Vec<String>, Refusal> {
        #[derive(Deserialize)]
        struct Data {
            text: String,
        }
        let id = room_id(room_name)?;
        let not_found = || Refusal::new(ErrorCode::NotFound, format!("there is no room {room_name:?}"));
        let room = self.hub.store.room(&id).await.map_err(store_away)?.ok_or_else(not_found)?;
        if !room.open && !self.is_labs(&room.owner).await? {
            return Err(not_found());
        }
        let most = most.min(LAB_MESSAGES_MAX) as usize;
        let conversation = Dest::Room(id).seen_by(&Party::from(&room.owner));
        let (mut texts, mut before) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page =
                self.hub.store.entries_before(&conversation, before, PAGE).await.map_err(store_away)?;
            let said = page.iter().rev().filter(|entry| entry.kind == EntryKind::Msg);
            // What was deleted has no text any more.
            texts.extend(
                said.filter_map(|entry| serde_json::from_str(&entry.data).ok().map(|data: Data| data.text)),
            );
            before = page.first().map(|first| first.seq);
            if texts.len() >= most || (page.len() as u64) < PAGE {
                break;
            }
        }
        texts.truncate(most);
        texts.reverse();
        Ok(texts)
    }

    /// The rooms that an alias sees, by id: those for groups, and the private ones that it belongs to.
    ///
    /// # Errors
    /// `bad_frame` for an alias that can't be one, `unavailable`.
    pub async fn rooms(&self, alias: Option<&str>) -> Result<Vec<LabRoom>, Refusal> {
        let user = user_id(alias.unwrap_or(ISSUER))?;
        // Without an alias, and for one of somebody else's, only what everybody sees.
        let own = alias.is_some() && self.is_labs(&user).await?;
        let rooms = self.hub.store.rooms(&user, None, ROOMS_MAX).await.map_err(store_away)?;
        Ok(rooms.into_iter().filter(|room| own || room.open).map(LabRoom::from).collect())
    }

    /// The user of an alias that speaks: one of the lab's.
    async fn sender(&self, alias: &str) -> Result<Caller, Refusal> {
        let (user, name) = (user_id(alias)?, shown(alias)?);
        let denied = |_| {
            let reason = format!("the alias {alias:?} is somebody's who signs in to the chat; take another");
            Refusal::new(ErrorCode::Forbidden, reason)
        };
        match self.hub.vouch(ISSUER, &user, &name).await {
            Ok(_) => Ok(Caller::new(user, name.to_shared())),
            Err(crate::auth::Denied::Refused(refusal)) => Err(refusal),
            Err(error) => Err(denied(error)),
        }
    }

    /// The user of an alias that is spoken to: anybody.
    async fn reader(&self, alias: &str) -> Result<UserId, Refusal> {
        let user = user_id(alias)?;
        if self.hub.store.user(&user).await.map_err(store_away)?.is_some() {
            return Ok(user);
        }
        Ok(self.sender(alias).await?.user)
    }

    async fn is_labs(&self, user: &UserId) -> Result<bool, Refusal> {
        let user = self.hub.store.user(user).await.map_err(store_away)?;
        Ok(user.is_some_and(|user| &*user.issuer == ISSUER))
    }

    /// Makes a room, or takes the one that somebody else has made at the same moment.
    async fn make(
        &self,
        id: &RoomId,
        from: &Caller,
        to: Option<&UserId>,
        message: &LabMessage<'_>,
    ) -> Result<Room, Refusal> {
        if !message.group_room && to.is_none() {
            return Err(bad("a private room is for two: give to_alias, or group_room=true"));
        }
        let title = shown(message.room_name)?.to_shared();
        let members = to.cloned().into_iter().collect();
        let create = RoomChange::Create { title, open: message.group_room, members };
        match self.submit(from, id.clone(), Content::room(create)).await {
            Err(refusal) if refusal.code != ErrorCode::Conflict => return Err(refusal),
            _ => {}
        }
        self.hub.store.room(id).await.map_err(store_away)?.ok_or_else(unavailable)
    }

    /// Sees to it that both belong to a room: in a group whoever speaks comes in by that, and its owner brings others.
    async fn let_in(&self, room: &Room, from: &Caller, to: Option<&UserId>) -> Result<(), Refusal> {
        let add = |user: &UserId| Content::room(RoomChange::AddMember(user.clone()));
        if !room.open {
            let stranger = [Some(&from.user), to].into_iter().flatten().find(|user| !room.has(user));
            return match stranger {
                None => Ok(()),
                Some(user) => {
                    let reason = format!("{:?} doesn't belong to this private room", name_of(user.as_str()));
                    Err(Refusal::new(ErrorCode::Forbidden, reason))
                }
            };
        }
        let mut newcomers = Vec::new();
        newcomers.extend((!room.has(&from.user)).then(|| add(&from.user)));
        newcomers.extend(to.filter(|to| room.owner == from.user && !room.has(to)).map(add));
        for newcomer in newcomers {
            match self.submit(from, room.id.clone(), newcomer).await {
                // Somebody has let them in at the same moment.
                Err(refusal) if refusal.code != ErrorCode::Conflict => return Err(refusal),
                _ => {}
            }
        }
        Ok(())
    }

    async fn submit(&self, from: &Caller, room: RoomId, content: Content) -> Result<(), Refusal> {
        let id = new_id().ok_or_else(unavailable)?;
        let entry = content.into_entry(&self.hub.options.limits, from, id, &Dest::Room(room))?;
        Wallet::new(self.hub.people.budget_of(&from.user)).spend(Spending::Message)?;
        let (sender, outcome) = oneshot::channel();
        self.hub.clone().submit(entry, Origin::Caller(sender)).await;
        match outcome.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.refusal()),
            Err(_) => Err(unavailable()),
        }
    }
}

impl From<Room> for LabRoom {
    fn from(room: Room) -> Self {
        Self {
            name: name_of(room.id.as_str()),
            owner_alias: name_of(room.owner.as_str()),
            group_room: room.open,
            member_list: room.members.iter().map(|member| name_of(member.as_str())).collect(),
            create_time: room.created,
            modify_time: room.modified,
        }
    }
}

fn new_id() -> Option<MessageId> {
    MessageId::parse(&format!("lab-{:032x}", rand::random::<u128>()))
}

fn room_id(name: &str) -> Result<RoomId, Refusal> {
    let id = id_of(name).and_then(|id| RoomId::parse(&id));
    id.ok_or_else(|| bad("a room_name has 1 to 64 letters and digits, and fewer of other characters"))
}

fn user_id(alias: &str) -> Result<UserId, Refusal> {
    let id = id_of(alias).and_then(|id| UserId::parse(&id));
    id.ok_or_else(|| bad("an alias has 1 to 64 letters and digits, and fewer of other characters"))
}

/// What people see of a name.
fn shown(name: &str) -> Result<DisplayName, Refusal> {
    DisplayName::parse(name).ok_or_else(|| bad("a name can't have control or invisible characters in it"))
}

fn bad(reason: &str) -> Refusal {
    Refusal::new(ErrorCode::BadFrame, reason)
}
