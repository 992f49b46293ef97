//! What the writes of a batch come to, one after the other, from what was read and locked for all of them
//! (docs/mqtt.md "The way of one message", step 2).

use std::collections::{BTreeMap, HashMap, HashSet};

use mqttchat_protocol::{Conversation, EntryKind, Party, RoomChange, RoomId, Target};

use super::changes::Messages;
use super::fault::Fault;
use super::names::Names;
use super::room_changes::Rooms;
use super::write::{Move, Verdict, Which, Write};
use crate::change::{Earlier, ROOM, SEQ, with_member};
use crate::integer::signed;
use crate::rooms::Wish;
use crate::{Access, AppendError, Change, NewEntry};

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) time: u64,
    /// Of its newest entry, when it is of this batch.
    pub(super) position: Option<i64>,
}

/// Where a user stands in a conversation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    pub(super) delivered: u64,
    pub(super) read: u64,
    /// Whether it is to be written.
    pub(super) changed: bool,
}

/// An entry that is stored.
pub(super) struct Stored {
    pub(super) write: usize,
    pub(super) sender: i64,
    pub(super) conversation: i64,
    pub(super) seq: i64,
    pub(super) time: i64,
    pub(super) position: i64,
    /// Its data, where it isn't the new entry's.
    pub(super) data: Option<Box<str>>,
}

/// Who appends where, by number.
#[derive(Clone, Copy)]
struct Writer {
    sender: i64,
    conversation: i64,
}

fn not_found() -> Verdict {
    Verdict::Refused(AppendError::NotFound)
}

/// A delivered cursor that moved over the entries above `after`, or, without `after`, a read cursor that moved.
pub(super) struct Moved {
    pub(super) party: i64,
    pub(super) conversation: i64,
    pub(super) after: Option<u64>,
    pub(super) upto: u64,
}

/// What was read, changed by each write in turn.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) now: u64,
    /// Positions to give, the lowest last.
    pub(super) positions: Vec<i64>,
    pub(super) heads: HashMap<i64, Head>,
    /// By party and conversation, in the order in which all write them.
    pub(super) cursors: BTreeMap<(i64, i64), Cursor>,
    /// Authors whom an operator has locked out.
    pub(super) blocked: HashSet<i64>,
    /// Those that somebody is to be told of.
    pub(super) moves: Vec<Moved>,
    /// What is stored of the ids in the batch.
    pub(super) existing: HashMap<(i64, String), Earlier>,
    /// What came in by the packet ids that are redelivered, by session.
    pub(super) ingested: HashMap<(u16, u64), Earlier>,
    /// The messages and rooms that may be changed.
    pub(super) messages: Messages,
    pub(super) rooms: Rooms,
    pub(super) stored: Vec<Stored>,
    /// The packet ids to remember, with session and position.
    pub(super) marks: BTreeMap<u16, (u64, i64)>,
    /// Which write of the batch stored an id, or a packet id.
    by_id: HashMap<(i64, String), usize>,
    by_mark: HashMap<(u16, u64), usize>,
}

impl Plan {
    /// What each of the writes comes to.
    pub(super) fn decide(&mut self, names: &Names, writes: &[Write]) -> Result<Vec<Verdict>, Fault> {
        let mut verdicts = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().enumerate() {
            verdicts.push(match write {
                Write::Append { entry, .. } => self.append(names, writes, index, entry)?,
                Write::Move(to) => Verdict::Moved(self.move_cursor(names, to)),
                Write::Probe => Verdict::Probed,
            });
        }
        Ok(verdicts)
    }

    fn append(
        &mut self,
        names: &Names,
        writes: &[Write],
        index: usize,
        entry: &NewEntry,
    ) -> Result<Verdict, Fault> {
        if let Some(again) = self.redelivered(writes, entry) {
            return Ok(again);
        }
        let sender = names.party(&entry.from).map(|number| number.id);
        if sender.is_some_and(|sender| self.blocked.contains(&sender)) {
            return Ok(Verdict::Refused(AppendError::Blocked));
        }
        if let Some(sender) = sender
            && let Some(verdict) = self.earlier(writes, sender, entry)
        {
            return Ok(verdict);
        }
        let (Some(sender), Some(conversation), true) =
            (sender, names.conversation(&entry.conversation), names.may_be_stored(entry))
        else {
            // Whoever makes a room has to be somebody; of an unknown one there is nothing to say.
            let makes = matches!(entry.room_change(), Some((_, RoomChange::Create { .. })));
            return Ok(if makes { Verdict::Refused(AppendError::NoSuchUser) } else { not_found() });
        };
        let writer = Writer { sender, conversation };
        match (&entry.change, entry.room_change()) {
            (_, Some((id, change))) => self.change_room(names, index, entry, writer, id, change),
            (None, _) if self.access(entry, writer) == Access::None => Ok(not_found()),
            (None, _) => self.store(names, index, entry, writer, None),
            (Some(change), _) => match change.target() {
                Some(target) => self.change_message(names, index, entry, writer, change, target),
                None => Ok(not_found()),
            },
        }
    }

    /// What the author of an entry may do where it is to stand.
    fn access(&self, entry: &NewEntry, writer: Writer) -> Access {
        match &entry.conversation {
            Conversation::Room(_) => self.rooms.access(writer.conversation, &entry.from, writer.sender),
            Conversation::Public | Conversation::Pair(..) => Access::Open,
        }
    }

    fn change_message(
        &mut self,
        names: &Names,
        index: usize,
        entry: &NewEntry,
        writer: Writer,
        change: &Change,
        target: &Target,
    ) -> Result<Verdict, Fault> {
        let access = self.access(entry, writer);
        if access == Access::None {
            return Ok(not_found());
        }
        let looked = self.messages.look_at(writer.conversation, target, change);
        let allowed =
            looked.and_then(|(seq, author)| change.check(&entry.from, &author, access).map(|()| seq));
        let seq = match allowed {
            Ok(seq) => seq,
            Err(refusal) => return Ok(Verdict::Refused(refusal)),
        };
        let unreadable = || Fault::Unreadable("the data of a change".into());
        let data = with_member(&entry.data, SEQ, seq.into()).ok_or_else(unreadable)?;
        let verdict = self.store(names, index, entry, writer, Some(data.clone()))?;
        let Verdict::Stored { time, position, .. } = verdict else { return Ok(verdict) };
        let (what, place) = ((change, &*data), (time, signed(position)));
        self.messages
            .apply(writer.conversation, target, what, writer.sender, place)
            .ok_or_else(unreadable)?;
        Ok(verdict)
    }

    fn change_room(
        &mut self,
        names: &Names,
        index: usize,
        entry: &NewEntry,
        writer: Writer,
        id: &RoomId,
        change: &RoomChange,
    ) -> Result<Verdict, Fault> {
        let Head { seq, time, .. } = self.heads.get(&writer.conversation).copied().unwrap_or_default();
        let wish = Wish { id, change, from: &entry.from, now: self.now.max(time), seq: seq + 1 };
        let after = match self.rooms.grant(writer.conversation, &wish) {
            Ok(room) => room,
            Err(refusal) => return Ok(Verdict::Refused(refusal)),
        };
        let mut users = wish.users().iter().map(Party::from).chain([entry.from.clone()]);
        if users.any(|user| names.user(&user).is_none()) {
            return Ok(Verdict::Refused(AppendError::NoSuchUser));
        }
        let data = serde_json::to_value(&after).ok().and_then(|room| with_member(&entry.data, ROOM, room));
        let data = data.ok_or_else(|| Fault::Unreadable("the data of a room entry".into()))?;
        let verdict = self.store(names, index, entry, writer, Some(data))?;
        self.rooms.apply(writer.conversation, change, after, seq + 1);
        if *change == RoomChange::Delete {
            self.messages.forget(writer.conversation);
        }
        Ok(verdict)
    }

    /// Numbers the entry. `data`: where it isn't the new entry's.
    fn store(
        &mut self,
        names: &Names,
        index: usize,
        entry: &NewEntry,
        Writer { sender, conversation }: Writer,
        data: Option<Box<str>>,
    ) -> Result<Verdict, Fault> {
        let missing = |what: &str| Fault::Unreadable(format!("{what} of conversation {conversation}"));
        let position = self.positions.pop().ok_or_else(|| missing("no position for an entry"))?;
        let head = self.heads.get_mut(&conversation).ok_or_else(|| missing("no head"))?;
        let before = head.seq;
        *head = Head { seq: before + 1, time: self.now.max(head.time), position: Some(position) };
        let Head { seq, time, .. } = *head;
        let mut delivered_before = None;
        if let Conversation::Pair(one, other) = &entry.conversation {
            if before == 0 {
                self.put_on_lists(names, conversation, [one, other]);
            }
            if !entry.from.is_foreign() {
                let cursor = self.cursors.entry((sender, conversation)).or_default();
                delivered_before = (cursor.delivered < before).then_some(cursor.delivered);
                (cursor.delivered, cursor.changed) = (seq, true);
                if let Some(after) = delivered_before {
                    self.moves.push(Moved { party: sender, conversation, after: Some(after), upto: before });
                }
            }
        }
        if let Some(mark) = entry.ingest {
            self.marks.insert(mark.packet, (mark.session, position));
            self.by_mark.insert((mark.packet, mark.session), index);
        }
        self.by_id.insert((sender, entry.id.as_str().to_owned()), index);
        let (stored_seq, stored_time) = (signed(seq), signed(time));
        self.stored.push(Stored {
            write: index,
            sender,
            conversation,
            seq: stored_seq,
            time: stored_time,
            position,
            data: data.clone(),
        });
        if entry.kind == EntryKind::Msg {
            self.messages.stored(conversation, entry, seq, position);
        }
        let position = crate::integer::unsigned(position);
        Ok(Verdict::Stored { seq, time, position, delivered_before, data })
    }

    /// The first entry of a private conversation puts it on the lists of its users.
    fn put_on_lists(&mut self, names: &Names, conversation: i64, parties: [&Party; 2]) {
        for party in parties.into_iter().filter(|party| !party.is_foreign()) {
            if let Some(user) = names.user(party) {
                self.cursors.entry((user, conversation)).or_default().changed = true;
            }
        }
    }

    /// What an earlier entry of this id makes of the new one; `None` when there is none.
    fn earlier(&self, writes: &[Write], sender: i64, entry: &NewEntry) -> Option<Verdict> {
        let key = (sender, entry.id.as_str().to_owned());
        if let Some(first) = self.existing.get(&key) {
            return Some(if first.is_same_as(entry) {
                Verdict::Again(Box::new(first.entry.clone()))
            } else {
                Verdict::Refused(AppendError::IdConflict)
            });
        }
        let index = *self.by_id.get(&key)?;
        let Some(Write::Append { entry: first, .. }) = writes.get(index) else { return None };
        Some(if entry.is_same_new(first) {
            Verdict::SameAs(index)
        } else {
            Verdict::Refused(AppendError::IdConflict)
        })
    }

    /// The entry that this redelivered publish was stored as, if it is. The packet id may have been used for
    /// something else since.
    fn redelivered(&self, writes: &[Write], entry: &NewEntry) -> Option<Verdict> {
        let mark = entry.ingest.filter(|mark| mark.redelivered)?;
        let key = (mark.packet, mark.session);
        if let Some(index) = self.by_mark.get(&key) {
            let Some(Write::Append { entry: first, .. }) = writes.get(*index) else { return None };
            return (first.from == entry.from && entry.is_same_new(first)).then_some(Verdict::SameAs(*index));
        }
        let first = self.ingested.get(&key)?;
        (first.entry.from == entry.from && first.is_same_as(entry))
            .then(|| Verdict::Again(Box::new(first.entry.clone())))
    }

    fn move_cursor(&mut self, names: &Names, to: &Move) -> Option<u64> {
        let (user, conversation) = (names.user(&to.user)?, names.conversation(&to.conversation)?);
        let seq = to.seq.min(self.heads.get(&conversation)?.seq);
        match to.which {
            Which::Delivered => {
                let cursor = self.cursors.get_mut(&(user, conversation))?;
                let before = cursor.delivered;
                if seq <= before {
                    return None;
                }
                (cursor.delivered, cursor.changed) = (seq, true);
                self.moves.push(Moved { party: user, conversation, after: Some(before), upto: seq });
                Some(before)
            }
            Which::Read => {
                let read = self.cursors.get(&(user, conversation)).map_or(0, |cursor| cursor.read);
                if seq <= read {
                    return None;
                }
                let cursor = self.cursors.entry((user, conversation)).or_default();
                (cursor.read, cursor.changed) = (seq, true);
                // Nobody is told who has read what is said in public.
                if to.conversation != Conversation::Public {
                    self.moves.push(Moved { party: user, conversation, after: None, upto: seq });
                }
                Some(seq)
            }
        }
    }
}
