//! The newest frames of one conversation, each held once for all who read them.

use std::collections::VecDeque;

use mqttchat_protocol::{Frame, MessageId, UserId};

use crate::effect::Effect;

/// One frame in a ring, and what a reader has to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// The finished frame.
    pub(crate) frame: Frame,
    /// What it is.
    pub(crate) kind: SlotKind,
}

/// What a slot holds.
#[derive(Clone, Debug)]
pub(crate) enum SlotKind {
    /// An entry of the log: `seq`, in private conversations its id, for 200, and what it does to its readers.
    Entry { seq: u64, id: Option<MessageId>, effect: Effect },
    /// Typing, receipts or status, for those joined but the sessions of `but`; not worth catching up with.
    Passing { but: Option<UserId> },
    /// A presence change that leads from one version of the roster to another.
    Presence { from: u64, version: u64 },
}

impl SlotKind {
    fn seq(&self) -> Option<u64> {
        match self {
            Self::Entry { seq, .. } => Some(*seq),
            Self::Passing { .. } | Self::Presence { .. } => None,
        }
    }
}

/// Slots with consecutive indices, bounded in bytes; the oldest are dropped first.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: VecDeque<Slot>,
    base: u64,
    bytes: usize,
    capacity: usize,
    first_seq: Option<u64>,
    /// Up to this `seq`, what it holds may read otherwise now: fine for those who get the changes behind it, but no
    /// answer to somebody new.
    stale: u64,
    changes: u64,
}

/// What a slot costs beside its frame, in bytes.
const SLOT_OVERHEAD: usize = size_of::<Slot>() + 64;

impl Ring {
    /// A ring that holds at most `capacity` bytes, but at least its newest slot.
    pub(crate) fn new(capacity: usize) -> Self {
        // Older entries can be put before the first one, so the indices start high.
        Self {
            slots: VecDeque::new(),
            base: 1 << 40,
            bytes: 0,
            capacity,
            first_seq: None,
            stale: 0,
            changes: 0,
        }
    }

    /// The index behind the newest slot.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    /// The lowest `seq` that it holds.
    pub(crate) fn first_seq(&self) -> Option<u64> {
        self.first_seq
    }

    pub(crate) fn push(&mut self, slot: Slot) {
        if let SlotKind::Entry { seq, effect, .. } = &slot.kind {
            self.suffer(*seq, effect);
        }
        self.bytes += slot.frame.len() + SLOT_OVERHEAD;
        if self.first_seq.is_none() {
            self.first_seq = slot.kind.seq();
        }
        self.slots.push_back(slot);
        while self.bytes > self.capacity && self.slots.len() > 1 {
            self.drop_oldest();
        }
    }

    /// What the entry `seq` does to those before it.
    fn suffer(&mut self, seq: u64, effect: &Effect) {
        match effect {
            Effect::Nothing => return,
            Effect::Changes(target) => self.stale = self.stale.max((*target).min(seq)),
            Effect::Erases => self.forget(),
            Effect::Room(_) if effect.deletes_room() => self.forget(),
            Effect::Room(_) => return,
        }
        self.changes += 1;
    }

    /// Drops everything: who has not had it reads the store, where it stands as it is now.
    pub(crate) fn forget(&mut self) {
        self.base = self.end();
        self.slots.clear();
        self.bytes = 0;
        self.first_seq = None;
    }

    /// How often something in it has turned old. What was read from the store before that is not to be put in.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Puts entries of the store, as they are now, in the place of what it holds of them; `frames` are consecutive, the
    /// first with this `seq`.
    pub(crate) fn refresh(&mut self, first: u64, frames: &[Frame]) {
        let behind = first + frames.len() as u64;
        if self.stale < first || self.stale >= behind {
            return;
        }
        for slot in &mut self.slots {
            let Some(seq) = slot.kind.seq().filter(|seq| (first..behind).contains(seq)) else { continue };
            let Some(frame) = frames.get((seq - first) as usize) else { continue };
            self.bytes = (self.bytes + frame.len()).saturating_sub(slot.frame.len());
            slot.frame = frame.clone();
        }
        self.stale = first - 1;
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.slots.pop_front() else { return };
        self.bytes -= oldest.frame.len() + SLOT_OVERHEAD;
        self.base += 1;
        if oldest.kind.seq().is_some() {
            self.first_seq = self.slots.iter().find_map(|slot| slot.kind.seq());
            if self.slots.is_empty() {
                self.slots.shrink_to_fit();
            }
        }
    }

    /// Puts an older entry before all others, if it is the one before the first and there is room.
    pub(crate) fn push_older(&mut self, slot: Slot) -> bool {
        let size = slot.frame.len() + SLOT_OVERHEAD;
        let Some(seq) = slot.kind.seq() else { return false };
        if self.bytes + size > self.capacity || self.first_seq.is_some_and(|first| seq + 1 != first) {
            return false;
        }
        self.bytes += size;
        self.base -= 1;
        self.first_seq = Some(seq);
        self.slots.push_front(slot);
        true
    }

    /// The slots from `index` on; `None` when some of them were dropped already.
    pub(crate) fn from(&self, index: u64) -> Option<impl Iterator<Item = &Slot>> {
        let offset = index.checked_sub(self.base)?;
        Some(self.slots.range(usize::try_from(offset).ok()?.min(self.slots.len())..))
    }

    /// The index of the entry after `seq`, or the end when there is none yet; `None` when it was dropped already.
    pub(crate) fn index_after(&self, seq: u64, head: u64) -> Option<u64> {
        if seq >= head {
            return Some(self.end());
        }
        if self.first_seq? > seq + 1 {
            return None;
        }
        // Entries are in order; the few other slots between them are passed over.
        let at = self.slots.iter().position(|slot| slot.kind.seq().is_some_and(|found| found > seq))?;
        Some(self.base + at as u64)
    }

    /// The newest `count` entries up to `head`, which it has seen, oldest first; `None` when it doesn't hold them all.
    pub(crate) fn newest(&self, count: u64, head: u64) -> Option<Vec<Frame>> {
        let wanted = count.min(head);
        if wanted == 0 {
            return Some(Vec::new());
        }
        let first = head + 1 - wanted;
        if self.first_seq? > first || self.stale >= first {
            return None;
        }
        let newest = self.slots.iter().rev().filter(|slot| slot.kind.seq().is_some_and(|seq| seq <= head));
        let mut frames: Vec<Frame> = newest.take(wanted as usize).map(|slot| slot.frame.clone()).collect();
        frames.reverse();
        Some(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Slot {
        Slot {
            frame: Frame::text(format!("{seq}").as_bytes()),
            kind: SlotKind::Entry { seq, id: None, effect: Effect::Nothing },
        }
    }

    fn passing() -> Slot {
        Slot { frame: Frame::text(b"x"), kind: SlotKind::Passing { but: None } }
    }

    fn texts(ring: &Ring, index: u64) -> Option<Vec<String>> {
        let text = |slot: &Slot| String::from_utf8_lossy(slot.frame.as_json()).into_owned();
        ring.from(index).map(|slots| slots.map(text).collect())
    }

    #[test]
    fn old_slots_are_dropped_and_missed() {
        let mut ring = Ring::new(4 * (SLOT_OVERHEAD + 3));
        let start = ring.end();
        for seq in 1..=6 {
            ring.push(entry(seq));
        }
        assert_eq!(texts(&ring, start), None);
        assert_eq!(ring.first_seq(), Some(3));
        assert_eq!(ring.index_after(1, 6), None);
        let index = ring.index_after(2, 6).unwrap();
        assert_eq!(texts(&ring, index).unwrap(), ["3", "4", "5", "6"]);
        assert_eq!(ring.index_after(6, 6), Some(ring.end()));
        assert_eq!(texts(&ring, ring.end()).unwrap().len(), 0);
    }

    fn with_effect(seq: u64, effect: Effect) -> Slot {
        Slot { frame: Frame::text(b"change"), kind: SlotKind::Entry { seq, id: None, effect } }
    }

    #[test]
    fn what_was_changed_is_no_answer_until_it_was_read_again() {
        let mut ring = Ring::new(1 << 20);
        for seq in 1..=4 {
            ring.push(entry(seq));
        }
        ring.push(with_effect(5, Effect::Changes(2)));
        assert_eq!(ring.changes(), 1);
        assert!(ring.newest(4, 5).is_none() && ring.newest(3, 5).is_some());
        let again: Vec<Frame> = ["two", "three", "four"].map(|text| Frame::text(text.as_bytes())).into();
        ring.refresh(3, &again[1..]);
        assert!(ring.newest(4, 5).is_none(), "the changed one was not among them");
        ring.refresh(2, &again);
        assert_eq!(ring.newest(4, 5).unwrap()[0].as_json(), b"two");
        assert_eq!(texts(&ring, ring.end() - 5).unwrap(), ["1", "two", "three", "four", "change"]);
        assert!(ring.newest(5, 5).is_none(), "what is older was not read again");
    }

    #[test]
    fn what_is_gone_is_served_to_nobody() {
        let mut ring = Ring::new(1 << 20);
        let start = ring.end();
        ring.push(entry(1));
        ring.push(with_effect(2, Effect::Erases));
        assert_eq!((texts(&ring, start), ring.index_after(0, 2)), (None, None));
        assert_eq!(texts(&ring, ring.index_after(1, 2).unwrap()).unwrap(), ["change"]);
        assert!(ring.newest(2, 2).is_none());
    }

    #[test]
    fn newest_entries_pass_over_what_is_none() {
        let mut ring = Ring::new(1 << 20);
        ring.push(entry(4));
        ring.push(passing());
        ring.push(entry(5));
        ring.push(passing());
        assert_eq!(ring.newest(3, 5), None);
        assert_eq!(ring.newest(2, 5).unwrap().len(), 2);
        assert!(ring.push_older(entry(3)) && !ring.push_older(entry(1)));
        assert_eq!(ring.newest(3, 5).unwrap()[0].as_json(), b"3");
        let index = ring.index_after(4, 5).unwrap();
        assert_eq!(texts(&ring, index).unwrap(), ["5", "x"]);
    }
}
