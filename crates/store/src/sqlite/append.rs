//! Appending one entry (docs/mqtt.md "The way of one message", step 2).
//!
//! The id is claimed first and everything else is checked after it. Most ids are new, so the insert itself claims:
//! what was there before is only looked for where that fails, or where something else would refuse the entry.

use std::sync::Arc;

use mqttchat_protocol::{Conversation, Entry, Party};
use rusqlite::{OptionalExtension, params};

use super::batch::{Batch, Head};
use super::fault::Fault;
use super::rows::{self, ENTRY_BY_ID, ENTRY_BY_INGEST};
use super::users::is_blocked;
use super::writer::Write;
use super::{changes, room_changes};
use crate::integer::signed;
use crate::{Access, AppendError, Appended, Done, IngestMark, NewEntry, StoreError};

/// An entry on its way.
pub(super) struct Append {
    entry: NewEntry,
    done: Done,
    verdict: Option<Verdict>,
}

/// What an append comes to, if the batch is committed.
pub(super) enum Verdict {
    /// It is stored, so numbered. `data`: where it isn't the new entry's.
    Stored { seq: u64, time: u64, position: u64, delivered_before: Option<u64>, data: Option<Box<str>> },
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
            (Ok(()), Some(Verdict::Stored { seq, time, position, delivered_before, data })) => {
                let entry = entry.into_entry(seq, time, position, data);
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
    if !new.from.is_foreign() && is_blocked(batch.connection(), &new.from)? {
        return Ok(Verdict::Refused(AppendError::Blocked));
    }
    if let Some(change) = &new.change {
        if let Some(sender) = batch.party(&new.from)?
            && let Some(verdict) = earlier(batch, sender, new)?
        {
            return Ok(verdict);
        }
        return match (change.target(), new.room_change()) {
            (Some(target), _) => changes::append(batch, new, change, target),
            (_, Some((id, change))) => room_changes::append(batch, new, id, change),
            _ => Ok(Verdict::Refused(AppendError::NotFound)),
        };
    }
    let (sender, head) = (batch.party(&new.from)?, batch.head(&new.conversation)?);
    if let (Some(sender), Some(head)) = (sender, head)
        && may_write(batch, new, head, Some(sender))?
    {
        return number(batch, sender, head, new, None);
    }
    // It may be refused or make new rows: only if it isn't an earlier entry's repetition.
    if let Some(sender) = sender
        && let Some(verdict) = earlier(batch, sender, new)?
    {
        return Ok(verdict);
    }
    let head = if new.may_address() { head_or_new(batch, head, new)? } else { None };
    let Some(head) = head else { return Ok(Verdict::Refused(AppendError::NotFound)) };
    if !may_write(batch, new, head, sender)? {
        return Ok(Verdict::Refused(AppendError::NotFound));
    }
    let sender = batch.party_or_new(&new.from)?;
    number(batch, sender, head, new, None)
}

fn may_write(batch: &mut Batch<'_>, new: &NewEntry, head: Head, sender: Option<i64>) -> Result<bool, Fault> {
    Ok(new.may_address() && batch.access(&new.conversation, head, sender)? != Access::None)
}

/// Numbers the entry and stores it, unless its id is taken. `data`: where it isn't the new entry's.
pub(super) fn number(
    batch: &mut Batch<'_>,
    sender: i64,
    head: Head,
    new: &NewEntry,
    data: Option<Box<str>>,
) -> Result<Verdict, Fault> {
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
        data.as_deref().unwrap_or(&new.data),
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
    Ok(Verdict::Stored { seq, time, position, delivered_before, data })
}

/// The conversation's head. A private one is made when all its users are known; a room has to be there.
fn head_or_new(batch: &mut Batch<'_>, head: Option<Head>, new: &NewEntry) -> Result<Option<Head>, Fault> {
    match (head, &new.conversation) {
        (Some(head), _) => Ok(Some(head)),
        (None, Conversation::Pair(one, other)) if are_users(batch, &new.conversation)? => {
            batch.new_pair(&new.conversation, one, other).map(Some)
        }
        (None, _) => Ok(None),
    }
}

/// Whether a conversation is a private one of users that are there, or of one and a stranger.
pub(super) fn are_users(batch: &Batch<'_>, conversation: &Conversation) -> Result<bool, Fault> {
    let Conversation::Pair(one, other) = conversation else { return Ok(false) };
    for party in [one, other] {
        if !party.is_foreign() && !is_user(batch, party)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn is_user(batch: &Batch<'_>, party: &Party) -> Result<bool, Fault> {
    let mut statement = batch.connection().prepare_cached("SELECT 1 FROM users WHERE id = ?1")?;
    Ok(statement.exists([party.as_str()])?)
}

/// What an earlier entry of this id makes of the new one; `None` when there is none.
fn earlier(batch: &Batch<'_>, sender: i64, new: &NewEntry) -> Result<Option<Verdict>, Fault> {
    let mut statement = batch.connection().prepare_cached(ENTRY_BY_ID)?;
    let found =
        statement.query_row(params![sender, new.id.as_str()], |row| Ok(rows::earlier(row))).optional()?;
    Ok(match found.transpose()? {
        None => None,
        Some(first) if first.is_same_as(new) => Some(Verdict::Again(Box::new(first.entry))),
        Some(_) => Some(Verdict::Refused(AppendError::IdConflict)),
    })
}

/// The entry that this redelivered publish was stored as, if it is.
fn ingested(batch: &Batch<'_>, mark: IngestMark, new: &NewEntry) -> Result<Option<Box<Entry>>, Fault> {
    let mut statement = batch.connection().prepare_cached(ENTRY_BY_INGEST)?;
    let found = statement
        .query_row(params![mark.packet, signed(mark.session)], |row| Ok(rows::earlier(row)))
        .optional()?;
    // The packet id may have been used for something else since.
    let first = found.transpose()?.filter(|first| first.entry.from == new.from && first.is_same_as(new));
    Ok(first.map(|first| Box::new(first.entry)))
}
