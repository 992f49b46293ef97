//! The numbers that parties and conversations have in the database.
//!
//! They never change, so they are remembered. Those that are missing are made before the transaction that needs
//! them, in ones of their own: a number that nothing refers to harms nobody, and no lock is held for it.

use std::collections::{BTreeSet, HashMap};

use mqttchat_protocol::{Conversation, Party, RoomChange};

use super::fault::Fault;
use super::rows::{parsed, value};
use super::session::{Params, Session};
use super::write::Write;
use crate::NewEntry;

/// How many conversations or parties are remembered before all are forgotten, a few MB.
const KNOWN: usize = 20_000;

pub(super) const PARTIES: &str = "
    SELECT p.name, p.id, u.party IS NOT NULL FROM parties p LEFT JOIN users u ON u.party = p.id
    WHERE p.name = ANY($1)";
pub(super) const CONVERSATIONS: &str = "SELECT key, id FROM conversations WHERE key = ANY($1)";
const NEW_PARTIES: &str = "
    INSERT INTO parties (name) SELECT name FROM unnest($1::text[]) AS n(name) ORDER BY name COLLATE \"C\"
    ON CONFLICT DO NOTHING";
const NEW_PAIRS: &str = "
    INSERT INTO conversations (key, one, other)
    SELECT key, one, other FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n(key, one, other)
    ORDER BY key COLLATE \"C\" ON CONFLICT DO NOTHING";

/// A room's conversation stays when the room is deleted: its numbers go on.
const NEW_ROOMS: &str = "
    INSERT INTO conversations (key) SELECT key FROM unnest($1::text[]) AS n(key) ORDER BY key COLLATE \"C\"
    ON CONFLICT DO NOTHING";

/// A party's number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) id: i64,
    pub(super) is_user: bool,
}

/// What is known of the numbers.
#[derive(Default)]
pub(super) struct Names {
    parties: HashMap<Party, Number>,
    conversations: HashMap<Conversation, i64>,
}

impl Names {
    /// Keeps it small. Between two batches.
    pub(super) fn limit(&mut self) {
        if self.parties.len() > KNOWN {
            self.parties.clear();
        }
        if self.conversations.len() > KNOWN {
            self.conversations.clear();
        }
    }

    pub(super) fn party(&self, party: &Party) -> Option<Number> {
        self.parties.get(party).copied()
    }

    pub(super) fn user(&self, party: &Party) -> Option<i64> {
        self.party(party).filter(|number| number.is_user).map(|number| number.id)
    }

    pub(super) fn conversation(&self, conversation: &Conversation) -> Option<i64> {
        self.conversations.get(conversation).copied()
    }

    /// Whether the entry may be stored: its author can write there, and whoever has to be a user is one.
    pub(super) fn may_be_stored(&self, entry: &NewEntry) -> bool {
        entry.may_address()
            && match &entry.conversation {
                Conversation::Pair(one, other) => {
                    [one, other].iter().all(|party| party.is_foreign() || self.user(party).is_some())
                }
                conversation => self.conversation(conversation).is_some(),
            }
    }

    /// Learns all that these writes need, and makes what is missing for those entries that may be stored.
    pub(super) async fn learn(&mut self, session: &Session, writes: &[Write]) -> Result<(), Fault> {
        self.look_up(session, writes).await?;
        let mut names = BTreeSet::new();
        let (mut pairs, mut rooms) = (Vec::new(), BTreeSet::new());
        for entry in writes.iter().filter_map(entry) {
            if let Some((_, RoomChange::Create { .. })) = entry.room_change()
                && self.user(&entry.from).is_some()
                && self.conversation(&entry.conversation).is_none()
            {
                rooms.insert(entry.conversation.to_string());
            }
            if !self.may_be_stored(entry) {
                continue;
            }
            if self.party(&entry.from).is_none() {
                names.insert(entry.from.as_str());
            }
            if self.conversation(&entry.conversation).is_none()
                && let Conversation::Pair(one, other) = &entry.conversation
            {
                pairs.push((&entry.conversation, one, other));
            }
        }
        if !names.is_empty() {
            let names: Vec<&str> = names.into_iter().collect();
            session.query(NEW_PARTIES, &[&names]).await?;
            self.look_up(session, writes).await?;
        }
        if !pairs.is_empty() {
            let (mut keys, mut ones, mut others) = (Vec::new(), Vec::new(), Vec::new());
            for (pair, one, other) in pairs {
                if let (Some(one), Some(other)) = (self.party(one), self.party(other)) {
                    keys.push(pair.to_string());
                    ones.push(one.id);
                    others.push(other.id);
                }
            }
            session.query(NEW_PAIRS, &[&keys, &ones, &others]).await?;
            self.look_up(session, writes).await?;
        }
        if !rooms.is_empty() {
            let keys: Vec<String> = rooms.into_iter().collect();
            session.query(NEW_ROOMS, &[&keys]).await?;
            self.look_up(session, writes).await?;
        }
        Ok(())
    }

    /// Asks for what isn't known. Whoever is not a user may have become one.
    async fn look_up(&mut self, session: &Session, writes: &[Write]) -> Result<(), Fault> {
        let mut parties = BTreeSet::new();
        let mut conversations = BTreeSet::new();
        let mut need = |party: &Party| {
            if self.party(party).is_none_or(|known| !known.is_user && !party.is_foreign()) {
                parties.insert(party.to_string());
            }
        };
        for write in writes {
            let conversation = match write {
                Write::Append { entry, .. } => {
                    need(&entry.from);
                    match entry.room_change() {
                        Some((_, RoomChange::Create { members, .. })) => {
                            members.iter().for_each(|member| need(&member.into()));
                        }
                        Some((_, RoomChange::AddMember(user))) => need(&user.into()),
                        _ => {}
                    }
                    &entry.conversation
                }
                Write::Move(to) => {
                    need(&to.user);
                    &to.conversation
                }
                Write::Probe => continue,
            };
            if let Conversation::Pair(one, other) = conversation {
                need(one);
                need(other);
            }
            if self.conversation(conversation).is_none() {
                conversations.insert(conversation.to_string());
            }
        }
        if parties.is_empty() && conversations.is_empty() {
            return Ok(());
        }
        let parties: Vec<String> = parties.into_iter().collect();
        let conversations: Vec<String> = conversations.into_iter().collect();
        let (parties, conversations): (Params<'_>, Params<'_>) = (&[&parties], &[&conversations]);
        let (parties, conversations) =
            tokio::try_join!(session.query(PARTIES, parties), session.query(CONVERSATIONS, conversations))?;
        for row in &parties {
            let number = Number { id: value(row, 1)?, is_user: value(row, 2)? };
            self.parties.insert(parsed(row, 0, Party::parse)?, number);
        }
        for row in &conversations {
            self.conversations.insert(parsed(row, 0, Conversation::parse)?, value(row, 1)?);
        }
        Ok(())
    }
}

fn entry(write: &Write) -> Option<&NewEntry> {
    match write {
        Write::Append { entry, .. } => Some(entry),
        Write::Move(_) | Write::Probe => None,
    }
}
