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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many copies are on their way to the broker.
    InFlight(usize),
    /// To be published again.
    Waiting,
}

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
        let state = State { outstanding: BTreeMap::new(), newest: confirmed, behind: Some(confirmed + 1) };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a committed entry. True when it is to be published at once, as `copies` publishes; otherwise its
    /// turn comes when the log is read on.
    pub(crate) fn accepted(&self, position: u64, copies: usize) -> bool {
        let mut state = self.state();
        state.newest = state.newest.max(position);
        if state.behind.is_none() && state.outstanding.len() >= REMEMBERED_MAX {
            state.behind = Some(position);
        }
        if state.behind.is_some() {
            self.changed.notify_one();
            return false;
        }
        state.outstanding.insert(position, Place::InFlight(copies.max(1)));
        true
    }

    /// One copy has been confirmed by the broker.
    pub(crate) fn acked(&self, position: u64) {
        let mut state = self.state();
        match state.outstanding.get_mut(&position) {
            Some(Place::InFlight(copies)) if *copies > 1 => *copies -= 1,
            Some(Place::InFlight(_)) => {
                state.outstanding.remove(&position);
            }
            // It will be published again as a whole.
            Some(Place::Waiting) | None => {}
        }
    }

    /// Its connection was lost, or took nothing: it has to be published again.
    pub(crate) fn returned(&self, position: u64) {
        if let Some(place) = self.state().outstanding.get_mut(&position) {
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

    /// Says that a waiting entry is being published again.
    pub(crate) fn again(&self, position: u64, copies: usize) {
        if let Some(place) = self.state().outstanding.get_mut(&position) {
            *place = Place::InFlight(copies.max(1));
        }
    }

    /// Drops a waiting position that the log no longer has.
    pub(crate) fn forget(&self, position: u64) {
        self.state().outstanding.remove(&position);
    }

    /// Says that the log was read on: `positions` with their copies are being published, and with `end` there was
    /// nothing behind the last of them.
    pub(crate) fn read_on(&self, positions: &[(u64, usize)], end: bool) {
        let mut state = self.state();
        for (position, copies) in positions {
            state.outstanding.insert(*position, Place::InFlight((*copies).max(1)));
        }
        let last = positions.last().map(|(position, _)| *position);
        let Some(from) = last.map(|last| last + 1).or(state.behind) else { return };
        // What was committed while the log was read shows in `newest`.
        state.behind = (!end || state.newest >= from).then_some(from);
        state.newest = state.newest.max(last.unwrap_or(0));
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

    /// How many entries are known not to be confirmed.
    pub(crate) fn outstanding(&self) -> usize {
        self.state().outstanding.len()
    }

    /// Waits until there may be something to publish. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
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
        assert!(confirm.accepted(11, 1) && confirm.accepted(12, 2) && confirm.accepted(13, 1));
        confirm.acked(13);
        confirm.acked(11);
        assert_eq!(confirm.low(), 11);
        confirm.acked(12);
        assert_eq!(confirm.low(), 11);
        confirm.acked(12);
        assert_eq!(confirm.low(), 13);
    }

    #[test]
    fn what_a_connection_took_with_it_is_published_again() {
        let confirm = caught_up(0);
        confirm.accepted(1, 2);
        confirm.accepted(2, 1);
        confirm.acked(1);
        confirm.returned(1);
        confirm.acked(1);
        assert_eq!((confirm.low(), confirm.next(9)), (0, Next::Positions(vec![1])));
        confirm.again(1, 2);
        assert_eq!(confirm.next(9), Next::Nothing);
        confirm.acked(1);
        confirm.acked(1);
        confirm.acked(2);
        assert_eq!(confirm.low(), 2);
        confirm.returned(2);
        assert_eq!(confirm.next(9), Next::Nothing);
    }

    #[test]
    fn a_start_reads_on_where_the_last_run_ended() {
        let confirm = Confirm::new(5);
        assert_eq!(confirm.next(9), Next::From(6));
        assert!(!confirm.accepted(9, 1));
        confirm.read_on(&[(6, 1), (7, 1)], false);
        assert_eq!((confirm.low(), confirm.next(9)), (5, Next::From(8)));
        confirm.read_on(&[], true);
        assert_eq!(confirm.next(9), Next::From(8), "9 was committed meanwhile");
        confirm.read_on(&[(9, 1)], true);
        assert!(confirm.accepted(10, 1));
        for position in [6, 7, 9, 10] {
            confirm.acked(position);
        }
        assert_eq!(confirm.low(), 10);
    }

    #[test]
    fn a_long_absence_of_the_broker_costs_no_memory() {
        let confirm = caught_up(0);
        for position in 1..=REMEMBERED_MAX as u64 * 2 {
            if confirm.accepted(position, 1) {
                confirm.returned(position);
            }
        }
        assert_eq!(confirm.outstanding(), REMEMBERED_MAX);
        assert_eq!(confirm.low(), 0);
        let Next::Positions(first) = confirm.next(3) else { panic!("nothing waits") };
        assert_eq!(first, [1, 2, 3]);
        for position in 1..=REMEMBERED_MAX as u64 {
            confirm.again(position, 1);
            confirm.acked(position);
        }
        assert_eq!(confirm.next(3), Next::From(REMEMBERED_MAX as u64 + 1));
    }
}
