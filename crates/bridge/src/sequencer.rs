//! One conversation on this node: it alone orders, drops repetitions, notices holes, and holds what is delivered.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mqttchat_protocol::{Conversation, Entry, Frame, MessageId, UserId};
use slab::Slab;

use crate::bell::Bell;
use crate::effect::Effect;
use crate::page::frames;
use crate::ring::{Ring, Slot, SlotKind};
use crate::roster::Roster;

/// How many entries may wait behind a hole before only the store is asked for them.
const EARLY_MAX: usize = 1024;

/// Presence frames are handed to a session at least this far apart: never five within a second, however late the one and how
/// early the next was taken from the ring. Less than [`APART`](crate::roster::APART), so that most fit as they are.
const PRESENCE_APART: Duration = Duration::from_millis(275);

/// How many bytes of them.
const EARLY_BYTES_MAX: usize = 1 << 20;

/// The order of one conversation, and the frames that its readers have still to take.
///
/// Its own node's commits come in commit order; what other nodes committed is rung by MQTT, or read from the store.
#[derive(Debug)]
pub(crate) struct Sequencer {
    /// Which conversation.
    pub(crate) conversation: Conversation,
    order: Mutex<Order>,
    readers: Mutex<Slab<Arc<Bell>>>,
    roster: Mutex<Roster>,
    dirty: AtomicBool,
    repairing: AtomicBool,
    attaching: AtomicBool,
}

#[derive(Debug)]
struct Order {
    /// The newest `seq` delivered; `None` until the store has said where the log stands.
    head: Option<u64>,
    ring: Ring,
    early: BTreeMap<u64, Slot>,
    early_bytes: usize,
    /// The newest `seq` that is known to be in the log.
    rung: u64,
}

/// What a read of the ring came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// There may be more.
    Some,
    /// Nothing is left.
    All,
    /// What comes next was dropped from the ring: read the store after this `seq`.
    Behind(u64),
}

/// Where a reader stands.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    /// The last entry it has got.
    pub(crate) seq: u64,
    /// The next slot of the ring; `None`: to be found from `seq`.
    pub(crate) index: Option<u64>,
    /// The version of the roster it knows.
    pub(crate) presence: u64,
    /// When it was handed the last presence frame.
    pub(crate) told: Option<Instant>,
}

impl Position {
    /// Behind `seq`.
    pub(crate) fn after(seq: u64) -> Self {
        Self { seq, index: None, presence: 0, told: None }
    }

    /// When the next presence frame may be handed over, if that is later than `now`.
    pub(crate) fn presence_after(&self, now: Instant) -> Option<Instant> {
        self.told.map(|told| told + PRESENCE_APART).filter(|due| *due > now)
    }
}

/// What came of an entry that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is in the ring, with whatever had waited for it.
    Delivered,
    /// It was there already.
    Known,
    /// Something before it is missing.
    Hole,
}

impl Sequencer {
    /// A sequencer that doesn't know yet where the log stands, unless `head` says so.
    pub(crate) fn new(conversation: Conversation, head: Option<u64>, ring_bytes: usize) -> Self {
        Self {
            conversation,
            order: Mutex::new(Order {
                head,
                ring: Ring::new(ring_bytes),
                early: BTreeMap::new(),
                early_bytes: 0,
                rung: 0,
            }),
            readers: Mutex::new(Slab::new()),
            roster: Mutex::default(),
            dirty: AtomicBool::new(false),
            repairing: AtomicBool::new(false),
            attaching: AtomicBool::new(false),
        }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is here.
    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest entry delivered; `None` until the store has been asked.
    pub(crate) fn head(&self) -> Option<u64> {
        self.order().head
    }

    /// Tells it where the log stood after its creation. What was offered in the meantime follows. True when it hadn't
    /// known: its readers are to be woken.
    pub(crate) fn settle(&self, head: u64) -> bool {
        let mut order = self.order();
        if order.head.is_some() {
            return false;
        }
        order.head = Some(head);
        order.catch_up_with_early();
        true
    }

    /// Takes an entry in: into the ring when it is the next one.
    pub(crate) fn offer(&self, seq: u64, id: &MessageId, effect: Effect, frame: Frame) -> Offered {
        let private = matches!(self.conversation, Conversation::Pair(..));
        let slot = Slot { frame, kind: SlotKind::Entry { seq, id: private.then(|| id.clone()), effect } };
        let mut order = self.order();
        let Some(head) = order.head else {
            order.keep_early(seq, slot);
            return Offered::Delivered;
        };
        if seq <= head {
            return Offered::Known;
        }
        if seq != head + 1 {
            order.keep_early(seq, slot);
            return Offered::Hole;
        }
        order.head = Some(seq);
        order.ring.push(slot);
        order.catch_up_with_early();
        if order.rung > seq.max(order.head.unwrap_or(0)) { Offered::Hole } else { Offered::Delivered }
    }

    /// Takes entries in that the store has behind `after`, as [`Sequencer::offer`] does. What is missing between is gone
    /// with an earlier room of that id.
    pub(crate) fn offer_entries(&self, after: u64, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            self.order().skip(after, first.seq);
        }
        for entry in entries {
            self.offer(entry.seq, &entry.id, Effect::of(entry.kind, &entry.data), entry.to_frame());
        }
    }

    /// How often something in the ring has turned old: to be asked before a read for [`Sequencer::remember`].
    pub(crate) fn changes(&self) -> u64 {
        self.order().ring.changes()
    }

    /// Keeps what a join read from the store for the next one: entries before the oldest in the ring, oldest first, and
    /// what has changed of those in it. What has changed since the read, when there were so many `changes`, is not kept.
    pub(crate) fn remember(&self, entries: &[Entry], changes: u64) {
        let (Some(oldest), Some(newest)) = (entries.first(), entries.last()) else { return };
        let mut order = self.order();
        if order.ring.changes() != changes {
            return;
        }
        if order.ring.first_seq().is_none() && Some(newest.seq) != order.head {
            return;
        }
        let frames = frames(entries);
        order.ring.refresh(oldest.seq, &frames);
        let private = matches!(self.conversation, Conversation::Pair(..));
        let first = order.ring.first_seq().unwrap_or(u64::MAX);
        for (entry, frame) in entries.iter().zip(frames).rev().filter(|(entry, _)| entry.seq < first) {
            let effect = Effect::of(entry.kind, &entry.data);
            let kind = SlotKind::Entry { seq: entry.seq, id: private.then(|| entry.id.clone()), effect };
            if !order.ring.push_older(Slot { frame, kind }) {
                break;
            }
        }
    }

    /// Puts a frame that is not of the log before those who are joined, except the sessions of `but`.
    pub(crate) fn pass(&self, frame: Frame, but: Option<UserId>) {
        self.order().ring.push(Slot { frame, kind: SlotKind::Passing { but } });
    }

    /// Puts a presence change before those who are joined.
    pub(crate) fn pass_presence(&self, frame: Frame, from: u64, version: u64) {
        self.order().ring.push(Slot { frame, kind: SlotKind::Presence { from, version } });
    }

    /// Right behind everything that there is now.
    pub(crate) fn end(&self) -> Position {
        let order = self.order();
        Position { index: order.head.map(|_| order.ring.end()), ..Position::after(order.head.unwrap_or(0)) }
    }

    /// The newest `count` entries up to `up_to`, from the ring; `None` when the store must be asked.
    pub(crate) fn newest(&self, count: u64, up_to: u64) -> Option<Vec<Frame>> {
        self.order().ring.newest(count, up_to)
    }

    /// Lets `take` have the next slots, at most `most` of them, and moves the position behind them.
    ///
    /// Entries up to the position's `seq` are passed over: each comes once. Where `take` breaks off, nothing is left for it.
    pub(crate) fn take(
        &self,
        position: &mut Position,
        most: usize,
        mut take: impl FnMut(&Slot) -> ControlFlow<()>,
    ) -> Taken {
        let order = self.order();
        let Some(head) = order.head else { return Taken::All };
        let slots = position.index.and_then(|index| order.ring.from(index).map(|slots| (index, slots)));
        let (mut index, slots) = match slots {
            Some(found) => found,
            None => match order.ring.index_after(position.seq, head) {
                Some(index) => match order.ring.from(index) {
                    Some(slots) => (index, slots),
                    None => return Taken::Behind(position.seq),
                },
                None => return Taken::Behind(position.seq),
            },
        };
        for slot in slots.take(most) {
            index += 1;
            match slot.kind {
                SlotKind::Entry { seq, .. } if seq <= position.seq => continue,
                SlotKind::Entry { seq, .. } => position.seq = seq,
                SlotKind::Presence { from, version } if from == position.presence => {
                    let now = Instant::now();
                    if position.presence_after(now).is_some() {
                        continue;
                    }
                    position.presence = version;
                    position.told = Some(now);
                }
                // Whoever came in between, or missed one, is told the difference, and so is who had one a moment ago.
                SlotKind::Presence { .. } => continue,
                SlotKind::Passing { .. } => {}
            }
            if take(slot).is_break() {
                position.index = Some(index);
                return Taken::All;
            }
        }
        position.index = Some(index);
        if index == order.ring.end() { Taken::All } else { Taken::Some }
    }

    /// The last `seq` before a hole, if something behind it is known to be there.
    pub(crate) fn hole(&self) -> Option<u64> {
        let order = self.order();
        let head = order.head?;
        (order.rung > head).then_some(head)
    }

    /// Notes that the log has entries up to `seq`; true when some of them haven't come.
    pub(crate) fn ring_for(&self, seq: u64) -> bool {
        let mut order = self.order();
        order.rung = order.rung.max(seq);
        order.head.is_some_and(|head| order.rung > head)
    }

    /// Adds a reader, to be woken when something comes. Returns its key.
    pub(crate) fn add_reader(&self, bell: Arc<Bell>) -> usize {
        self.readers().insert(bell)
    }

    /// Removes a reader.
    pub(crate) fn remove_reader(&self, key: usize) {
        let _ = self.readers().try_remove(key);
    }

    /// Whether the session that this wakes reads it.
    pub(crate) fn is_read_by(&self, bell: &Arc<Bell>) -> bool {
        self.readers().iter().any(|(_, reader)| Arc::ptr_eq(reader, bell))
    }

    /// Claims the work of having its users' sessions read it; true for the one who has to do it.
    pub(crate) fn start_attaching(&self) -> bool {
        !self.attaching.swap(true, Ordering::AcqRel)
    }

    /// Ends that work.
    pub(crate) fn end_attaching(&self) {
        self.attaching.store(false, Ordering::Release);
    }

    /// How many readers it has.
    pub(crate) fn reader_count(&self) -> usize {
        self.readers().len()
    }

    fn readers(&self) -> MutexGuard<'_, Slab<Arc<Bell>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes every reader that is idle.
    pub(crate) fn wake_readers(&self) {
        self.dirty.store(false, Ordering::Release);
        for (_, bell) in self.readers().iter() {
            bell.ring();
        }
    }

    /// Marks it as having something new; true when it wasn't marked before.
    pub(crate) fn mark_dirty(&self) -> bool {
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// Claims the repair of its hole; true for the one who has to do it.
    pub(crate) fn start_repair(&self) -> bool {
        !self.repairing.swap(true, Ordering::AcqRel)
    }

    /// Ends the repair.
    pub(crate) fn end_repair(&self) {
        self.repairing.store(false, Ordering::Release);
    }
}

impl Order {
    /// Goes on right before `seq`, the first that the store has behind `after`.
    fn skip(&mut self, after: u64, seq: u64) {
        if self.head != Some(after) || seq <= after + 1 {
            return;
        }
        self.head = Some(seq - 1);
        self.ring.forget();
        let kept = self.early.split_off(&seq);
        self.early = kept;
        self.early_bytes = self.early.values().map(|slot| slot.frame.len()).sum();
    }

    fn keep_early(&mut self, seq: u64, slot: Slot) {
        self.rung = self.rung.max(seq);
        self.early_bytes += slot.frame.len();
        if let Some(same) = self.early.insert(seq, slot) {
            self.early_bytes -= same.frame.len();
        }
        while self.early.len() > EARLY_MAX || self.early_bytes > EARLY_BYTES_MAX {
            // The store has them all; the nearest ones are worth keeping.
            let Some((_, farthest)) = self.early.pop_last() else { return };
            self.early_bytes -= farthest.frame.len();
        }
    }

    fn catch_up_with_early(&mut self) {
        while let (Some(head), Some(first)) = (self.head, self.early.first_entry()) {
            let seq = *first.key();
            if seq > head + 1 {
                break;
            }
            let slot = first.remove();
            self.early_bytes -= slot.frame.len();
            if seq == head + 1 {
                self.head = Some(seq);
                self.ring.push(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(sequencer: &Sequencer, seq: u64) -> Offered {
        let id = MessageId::parse("m").unwrap();
        sequencer.offer(seq, &id, Effect::Nothing, Frame::text(seq.to_string().as_bytes()))
    }

    fn taken(sequencer: &Sequencer, position: &mut Position) -> (Vec<u64>, Taken) {
        let mut seqs = Vec::new();
        let taken = sequencer.take(position, 100, |slot| {
            if let SlotKind::Entry { seq, .. } = slot.kind {
                seqs.push(seq);
            }
            ControlFlow::Continue(())
        });
        (seqs, taken)
    }

    #[test]
    fn in_order_and_once_whatever_comes() {
        let sequencer = Sequencer::new(Conversation::Public, Some(0), 1 << 20);
        let mut position = Position::after(0);
        assert_eq!(offer(&sequencer, 1), Offered::Delivered);
        assert_eq!(offer(&sequencer, 1), Offered::Known);
        assert_eq!(offer(&sequencer, 4), Offered::Hole);
        assert_eq!(offer(&sequencer, 3), Offered::Hole);
        assert_eq!(taken(&sequencer, &mut position), (vec![1], Taken::All));
        assert_eq!(sequencer.hole(), Some(1));
        assert_eq!(offer(&sequencer, 2), Offered::Delivered);
        assert_eq!(sequencer.hole(), None);
        assert_eq!(taken(&sequencer, &mut position), (vec![2, 3, 4], Taken::All));
    }

    #[test]
    fn what_comes_before_the_store_has_answered_is_kept() {
        let sequencer = Sequencer::new(Conversation::Public, None, 1 << 20);
        let mut position = Position::after(7);
        offer(&sequencer, 7);
        offer(&sequencer, 9);
        offer(&sequencer, 8);
        assert_eq!(taken(&sequencer, &mut position).0.len(), 0);
        sequencer.settle(7);
        assert_eq!(taken(&sequencer, &mut position).0, [8, 9]);
    }

    #[test]
    fn a_reader_that_fell_behind_reads_the_store_and_comes_back() {
        let sequencer = Sequencer::new(Conversation::Public, Some(0), 2000);
        let mut position = Position::after(0);
        for seq in 1..=100 {
            offer(&sequencer, seq);
        }
        assert_eq!(taken(&sequencer, &mut position), (vec![], Taken::Behind(0)));
        position.seq = 98;
        assert_eq!(taken(&sequencer, &mut position), (vec![99, 100], Taken::All));
        offer(&sequencer, 101);
        assert_eq!(taken(&sequencer, &mut position), (vec![101], Taken::All));
    }

    #[test]
    fn presence_is_handed_over_four_times_a_second_at_most() {
        let sequencer = Sequencer::new(Conversation::Public, Some(0), 1 << 20);
        let mut position = sequencer.end();
        for version in 1..=40 {
            sequencer.pass_presence(Frame::text(b"{}"), version - 1, version);
        }
        let mut handed = 0;
        sequencer.take(&mut position, 100, |_| {
            handed += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(
            (handed, position.presence),
            (1, 1),
            "of those that came together only one, the rest as a difference"
        );
        let told = position.told.unwrap();
        assert_eq!(position.presence_after(told), Some(told + PRESENCE_APART));
        assert_eq!(position.presence_after(told + PRESENCE_APART), None);
        assert!(PRESENCE_APART * 4 > Duration::from_secs(1));
    }

    #[test]
    fn a_position_ahead_of_the_ring_is_not_served_twice() {
        let sequencer = Sequencer::new(Conversation::Public, Some(5), 1 << 20);
        let mut position = Position::after(8);
        for seq in 6..=9 {
            offer(&sequencer, seq);
        }
        assert_eq!(taken(&sequencer, &mut position).0, [9]);
    }
}
