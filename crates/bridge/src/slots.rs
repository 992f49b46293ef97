//! Client ids for session clients, used again: every new id costs the embedded broker memory for good.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a client id rests after its connection ended, so that the broker has surely seen the end. The embedded
/// broker is poisoned by the same id connecting twice (docs/mqtt.md, facts).
const REST: Duration = Duration::from_secs(5);

/// The numbers of the client ids `<prefix><node>-<number>`.
#[derive(Debug)]
pub(crate) struct Slots {
    state: Mutex<State>,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    resting: VecDeque<(Instant, u32)>,
    made: u32,
    taken: usize,
}

impl Slots {
    /// At most `most` numbers are taken at a time.
    pub(crate) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), most }
    }

    /// Takes a number; `None` when all are taken.
    pub(crate) fn take(&self, now: Instant) -> Option<u32> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.taken >= self.most {
            return None;
        }
        state.taken += 1;
        match state.resting.front() {
            Some((since, number)) if now.duration_since(*since) >= REST => {
                let number = *number;
                state.resting.pop_front();
                Some(number)
            }
            _ => {
                state.made += 1;
                Some(state.made)
            }
        }
    }

    /// Gives a number back.
    pub(crate) fn give_back(&self, number: u32, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken = state.taken.saturating_sub(1);
        state.resting.push_back((now, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rest_before_they_are_used_again() {
        let slots = Slots::new(2);
        let start = Instant::now();
        assert_eq!((slots.take(start), slots.take(start), slots.take(start)), (Some(1), Some(2), None));
        slots.give_back(1, start);
        assert_eq!(slots.take(start), Some(3));
        slots.give_back(2, start);
        assert_eq!(slots.take(start + REST), Some(1));
    }
}
