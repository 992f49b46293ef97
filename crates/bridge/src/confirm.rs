//! Which of this node's entries the broker has not confirmed yet (docs/mqtt.md "Confirmed").
//!
//! Positions are remembered, not payloads. They belong to the node and outlive the session that published them. What a
//! lost connection took with it, and what a crashed run of this node left, is published again as the store reads now.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many positions are remembered one by one. Behind that the log itself is read on from a single position.
const REMEMBERED_MAX: usize = 50_000;

/// The unconfirmed positions of this node.
#[derive(Debug)]
pub(crate) struct Confirm {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    outstanding: BTreeMap<u64, Place>,
    newest: u64,
    /// From here on, nothing is remembered one by one: all of it has still to be published.
    behind: Option<u64>,
    attempts: Attempt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many copies of this attempt are on their way to the broker.
    InFlight { copies: usize, attempt: Attempt },
    /// To be published again.
    Waiting,
}

/// One time that an entry is published. What comes of an earlier attempt says nothing about a later one.
pub(crate) type Attempt = u64;

/// What has to be published next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// These positions, rising.
    Positions(Vec<u64>),
    /// Whatever the log has from this position on.
    From(u64),
    /// Nothing.
    Nothing,
}

impl Confirm {
    /// Starts with everything confirmed up to `confirmed`, and whatever follows in the log still to be published.
    pub(crate) fn new(confirmed: u64) -> Self {
        let state = State {
            outstanding: BTreeMap::new(),
            newest: confirmed,
            behind: Some(confirmed + 1),
            attempts: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a committed entry that is about to be published, as `copies` publishes. `None` when it is not to be:
    /// its turn comes, or has come, when the log is read on.
    pub(crate) fn accepted(&self, position: u64, copies: usize) -> Option<Attempt> {
        let mut state = self.state();
        state.newest = state.newest.max(position);
        if state.behind.is_none() && state.outstanding.len() >= REMEMBERED_MAX {
            state.behind = Some(position);
        }
        if state.behind.is_some() {
            self.changed.notify_one();
            return None;
        }
        if state.outstanding.contains_key(&position) {
            return None;
        }
        Some(state.start(position, copies))
    }

    /// Remembers an entry that turned out to be committed when nobody expected it any more: it has to be published.
    pub(crate) fn late(&self, position: u64) {
        let mut state = self.state();
        state.newest = state.newest.max(position);
        // From there on it is read with all the others.
        if state.behind.is_none_or(|behind| position < behind) {
            state.outstanding.entry(position).or_insert(Place::Waiting);
        }
        self.changed.notify_one();
    }

    /// One copy has been confirmed by the broker.
    pub(crate) fn acked(&self, position: u64, attempt: Attempt) {
        let mut state = self.state();
        let Some(Place::InFlight { copies, attempt: present }) = state.outstanding.get_mut(&position) else {
            return;
        };
        if *present != attempt {
            return;
        }
        *copies -= 1;
        if *copies == 0 {
            state.outstanding.remove(&position);
        }
    }

    /// A copy's connection was lost, or took nothing: the entry has to be published again.
    pub(crate) fn returned(&self, position: u64, attempt: Attempt) {
        let mut state = self.state();
        let Some(place) = state.outstanding.get_mut(&position) else { return };
        if matches!(place, Place::InFlight { attempt: present, .. } if *present == attempt) {
            *place = Place::Waiting;
            self.changed.notify_one();
        }
    }

    /// What has to be published next, at most `most` positions.
    pub(crate) fn next(&self, most: usize) -> Next {
        let state = self.state();
        let waiting = state.outstanding.iter().filter(|(_, place)| **place == Place::Waiting);
        let waiting: Vec<u64> = waiting.map(|(position, _)| *position).take(most).collect();
        match (waiting.is_empty(), state.behind) {
            (false, _) => Next::Positions(waiting),
            (true, Some(from)) if state.outstanding.len() < REMEMBERED_MAX / 2 => Next::From(from),
            (true, _) => Next::Nothing,
        }
    }

    /// Says that a waiting entry is being published again; `None` when it no longer waits.
    pub(crate) fn again(&self, position: u64, copies: usize) -> Option<Attempt> {
        let mut state = self.state();
        (state.outstanding.get(&position) == Some(&Place::Waiting)).then(|| state.start(position, copies))
    }

    /// Drops a waiting position that the log no longer has.
    pub(crate) fn forget(&self, position: u64) {
        self.state().outstanding.remove(&position);
    }

    /// Says that the log was read on: `positions` with their copies are about to be published, each in the attempt
    /// that is returned for it, and with `end` there was nothing behind the last of them.
    pub(crate) fn read_on(&self, positions: &[(u64, usize)], end: bool) -> Vec<Attempt> {
        let mut state = self.state();
        let attempts = positions.iter().map(|(position, copies)| state.start(*position, *copies)).collect();
        let last = positions.last().map(|(position, _)| *position);
        let Some(from) = last.map(|last| last + 1).or(state.behind) else { return attempts };
        // What was committed while the log was read shows in `newest`.
        state.behind = (!end || state.newest >= from).then_some(from);
        state.newest = state.newest.max(last.unwrap_or(0));
        attempts
    }

    /// The position up to which everything is confirmed.
    pub(crate) fn low(&self) -> u64 {
        let state = self.state();
        let first = state.outstanding.keys().next().copied();
        match (first, state.behind) {
            (Some(first), Some(behind)) => first.min(behind) - 1,
            (Some(first), None) => first - 1,
            (None, Some(behind)) => behind - 1,
            (None, None) => state.newest,
        }
    }

    /// Whether everything that is in the log is confirmed.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.state();
        state.outstanding.is_empty() && state.behind.is_none()
    }

    /// How many entries are known not to be confirmed.
    pub(crate) fn outstanding(&self) -> usize {
        self.state().outstanding.len()
    }

    /// Waits until there may be something to publish. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl State {
    fn start(&mut self, position: u64, copies: usize) -> Attempt {
        self.attempts += 1;
        let place = Place::InFlight { copies: copies.max(1), attempt: self.attempts };
        self.outstanding.insert(position, place);
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught_up(at: u64) -> Confirm {
        let confirm = Confirm::new(at);
        confirm.read_on(&[], true);
        confirm
    }

    #[test]
    fn the_low_mark_waits_for_the_slowest() {
        let confirm = caught_up(10);
        assert_eq!((confirm.low(), confirm.next(9)), (10, Next::Nothing));
        let attempts =
            [(11, 1), (12, 2), (13, 1)].map(|(position, copies)| confirm.accepted(position, copies).unwrap());
        confirm.acked(13, attempts[2]);
        confirm.acked(11, attempts[0]);
        assert_eq!(confirm.low(), 11);
        confirm.acked(12, attempts[1]);
        assert_eq!(confirm.low(), 11);
        confirm.acked(12, attempts[1]);
        assert_eq!(confirm.low(), 13);
    }

    #[test]
    fn what_a_connection_took_with_it_is_published_again() {
        let confirm = caught_up(0);
        let first = confirm.accepted(1, 2).unwrap();
        let other = confirm.accepted(2, 1).unwrap();
        confirm.returned(1, first);
        assert_eq!((confirm.low(), confirm.next(9)), (0, Next::Positions(vec![1])));
        let second = confirm.again(1, 2).unwrap();
        assert_eq!((confirm.next(9), confirm.again(1, 2)), (Next::Nothing, None));
        confirm.acked(2, other);
        // Late news of the first attempt: one copy was confirmed, one lost.
        confirm.acked(1, first);
        confirm.returned(1, first);
        confirm.acked(1, second);
        assert_eq!((confirm.low(), confirm.next(9)), (0, Next::Nothing));
        confirm.acked(1, second);
        assert_eq!(confirm.low(), 2);
        confirm.returned(2, other);
        assert_eq!(confirm.next(9), Next::Nothing);
    }

    #[test]
    fn a_start_reads_on_where_the_last_run_ended() {
        let confirm = Confirm::new(5);
        assert_eq!(confirm.next(9), Next::From(6));
        assert_eq!(confirm.accepted(9, 1), None);
        let mut attempts = confirm.read_on(&[(6, 1), (7, 1)], false);
        assert_eq!((confirm.low(), confirm.next(9)), (5, Next::From(8)));
        confirm.read_on(&[], true);
        assert_eq!(confirm.next(9), Next::From(8), "9 was committed meanwhile");
        attempts.extend(confirm.read_on(&[(9, 1)], true));
        assert_eq!(confirm.accepted(9, 1), None, "it is being published already");
        attempts.push(confirm.accepted(10, 1).unwrap());
        for (position, attempt) in [6, 7, 9, 10].into_iter().zip(attempts) {
            confirm.acked(position, attempt);
        }
        assert_eq!(confirm.low(), 10);
    }

    #[test]
    fn what_was_committed_unnoticed_is_published() {
        let confirm = caught_up(0);
        let first = confirm.accepted(1, 1).unwrap();
        let third = confirm.accepted(3, 1).unwrap();
        confirm.acked(1, first);
        confirm.acked(3, third);
        assert_eq!(confirm.low(), 3);
        confirm.late(2);
        assert_eq!((confirm.low(), confirm.next(9)), (1, Next::Positions(vec![2])));
        let second = confirm.again(2, 1).unwrap();
        confirm.late(2);
        assert_eq!(confirm.next(9), Next::Nothing, "it is on its way");
        confirm.acked(2, second);
        assert_eq!(confirm.low(), 3);
        let reading = Confirm::new(5);
        reading.late(7);
        assert_eq!(reading.next(9), Next::From(6));
    }

    #[test]
    fn a_long_absence_of_the_broker_costs_no_memory() {
        let confirm = caught_up(0);
        for position in 1..=REMEMBERED_MAX as u64 * 2 {
            if let Some(attempt) = confirm.accepted(position, 1) {
                confirm.returned(position, attempt);
            }
        }
        assert_eq!((confirm.outstanding(), confirm.low()), (REMEMBERED_MAX, 0));
        assert_eq!(confirm.next(3), Next::Positions(vec![1, 2, 3]));
        for position in 1..=REMEMBERED_MAX as u64 {
            let attempt = confirm.again(position, 1).unwrap();
            confirm.acked(position, attempt);
        }
        assert_eq!(confirm.next(3), Next::From(REMEMBERED_MAX as u64 + 1));
    }
}
