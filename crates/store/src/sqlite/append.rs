//! Appending one entry (docs/mqtt.md "The way of one message", step 2).
//!
//! The id is claimed first and everything else is checked after it. Most ids are new, so the insert itself claims:
//! what was there before is only looked for where that fails, or where something else would refuse the entry.

use std::sync::Arc;

use mqttchat_protocol::{Conversation, Entry, Party};
use rusqlite::{OptionalExtension, params};

use super::batch::{Batch, Head};
use super::fault::Fault;
use super::rows::{ENTRY_BY_ID, ENTRY_BY_INGEST, entry_with_conversation};
use super::writer::Write;
use crate::integer::signed;
use crate::{AppendError, Appended, Done, IngestMark, NewEntry, StoreError};

/// An entry on its way.
pub(super) struct Append {
    entry: NewEntry,
    done: Done,
    verdict: Option<Verdict>,
}

/// What an append comes to, if the batch is committed.
enum Verdict {
    /// It is stored, so numbered.
    Stored { seq: u64, time: u64, position: u64, delivered_before: Option<u64> },
    /// It was there before.
    Again(Box<Entry>),
    /// It isn't stored.
    Refused(AppendError),
}

impl Append {
    pub(super) fn new(entry: NewEntry, done: Done) -> Self {
        Self { entry, done, verdict: None }
    }
}

impl Write for Append {
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Fault> {
        self.verdict = Some(append(batch, &self.entry)?);
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<(), &StoreError>) {
        let Self { entry, done, verdict } = *self;
        done(match (committed, verdict) {
            (Err(error), _) => Err(error.into()),
            (Ok(()), None) => Err((&StoreError::closed()).into()),
            (Ok(()), Some(Verdict::Refused(refusal))) => Err(refusal),
            (Ok(()), Some(Verdict::Again(first))) => {
                Ok(Appended { entry: Arc::from(first), fresh: false, delivered_before: None })
            }
            (Ok(()), Some(Verdict::Stored { seq, time, position, delivered_before })) => {
                let NewEntry { conversation, kind, id, from, name, data, ingest: _ } = entry;
                let entry =
                    Entry { conversation, seq, time, kind, id, from, name, data, marks: None, position };
                Ok(Appended { entry: Arc::new(entry), fresh: true, delivered_before })
            }
        });
    }
}

fn append(batch: &mut Batch<'_>, new: &NewEntry) -> Result<Verdict, Fault> {
    if let Some(mark) = new.ingest
        && mark.redelivered
        && let Some(first) = ingested(batch, mark, new)?
    {
        return Ok(Verdict::Again(first));
    }
    let (sender, head) = match (batch.party(&new.from)?, batch.head(&new.conversation)?) {
        (Some(sender), Some(head)) if new.may_address() => (sender, head),
        (sender, head) => {
            // It may be refused or make new rows: only if it isn't an earlier entry's repetition.
            if let Some(sender) = sender
                && let Some(verdict) = earlier(batch, sender, new)?
            {
                return Ok(verdict);
            }
            let Some(head) = (if new.may_address() { head_or_new(batch, head, new)? } else { None }) else {
                return Ok(Verdict::Refused(AppendError::NotFound));
            };
            (batch.party_or_new(&new.from)?, head)
        }
    };
    store(batch, sender, head, new)
}

/// Numbers the entry and stores it, unless its id is taken.
fn store(batch: &mut Batch<'_>, sender: i64, head: Head, new: &NewEntry) -> Result<Verdict, Fault> {
    let (seq, time, position) = (head.seq + 1, batch.now().max(head.time), batch.next_position()?);
    let mut statement = batch.connection().prepare_cached(
        "INSERT INTO entries (position, conversation, seq, time, kind, sender, id, name, node, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (sender, id) DO NOTHING",
    )?;
    let stored = statement.execute(params![
        signed(position),
        head.id,
        signed(seq),
        signed(time),
        new.kind.as_str(),
        sender,
        new.id.as_str(),
        &*new.name,
        batch.node(),
        &*new.data,
    ])?;
    if stored == 0 {
        return earlier(batch, sender, new)?
            .ok_or_else(|| Fault::Unreadable(format!("the id of entry {position} is taken by none")));
    }
    batch.moved(&new.conversation, Head { id: head.id, seq, time }, position);
    let mut delivered_before = None;
    if matches!(new.conversation, Conversation::Pair(..)) && !new.from.is_foreign() {
        let before = batch.delivered(sender, head.id, seq)?;
        delivered_before = (before < head.seq).then_some(before);
    }
    if let Some(mark) = new.ingest {
        let mut statement = batch.connection().prepare_cached(
            "INSERT INTO ingested (packet, session, position) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET session = excluded.session, position = excluded.position",
        )?;
        statement.execute(params![mark.packet, signed(mark.session), signed(position)])?;
    }
    Ok(Verdict::Stored { seq, time, position, delivered_before })
}

/// The conversation's head. A private one is made when all its users are known; a room has to be there.
fn head_or_new(batch: &mut Batch<'_>, head: Option<Head>, new: &NewEntry) -> Result<Option<Head>, Fault> {
    match (head, &new.conversation) {
        (Some(head), _) => Ok(Some(head)),
        (None, Conversation::Pair(one, other)) => {
            for party in [one, other] {
                if !party.is_foreign() && !is_user(batch, party)? {
                    return Ok(None);
                }
            }
            batch.new_pair(&new.conversation, one, other).map(Some)
        }
        (None, Conversation::Public | Conversation::Room(_)) => Ok(None),
    }
}

fn is_user(batch: &Batch<'_>, party: &Party) -> Result<bool, Fault> {
    let mut statement = batch.connection().prepare_cached("SELECT 1 FROM users WHERE id = ?1")?;
    Ok(statement.exists([party.as_str()])?)
}

/// What an earlier entry of this id makes of the new one; `None` when there is none.
fn earlier(batch: &Batch<'_>, sender: i64, new: &NewEntry) -> Result<Option<Verdict>, Fault> {
    let mut statement = batch.connection().prepare_cached(ENTRY_BY_ID)?;
    let found = statement
        .query_row(params![sender, new.id.as_str()], |row| Ok(entry_with_conversation(row)))
        .optional()?;
    Ok(match found.transpose()? {
        None => None,
        Some(first) if new.is_same_as(&first) => Some(Verdict::Again(Box::new(first))),
        Some(_) => Some(Verdict::Refused(AppendError::IdConflict)),
    })
}

/// The entry that this redelivered publish was stored as, if it is.
fn ingested(batch: &Batch<'_>, mark: IngestMark, new: &NewEntry) -> Result<Option<Box<Entry>>, Fault> {
    let mut statement = batch.connection().prepare_cached(ENTRY_BY_INGEST)?;
    let found = statement
        .query_row(params![mark.packet, signed(mark.session)], |row| Ok(entry_with_conversation(row)))
        .optional()?;
    // The packet id may have been used for something else since.
    Ok(found.transpose()?.filter(|first| first.from == new.from && new.is_same_as(first)).map(Box::new))
}
