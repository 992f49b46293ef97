//! Checks, while it is measured, that nothing is lost, repeated or out of order: a fast server that loses messages is no
//! fast server.

use std::ops::Range;

use serde::Serialize;

use crate::stamp::Stamp;

/// What was wrong, over all readers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Faults {
    /// Messages that were accepted and that a reader never got.
    pub(crate) lost: u64,
    /// Places in the log that a reader never got.
    pub(crate) holes: u64,
    /// Messages that a reader got again.
    pub(crate) repeated: u64,
    /// Messages that a reader got after a later one, of the log or of their sender.
    pub(crate) disordered: u64,
    /// Messages that stand at another place for one reader, or their sender, than for another.
    pub(crate) differing: u64,
}

impl Faults {
    pub(crate) fn none(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.holes += other.holes;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
        self.differing += other.differing;
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.none() {
            return f.write_str("nothing lost, repeated or out of order");
        }
        let Self { lost, holes, repeated, disordered, differing } = self;
        write!(
            f,
            "{lost} lost, {holes} holes, {repeated} repeated, {disordered} out of order, {differing} differing"
        )
    }
}

/// Consecutive numbers as one reader meets them.
#[derive(Clone, Debug)]
struct Track {
    next: u64,
    holes: Vec<Range<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Next,
    Late,
    Again,
}

impl Track {
    fn from(next: u64) -> Self {
        Self { next, holes: Vec::new() }
    }

    fn see(&mut self, number: u64) -> Sight {
        if number >= self.next {
            if number > self.next {
                self.holes.push(self.next..number);
            }
            self.next = number + 1;
            return Sight::Next;
        }
        let Some(place) = self.holes.iter().position(|hole| hole.contains(&number)) else {
            return Sight::Again;
        };
        let hole = self.holes.swap_remove(place);
        let halves = [hole.start..number, number + 1..hole.end];
        self.holes.extend(halves.into_iter().filter(|half| !half.is_empty()));
        Sight::Late
    }

    fn has(&self, number: u64) -> bool {
        number < self.next && !self.holes.iter().any(|hole| hole.contains(&number))
    }

    fn missing(&self) -> u64 {
        self.holes.iter().map(|hole| hole.end - hole.start).sum()
    }
}

/// What one reader has got. One that reads a log with places follows these too.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    log: Option<Track>,
    senders: Vec<Track>,
    faults: Faults,
}

impl Reader {
    /// A reader that has everything up to `head`; `None` where messages have no places.
    pub(crate) fn new(head: Option<u64>) -> Self {
        Self { log: head.map(|head| Track::from(head + 1)), senders: Vec::new(), faults: Faults::default() }
    }

    /// Takes note of a message; `stamp` is `None` when it is none of this run's. Whether it is the first time.
    pub(crate) fn see(&mut self, seq: Option<u64>, stamp: Option<Stamp>, ledger: &mut Ledger) -> bool {
        let mut sights = [Sight::Next, Sight::Next];
        if let (Some(log), Some(seq)) = (&mut self.log, seq) {
            sights[0] = log.see(seq);
        }
        if let Some(stamp) = stamp {
            let sender = stamp.sender as usize;
            if sender >= self.senders.len() {
                self.senders.resize(sender + 1, Track::from(0));
            }
            sights[1] = self.senders[sender].see(stamp.number.into());
            if !ledger.agrees(seq, stamp) {
                self.faults.differing += 1;
            }
        }
        self.faults.disordered += u64::from(sights.contains(&Sight::Late));
        let again = sights.contains(&Sight::Again);
        self.faults.repeated += u64::from(again);
        !again
    }

    /// The last place that was seen, or the head that it began at.
    pub(crate) fn seq(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.next - 1)
    }

    /// What was wrong in the end, when everything that was accepted should be here.
    pub(crate) fn verdict(&self, ledger: &Ledger) -> Faults {
        let mut faults = self.faults.clone();
        faults.holes = self.log.as_ref().map_or(0, Track::missing);
        for (sender, accepted) in ledger.accepted.iter().enumerate() {
            let track = self.senders.get(sender);
            let here = |number: usize| track.is_some_and(|track| track.has(number as u64));
            let lost = accepted.iter().enumerate().filter(|(number, accepted)| **accepted && !here(*number));
            faults.lost += lost.count() as u64;
        }
        faults
    }
}

/// What all agree on: which message stands where, and which were accepted.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Sender and number of the message at each place from `first` on.
    places: Vec<Option<(u32, u32)>>,
    first: u64,
    accepted: Vec<Vec<bool>>,
    count: u64,
    differing: u64,
}

impl Ledger {
    /// A ledger of the entries after `head`.
    pub(crate) fn after(head: u64) -> Self {
        Self { first: head + 1, ..Self::default() }
    }

    /// A message was accepted: from now on every reader must get it.
    pub(crate) fn accept(&mut self, stamp: Stamp, seq: Option<u64>) {
        let sender = stamp.sender as usize;
        if sender >= self.accepted.len() {
            self.accepted.resize(sender + 1, Vec::new());
        }
        let numbers = &mut self.accepted[sender];
        let number = stamp.number as usize;
        if number >= numbers.len() {
            numbers.resize(number + 1, false);
        }
        numbers[number] = true;
        self.count += 1;
        if !self.agrees(seq, stamp) {
            self.differing += 1;
        }
    }

    /// How many were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.count
    }

    /// What the senders were told otherwise than the readers.
    pub(crate) fn verdict(&self) -> Faults {
        Faults { differing: self.differing, ..Faults::default() }
    }

    /// Whether this place is this message's, for whoever says so first and for all others.
    fn agrees(&mut self, seq: Option<u64>, stamp: Stamp) -> bool {
        let Some(seq) = seq else { return true };
        let Some(place) = seq.checked_sub(self.first) else { return false };
        let place = place as usize;
        if place >= self.places.len() {
            self.places.resize(place + 1, None);
        }
        *self.places[place].get_or_insert((stamp.sender, stamp.number)) == (stamp.sender, stamp.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(sender: u32, number: u32) -> Option<Stamp> {
        Some(Stamp { run: 1, sender, number, at: 0 })
    }

    /// A reader of a log that begins after 10, that meets these (seq, sender, number); all of senders 0 and 1 were
    /// accepted in this order: 11 is 0's first, 12 is 1's first, 13 is 0's second.
    fn faults(met: &[(u64, u32, u32)]) -> Faults {
        let mut ledger = Ledger::after(10);
        for (seq, sender, number) in [(11, 0, 0), (12, 1, 0), (13, 0, 1)] {
            ledger.accept(stamp(sender, number).unwrap(), Some(seq));
        }
        let mut reader = Reader::new(Some(10));
        for (seq, sender, number) in met {
            reader.see(Some(*seq), stamp(*sender, *number), &mut ledger);
        }
        let mut faults = reader.verdict(&ledger);
        faults.add(&ledger.verdict());
        faults
    }

    #[test]
    fn a_good_history_has_no_faults() {
        assert!(faults(&[(11, 0, 0), (12, 1, 0), (13, 0, 1)]).none());
    }

    #[test]
    fn a_loss_is_found() {
        let lost = faults(&[(11, 0, 0), (13, 0, 1)]);
        assert_eq!(lost, Faults { lost: 1, holes: 1, ..Faults::default() });
        let last = faults(&[(11, 0, 0), (12, 1, 0)]);
        assert_eq!(last, Faults { lost: 1, ..Faults::default() });
        assert_eq!(faults(&[]), Faults { lost: 3, ..Faults::default() });
    }

    #[test]
    fn a_repetition_is_found() {
        let again = faults(&[(11, 0, 0), (12, 1, 0), (12, 1, 0), (13, 0, 1)]);
        assert_eq!(again, Faults { repeated: 1, ..Faults::default() });
        let stored_twice = faults(&[(11, 0, 0), (12, 1, 0), (13, 0, 1), (14, 0, 1)]);
        assert_eq!(stored_twice, Faults { repeated: 1, ..Faults::default() });
    }

    #[test]
    fn a_disorder_is_found() {
        let late = faults(&[(12, 1, 0), (11, 0, 0), (13, 0, 1)]);
        assert_eq!(late, Faults { disordered: 1, ..Faults::default() });
    }

    #[test]
    fn readers_who_see_different_logs_are_found() {
        let swapped = faults(&[(11, 1, 0), (12, 0, 0), (13, 0, 1)]);
        assert_eq!(swapped, Faults { differing: 2, ..Faults::default() });
    }

    #[test]
    fn a_sender_whose_messages_are_swapped_is_found_without_places() {
        let mut ledger = Ledger::default();
        let mut reader = Reader::new(None);
        for number in [0, 2, 1, 1, 4] {
            reader.see(None, stamp(0, number), &mut ledger);
            ledger.accept(stamp(0, number).unwrap(), None);
        }
        ledger.accept(stamp(0, 5).unwrap(), None);
        let found = reader.verdict(&ledger);
        assert_eq!(found, Faults { lost: 1, repeated: 1, disordered: 1, ..Faults::default() });
    }

    #[test]
    fn what_was_refused_is_not_lost() {
        let mut ledger = Ledger::after(0);
        let mut reader = Reader::new(Some(0));
        for (seq, number) in [(1, 0), (2, 2)] {
            ledger.accept(stamp(0, number).unwrap(), Some(seq));
            reader.see(Some(seq), stamp(0, number), &mut ledger);
        }
        assert!(reader.verdict(&ledger).none());
    }

    #[test]
    fn others_messages_count_as_places() {
        let mut ledger = Ledger::after(5);
        let mut reader = Reader::new(Some(5));
        reader.see(Some(6), None, &mut ledger);
        reader.see(Some(8), stamp(0, 0), &mut ledger);
        assert_eq!(reader.verdict(&ledger), Faults { holes: 1, ..Faults::default() });
        assert_eq!(reader.seq(), 8);
    }
}
