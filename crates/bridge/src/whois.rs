//! `roster` and `conversations`: who is where.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqttchat_protocol::{Conversation, Dest, Party, Person, PersonState, Refusal, RoomId, UserId};
use mqttchat_store::User;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::command::{Outcome, Re, store_away};
use crate::hub::{Hub, now_ms};
use crate::roster::Roster;
use crate::sequencer::Sequencer;

/// How many people a join names.
const ROSTER_FIRST: usize = 100;

/// How many people or conversations one page has at most.
const PAGE_MAX: u64 = 500;

/// Conversations that are read at once: each comes with its last entry.
const LINES: u64 = 50;

/// How many people are here, and the first of the roster: those here by id, then those last seen most recently, or in a
/// room its other members.
pub(crate) async fn first_people(hub: &Hub, sequencer: &Sequencer) -> Result<(usize, Vec<Person>), Refusal> {
    let (online, mut people) = {
        let roster = sequencer.roster();
        (roster.online(), roster.people(ROSTER_FIRST, now_ms()))
    };
    if people.len() < ROSTER_FIRST {
        let most = ROSTER_FIRST as u64;
        let recent = match &sequencer.conversation {
            Conversation::Public => hub.store.users_recent(most).await,
            Conversation::Room(room) => hub.store.members(room, None, most).await,
            Conversation::Pair(..) => Ok(Vec::new()),
        };
        let recent = recent.map_err(store_away)?;
        let roster = sequencer.roster();
        let away = recent.into_iter().filter(|user| !roster.has(&user.id));
        people.extend(away.take(ROSTER_FIRST - people.len()).map(|user| hub.line(user, &roster)));
    }
    Ok((online, people))
}

impl Hub {
    /// Those who are signed in on any node, by id, behind `after`.
    fn online_after(&self, after: Option<&str>, limit: usize) -> Vec<Person> {
        let mut online: BTreeMap<UserId, Arc<str>> = self.peers.everybody().into_iter().collect();
        online.extend(self.people.everybody());
        let last_seen = now_ms();
        let behind = online.into_iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
        let person = |(id, name)| Person { id, name, state: Some(PersonState::Online), last_seen };
        behind.take(limit).map(person).collect()
    }

    /// A user as a conversation's roster shows them: online while any of their sessions is, joined here or not.
    fn line(&self, user: User, roster: &Roster) -> Person {
        let online = roster.has(&user.id) || self.is_anywhere(&user.id);
        let left = roster.last_seen(&user.id).unwrap_or(0);
        Person {
            id: user.id,
            name: user.name,
            state: Some(if online { PersonState::Online } else { PersonState::Offline }),
            last_seen: if online { now_ms() } else { user.last_seen.max(left) },
        }
    }
}

/// A page of the roster by id, whether they are there or not: of everybody, or of a room's members and whoever else is in
/// it now.
pub(crate) async fn roster(
    hub: &Arc<Hub>,
    caller: &Caller,
    re: &Re,
    dest: &Dest,
    after: Option<String>,
    limit: Option<u64>,
) -> Result<Outcome, Refusal> {
    let conversation = hub.readable(caller, dest).await?;
    let limit = limit.unwrap_or(ROSTER_FIRST as u64).min(PAGE_MAX);
    let mut people = match &conversation {
        Conversation::Pair(one, other) => {
            let mut people = Vec::new();
            let users =
                [one, other].into_iter().take(if one == other { 1 } else { 2 }).filter_map(Party::user);
            for user in users.filter(|user| after.as_deref().is_none_or(|after| user.as_str() > after)) {
                people.extend(hub.person(&user).await?);
            }
            people
        }
        Conversation::Room(room) => {
            room_roster(hub, &conversation, room, after.as_deref(), limit + 1).await?
        }
        Conversation::Public => {
            let users = hub.store.users_page(after.as_deref(), limit + 1).await.map_err(store_away)?;
            let sequencer = hub.sequencer(&conversation).await.map_err(store_away)?;
            let roster = sequencer.roster();
            users.into_iter().map(|user| hub.line(user, &roster)).collect()
        }
    };
    let more = people.len() as u64 > limit;
    people.truncate(limit as usize);
    Ok(Outcome::frame(re.reply(json!({ "roster": people, "more": more }).to_string().as_bytes())))
}

async fn room_roster(
    hub: &Arc<Hub>,
    conversation: &Conversation,
    room: &RoomId,
    after: Option<&str>,
    most: u64,
) -> Result<Vec<Person>, Refusal> {
    let sequencer = hub.sequencer(conversation).await.map_err(store_away)?;
    // A page may begin behind what is no id; then it begins with the first one above it.
    let after_id = after.and_then(UserId::parse);
    let members = hub.store.members(room, after_id.as_ref(), most).await.map_err(store_away)?;
    let roster = sequencer.roster();
    let mut people: BTreeMap<UserId, Person> =
        members.into_iter().map(|user| (user.id.clone(), hub.line(user, &roster))).collect();
    for person in roster.people_after(after, most as usize, now_ms()) {
        people.entry(person.id.clone()).or_insert(person);
    }
    let is_after = |person: &Person| after.is_none_or(|after| person.id.as_str() > after);
    Ok(people.into_values().filter(is_after).take(most as usize).collect())
}

/// A page of the user's conversations, by dest.
pub(crate) async fn conversations(
    hub: &Arc<Hub>,
    caller: &Caller,
    re: &Re,
    after: Option<String>,
    limit: Option<u64>,
) -> Result<Outcome, Refusal> {
    let (lines, more) = conversations_page(hub, caller, after.as_deref(), limit).await?;
    Ok(Outcome::frame(re.reply(json!({ "conversations": lines, "more": more }).to_string().as_bytes())))
}

/// Those of the user's conversations that come behind `after`, and whether there are more.
pub(crate) async fn conversations_page(
    hub: &Hub,
    caller: &Caller,
    after: Option<&str>,
    limit: Option<u64>,
) -> Result<(Vec<Value>, bool), Refusal> {
    let limit = limit.unwrap_or(ROSTER_FIRST as u64).min(PAGE_MAX);
    let turn = hub.pages.turn().await;
    let (mut found, mut after, mut bytes) = (Vec::new(), after.map(str::to_owned), 0);
    let mut fits = true;
    while fits && found.len() as u64 <= limit {
        let wanted = LINES.min(limit + 1);
        let page = hub.store.conversations(&caller.user, after.as_deref(), wanted).await;
        let page = page.map_err(store_away)?;
        after = page.last().map(|line| line.dest.to_string());
        let is_last = (page.len() as u64) < wanted;
        // Those that a token is not for don't count.
        for line in page.into_iter().filter(|line| caller.covers(&line.dest.seen_by(&caller.party))) {
            bytes += line.last.as_ref().map_or(0, |last| last.data.len());
            fits = bytes <= turn.bytes || found.is_empty();
            if !fits {
                break;
            }
            found.push(line);
        }
        if is_last {
            break;
        }
    }
    let more = !fits || found.len() as u64 > limit;
    let lines = found.iter().take(limit as usize).map(|line| {
        let last = line.last.as_ref().map(mqttchat_protocol::Entry::to_frame);
        let last = last.and_then(|frame| serde_json::from_slice::<Value>(frame.as_json()).ok());
        json!({
            "dest": line.dest, "title": line.title, "head": line.head, "read": line.read,
            "delivered": line.delivered, "last": last,
        })
    });
    Ok((lines.collect(), more))
}

/// Those users who come behind `after` by id, all or only those in one state, and whether there are more.
pub(crate) async fn users_page(
    hub: &Hub,
    state: Option<PersonState>,
    after: Option<&str>,
    limit: Option<u64>,
) -> Result<(Vec<Person>, bool), Refusal> {
    let limit = limit.unwrap_or(ROSTER_FIRST as u64).min(PAGE_MAX) as usize;
    let mut people = if state == Some(PersonState::Online) {
        hub.online_after(after, limit + 1)
    } else {
        let mut people = Vec::new();
        let mut after = after.map(str::to_owned);
        loop {
            let users = hub.store.users_page(after.as_deref(), limit as u64 + 1).await.map_err(store_away)?;
            let is_last = users.len() <= limit;
            after = users.last().map(|user| user.id.to_string());
            let shown = users.into_iter().map(|user| hub.shown(user));
            people.extend(shown.filter(|person| state.is_none() || person.state == state));
            if is_last || people.len() > limit {
                break people;
            }
        }
    };
    let more = people.len() > limit;
    people.truncate(limit);
    Ok((people, more))
}
