//! `join`: from here on this session is in the conversation.

use std::sync::Arc;

use mqttchat_protocol::{Conversation, Dest, Frame, Person, PersonState, Refusal, ServerFrame, UserId};
use mqttchat_store::User;
use serde::Serialize;

use crate::command::{Outcome, Re, store_away};
use crate::cursor::Cursor;
use crate::hub::{Hub, now_ms};
use crate::mail::Handle;
use crate::page::{frames, newest_that_fit, with_messages};
use crate::sequencer::Sequencer;
use crate::whois::first_people;

/// Joins, and answers with who is there and the newest entries up to the head; live ones follow from there.
///
/// A session that reads the conversation already stays where it is, `at` its last entry.
pub(crate) async fn join(
    hub: &Arc<Hub>,
    handle: &Arc<Handle>,
    re: &Re,
    dest: &Dest,
    history: u64,
    at: Option<u64>,
) -> Result<Outcome, Refusal> {
    let conversation = hub.readable(&handle.who, dest).await?;
    let sequencer = hub.sequencer(&conversation).await.map_err(store_away)?;
    if let Conversation::Room(_) = &conversation {
        // Changes of it were told by themselves, perhaps before they came here with the other entries.
        hub.level(&sequencer).await.map_err(store_away)?;
    }
    // Registered first, then read up to the position of this moment: nothing falls between.
    let mut cursor = Cursor::new(hub, handle, sequencer.clone());
    if let Conversation::Room(_) = &conversation {
        // Read again behind the registration: from here on it is the room's entries that take the right away.
        hub.readable(&handle.who, dest).await?;
    }
    cursor.join();
    let head = at.unwrap_or(cursor.position.seq);
    let wanted = history.min(hub.options.limits.history);
    let (people, status) = match &conversation {
        Conversation::Public | Conversation::Room(_) => {
            let (online, roster) = first_people(hub, &sequencer).await?;
            (People { head, online, roster, delivered: None, read: None }, None)
        }
        Conversation::Pair(..) => private(hub, handle, dest, &conversation, head).await?,
    };
    let turn = hub.pages.turn().await;
    let messages = newest(hub, &sequencer, wanted, head, turn.bytes).await?;
    let mut frames = vec![re.reply(&with_messages(&people, newest_that_fit(&messages, turn.bytes)))];
    frames.extend(status);
    Ok(Outcome { frames, cursors: vec![cursor], refusal: None })
}

/// What a join's reply has beside its entries.
#[derive(Serialize)]
struct People {
    head: u64,
    online: usize,
    roster: Vec<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<u64>,
}

/// The newest `count` entries up to `head`: from the ring, else from the store, which the ring then remembers; only the
/// newest where they are more than so many bytes.
async fn newest(
    hub: &Hub,
    sequencer: &Sequencer,
    count: u64,
    head: u64,
    bytes: usize,
) -> Result<Vec<Frame>, Refusal> {
    if let Some(frames) = sequencer.newest(count, head) {
        return Ok(frames);
    }
    let changes = sequencer.changes();
    let read = hub.store.entries_before_within(&sequencer.conversation, Some(head + 1), count, bytes).await;
    let entries = read.map_err(store_away)?;
    sequencer.remember(&entries, changes);
    Ok(frames(&entries))
}

/// What a private conversation's reply has beside its entries, and the partner's `status`.
async fn private(
    hub: &Hub,
    handle: &Handle,
    dest: &Dest,
    conversation: &Conversation,
    head: u64,
) -> Result<(People, Option<Frame>), Refusal> {
    let partner = match dest {
        Dest::Private(partner) => partner,
        Dest::Public | Dest::Room(_) => &handle.who.party,
    };
    let cursors = hub.store.cursors(conversation).await.map_err(store_away)?;
    let theirs = cursors.iter().find(|cursor| *partner == cursor.user);
    let mut roster: Vec<Person> = hub.person(&handle.who.user).await?.into_iter().collect();
    let mut status = None;
    if let Some(user) = partner.user().filter(|user| *user != handle.who.user) {
        let person = hub.person(&user).await?;
        status = person.as_ref().map(|person| {
            let state = person.state.unwrap_or(PersonState::Offline);
            ServerFrame::Status { from: &user, state, last_seen: person.last_seen }.to_frame()
        });
        roster.extend(person);
    }
    let people = People {
        head,
        online: roster.iter().filter(|person| person.state == Some(PersonState::Online)).count(),
        roster,
        delivered: Some(theirs.map_or(0, |cursor| cursor.delivered)),
        read: Some(theirs.map_or(0, |cursor| cursor.read)),
    };
    Ok((people, status))
}

impl Hub {
    /// A user as the rosters of private conversations show them; `None` when there is no such.
    pub(crate) async fn person(&self, id: &UserId) -> Result<Option<Person>, Refusal> {
        Ok(self.store.user(id).await.map_err(store_away)?.map(|user| self.shown(user)))
    }

    /// A user as others see them.
    pub(crate) fn shown(&self, user: User) -> Person {
        let online = self.is_anywhere(&user.id);
        Person {
            id: user.id,
            name: user.name,
            state: Some(if online { PersonState::Online } else { PersonState::Offline }),
            last_seen: if online { now_ms() } else { user.last_seen },
        }
    }
}
