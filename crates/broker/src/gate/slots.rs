//! Which device has which number.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// A number rests until so many others have been given back: rumqttd may still be busy with who had it last.
const REST: usize = 32;

/// Numbers for devices, used again and again, since rumqttd never forgets a client id.
///
/// A session that is to be kept (clean session off) keeps its number until its device asks for a clean one.
pub(crate) struct Slots {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Given back, the one that has rested longest first.
    free: VecDeque<usize>,
    /// The first number that was never given.
    next: usize,
    /// Devices that are here and have an id.
    here: HashMap<String, Present>,
    /// Numbers of kept sessions, whether their device is here or not.
    kept: HashMap<String, usize>,
    count: usize,
}

struct Present {
    replaced: Arc<Notify>,
    gone: watch::Receiver<()>,
}

/// There is no number left.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no room for another device")]
pub(crate) struct Full;

/// A device's number, given back when dropped.
pub(crate) struct Place<'a> {
    slots: &'a Slots,
    number: usize,
    client_id: String,
    kept: bool,
    replaced: Arc<Notify>,
    /// Its end is what a successor waits for; fields are dropped after the number was given back.
    _here: watch::Sender<()>,
}

impl Slots {
    /// Numbers for at most `limit` devices at a time, and as many kept sessions.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Lets a device in. If one with the same id is here, it is asked to leave and waited for. Cancel safe.
    pub(crate) async fn enter(&self, client_id: &str, clean_session: bool) -> Result<Place<'_>, Full> {
        loop {
            let mut gone = match self.try_enter(client_id, clean_session)? {
                Ok(place) => return Ok(place),
                Err(gone) => gone,
            };
            // An error is the end of its sender, which is what is waited for.
            let _ = gone.changed().await;
        }
    }

    fn try_enter(&self, id: &str, clean: bool) -> Result<Result<Place<'_>, watch::Receiver<()>>, Full> {
        let mut state = self.state();
        if let Some(present) = state.here.get(id) {
            present.replaced.notify_one();
            return Ok(Err(present.gone.clone()));
        }
        if state.count >= self.limit {
            return Err(Full);
        }
        let kept = !clean && !id.is_empty();
        let number = match if clean { state.kept.remove(id) } else { state.kept.get(id).copied() } {
            Some(number) => number,
            None if kept && state.kept.len() >= self.limit => return Err(Full),
            None => state.number(),
        };
        let (here, gone) = watch::channel(());
        let replaced = Arc::new(Notify::new());
        if kept {
            state.kept.insert(id.to_owned(), number);
        }
        if !id.is_empty() {
            state.here.insert(id.to_owned(), Present { replaced: Arc::clone(&replaced), gone });
        }
        state.count += 1;
        drop(state);
        Ok(Ok(Place { slots: self, number, client_id: id.to_owned(), kept, replaced, _here: here }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> usize {
        if self.free.len() > REST
            && let Some(number) = self.free.pop_front()
        {
            return number;
        }
        let number = self.next;
        self.next += 1;
        number
    }
}

impl Place<'_> {
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Resolves when another device with the same id has come. Cancel safe.
    pub(crate) async fn replaced(&self) {
        self.replaced.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.count -= 1;
        if !self.client_id.is_empty() {
            state.here.remove(&self.client_id);
        }
        if !self.kept {
            state.free.push_back(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter<'a>(slots: &'a Slots, id: &str, clean: bool) -> Place<'a> {
        slots.try_enter(id, clean).expect("room").unwrap_or_else(|_| panic!("{id} is here already"))
    }

    #[test]
    fn numbers_are_used_again_after_a_rest() {
        let slots = Slots::new(2);
        let numbers: Vec<_> = (0..100).map(|_| enter(&slots, "", true).number()).collect();
        assert_eq!(numbers[..=REST], (0..=REST).collect::<Vec<_>>()[..]);
        assert_eq!(numbers.iter().max(), Some(&REST));
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn no_more_than_the_limit_are_here() {
        let slots = Slots::new(2);
        let (_a, b) = (enter(&slots, "a", true), enter(&slots, "", true));
        assert!(slots.try_enter("c", true).is_err());
        drop(b);
        enter(&slots, "c", true);
    }

    #[test]
    fn a_kept_session_keeps_its_number_until_a_clean_one() {
        let slots = Slots::new(200);
        let number = enter(&slots, "a", false).number();
        for _ in 0..100 {
            assert_ne!(enter(&slots, "", true).number(), number);
        }
        assert_eq!(enter(&slots, "a", false).number(), number);
        assert_eq!(enter(&slots, "a", true).number(), number);
        assert_ne!(enter(&slots, "a", false).number(), number);
    }

    #[tokio::test]
    async fn a_successor_waits_for_its_predecessor() {
        let slots = Slots::new(9);
        let first = enter(&slots, "a", true);
        let leaving = async {
            first.replaced().await;
            drop(first);
        };
        let ((), second) = tokio::join!(leaving, slots.enter("a", true));
        assert_eq!(second.expect("room").number(), 1);
    }
}
