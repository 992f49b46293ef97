//! One transaction of the writer, and what it needn't ask the database for.

use std::collections::HashMap;

use mqttchat_protocol::{Conversation, Party};
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::rooms::access;
use crate::Access;
use crate::integer::{signed, unsigned};

/// How many conversations or parties are remembered before all are forgotten, a few MB.
const KNOWN: usize = 20_000;

/// What the writer knows of what is committed. Only ever a copy: after a failed commit it is thrown away.
#[derive(Default)]
pub(super) struct Known {
    /// The node whose appends these are.
    pub(super) node: Option<i64>,
    /// The last position given.
    pub(super) position: Option<u64>,
    /// Whether a room was deleted whose entries are still there.
    pub(super) chores: bool,
    conversations: HashMap<Conversation, Head>,
    parties: HashMap<Party, i64>,
    /// What parties may do in rooms, both by number.
    access: HashMap<(i64, i64), Access>,
}

/// Where a conversation stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The conversation's number.
    pub(super) id: i64,
    /// Its newest entry; 0 when it has none.
    pub(super) seq: u64,
    /// That entry's time.
    pub(super) time: u64,
}

impl Known {
    /// Knows only whose appends these are.
    pub(super) fn nothing_but(node: Option<i64>) -> Self {
        Self { node, ..Self::default() }
    }

    /// Keeps it small. Between two batches.
    pub(super) fn limit(&mut self) {
        if self.conversations.len() > KNOWN {
            self.conversations.clear();
        }
        if self.parties.len() > KNOWN {
            self.parties.clear();
        }
        if self.access.len() > KNOWN {
            self.access.clear();
        }
    }
}

/// One transaction.
pub(super) struct Batch<'a> {
    connection: &'a Connection,
    known: &'a mut Known,
    now: u64,
    /// Delivered cursors (party, conversation) that own entries move, written once at the end.
    delivered: HashMap<(i64, i64), u64>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(connection: &'a Connection, known: &'a mut Known, now: u64) -> Self {
        Self { connection, known, now, delivered: HashMap::new() }
    }

    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// The time of all that happens in this transaction, Unix time in ms.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn node(&self) -> Option<i64> {
        self.known.node
    }

    /// Whose appends follow.
    pub(super) fn set_node(&mut self, node: i64) {
        self.known.node = Some(node);
    }

    /// The number of a party that has one.
    pub(super) fn party(&mut self, party: &Party) -> Result<Option<i64>, Fault> {
        if let Some(id) = self.known.parties.get(party) {
            return Ok(Some(*id));
        }
        let mut statement = self.connection.prepare_cached("SELECT id FROM parties WHERE name = ?1")?;
        let id = statement.query_row([party.as_str()], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.known.parties.insert(party.clone(), id);
        }
        Ok(id)
    }

    /// The number of a party, given now if it has none.
    pub(super) fn party_or_new(&mut self, party: &Party) -> Result<i64, Fault> {
        if let Some(id) = self.party(party)? {
            return Ok(id);
        }
        let mut statement = self.connection.prepare_cached("INSERT INTO parties (name) VALUES (?1)")?;
        let id = statement.insert([party.as_str()])?;
        self.known.parties.insert(party.clone(), id);
        Ok(id)
    }

    /// Where a conversation stands; `None` when it has never had an entry, or is a room that isn't there.
    pub(super) fn head(&mut self, conversation: &Conversation) -> Result<Option<Head>, Fault> {
        if let Some(head) = self.known.conversations.get(conversation) {
            return Ok(Some(*head));
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT c.id, coalesce(e.seq, 0), coalesce(e.time, 0)
             FROM conversations c
             LEFT JOIN entries e ON e.conversation = c.id
                 AND e.seq = (SELECT max(seq) FROM entries WHERE conversation = c.id)
             WHERE c.key = ?1",
        )?;
        let head = statement
            .query_row([conversation.to_string()], |row| {
                Ok(Head { id: row.get(0)?, seq: unsigned(row.get(1)?), time: unsigned(row.get(2)?) })
            })
            .optional()?;
        if let Some(head) = head {
            self.known.conversations.insert(conversation.clone(), head);
        }
        Ok(head)
    }

    /// What a party may do in a conversation that is there; `party`: its number, if it has one.
    pub(super) fn access(
        &mut self,
        conversation: &Conversation,
        head: Head,
        party: Option<i64>,
    ) -> Result<Access, Fault> {
        if !matches!(conversation, Conversation::Room(_)) {
            return Ok(Access::Open);
        }
        // Numbers begin at 1.
        let key = (head.id, party.unwrap_or(0));
        if let Some(access) = self.known.access.get(&key) {
            return Ok(*access);
        }
        let access = access(self.connection, key.0, key.1)?;
        self.known.access.insert(key, access);
        Ok(access)
    }

    /// Notes that a room is otherwise from here on.
    pub(super) fn room_changed(&mut self) {
        self.known.access.clear();
    }

    /// Notes that there is something to remove.
    pub(super) fn has_chores(&mut self) {
        self.known.chores = true;
    }

    /// Makes a room's conversation, which stays when the room is deleted.
    pub(super) fn new_room(&mut self, conversation: &Conversation) -> Result<Head, Fault> {
        let mut statement = self.connection.prepare_cached("INSERT INTO conversations (key) VALUES (?1)")?;
        let head = Head { id: statement.insert([conversation.to_string()])?, seq: 0, time: 0 };
        self.known.conversations.insert(conversation.clone(), head);
        Ok(head)
    }

    /// Makes a private conversation. Its users get their cursors, which puts it on their lists.
    pub(super) fn new_pair(
        &mut self,
        conversation: &Conversation,
        one: &Party,
        other: &Party,
    ) -> Result<Head, Fault> {
        let (first, second) = (self.party_or_new(one)?, self.party_or_new(other)?);
        let mut statement = self
            .connection
            .prepare_cached("INSERT INTO conversations (key, one, other) VALUES (?1, ?2, ?3)")?;
        let id = statement.insert(params![conversation.to_string(), first, second])?;
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO cursors (party, conversation) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?;
        for (party, number) in [(one, first), (other, second)] {
            if !party.is_foreign() {
                statement.execute([number, id])?;
            }
        }
        let head = Head { id, seq: 0, time: 0 };
        self.known.conversations.insert(conversation.clone(), head);
        Ok(head)
    }

    /// Notes that a conversation has another entry.
    pub(super) fn moved(&mut self, conversation: &Conversation, head: Head, position: u64) {
        if let Some(known) = self.known.conversations.get_mut(conversation) {
            *known = head;
        } else {
            self.known.conversations.insert(conversation.clone(), head);
        }
        self.known.position = Some(position);
    }

    /// The position that the next entry gets.
    pub(super) fn next_position(&mut self) -> Result<u64, Fault> {
        let last = match self.known.position {
            Some(last) => last,
            None => {
                let mut statement =
                    self.connection.prepare_cached("SELECT coalesce(max(position), 0) FROM entries")?;
                unsigned(statement.query_row([], |row| row.get(0))?)
            }
        };
        Ok(last + 1)
    }

    /// Notes that a party's own entry is delivered to it; says where its cursor stood before.
    pub(super) fn delivered(&mut self, party: i64, conversation: i64, seq: u64) -> Result<u64, Fault> {
        let before = match self.delivered.insert((party, conversation), seq) {
            Some(before) => before,
            None => self.delivered_cursor(party, conversation)?.unwrap_or(0),
        };
        Ok(before)
    }

    /// The delivered cursor as it is written; `None` where there is none.
    pub(super) fn delivered_cursor(&self, party: i64, conversation: i64) -> Result<Option<u64>, Fault> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT delivered FROM cursors WHERE party = ?1 AND conversation = ?2")?;
        let cursor = statement.query_row([party, conversation], |row| row.get(0)).optional()?;
        Ok(cursor.map(unsigned))
    }

    /// Writes the cursors noted so far.
    pub(super) fn settle_cursors(&mut self) -> Result<(), Fault> {
        if self.delivered.is_empty() {
            return Ok(());
        }
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO cursors (party, conversation, delivered) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET delivered = max(delivered, excluded.delivered)",
        )?;
        for ((party, conversation), seq) in self.delivered.drain() {
            statement.execute(params![party, conversation, signed(seq)])?;
        }
        Ok(())
    }
}
