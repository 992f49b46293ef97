//! What can break, and when it does, made from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Something that breaks for a while. A number of a server counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of a server, which is then started again.
    KillServer(usize),
    /// SIGTERM of a server, which is then started again.
    StopServer(usize),
    /// SIGSTOP of a server, then SIGCONT.
    FreezeServer(usize),
    /// SIGKILL of the broker, which comes back with what it had saved.
    KillBroker,
    /// SIGKILL of the broker, which comes back with nothing.
    EmptyBroker,
    /// SIGSTOP of the broker, then SIGCONT.
    FreezeBroker,
    /// The connections of every so-manyth client are cut.
    CutClients(u64),
    /// What these clients say and hear comes late.
    DelayClients(u64),
    /// What these clients say and hear is swallowed, until it is cut.
    BlackHoleClients(u64),
    /// The servers' connections to the broker are cut.
    CutLink,
    /// What goes over them comes late.
    DelayLink,
    /// What goes over them is swallowed, until they are cut.
    BlackHoleLink,
    /// A device reads nothing.
    SlowReader(usize),
    /// Everybody is cut off and comes back at once, and many others with them.
    Storm,
    /// The database ends without a goodbye, and is started again.
    KillDatabase,
    /// The database is stopped in the orderly way, and started again.
    StopDatabase,
    /// The disk of the servers' data is full.
    FullDisk,
    /// The servers' clock is set so many seconds from the right time; it stays so.
    StepClock(i64),
}

/// A fault with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// How long all is well before.
    pub pause: Duration,
    /// What breaks.
    pub fault: Fault,
    /// How long.
    pub hold: Duration,
}

/// The faults of a run, without an end: for one seed and one choice always the same.
pub fn schedule(seed: u64, choice: Vec<Fault>) -> impl Iterator<Item = Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut left = Vec::new();
    std::iter::from_fn(move || {
        // All of them in some order before any comes again, so that a short run has each.
        if left.is_empty() {
            left.clone_from(&choice);
        }
        if left.is_empty() {
            return None;
        }
        let fault = left.swap_remove(rng.random_range(0..left.len()));
        let pause = Duration::from_millis(rng.random_range(200..1200));
        let hold = Duration::from_millis(rng.random_range(20..1800));
        Some(Planned { pause, fault, hold })
    })
}

#[cfg(test)]
mod tests {
    use super::{Fault, schedule};

    #[test]
    fn a_seed_replays_and_each_fault_has_its_turn() {
        let choice = vec![Fault::KillServer(0), Fault::Storm, Fault::CutLink];
        let first: Vec<_> = schedule(7, choice.clone()).take(30).collect();
        assert_eq!(first, schedule(7, choice.clone()).take(30).collect::<Vec<_>>());
        assert_ne!(first, schedule(8, choice.clone()).take(30).collect::<Vec<_>>());
        for turn in first.chunks(3) {
            assert!(choice.iter().all(|fault| turn.iter().any(|planned| planned.fault == *fault)));
        }
    }
}
