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
    /// The servers' data can be read only.
    ReadOnly,
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
///
/// Those of `first` come first, in some order and briskly, since a short run has no time for all of `choice`. Of these,
/// each has its turn before any comes again.
pub fn schedule(seed: u64, first: Vec<Fault>, choice: Vec<Fault>) -> impl Iterator<Item = Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut brisk, mut left) = (first.len(), first);
    std::iter::from_fn(move || {
        if left.is_empty() {
            left.clone_from(&choice);
        }
        if left.is_empty() {
            return None;
        }
        let fault = left.swap_remove(rng.random_range(0..left.len()));
        let (pauses, holds) = if brisk > 0 { (200..500, 100..700) } else { (200..1200, 20..1800) };
        brisk = brisk.saturating_sub(1);
        let pause = Duration::from_millis(rng.random_range(pauses));
        let hold = Duration::from_millis(rng.random_range(holds));
        Some(Planned { pause, fault, hold })
    })
}

impl Fault {
    /// Its kind, the same for all servers, clients and times.
    #[must_use]
    pub fn kind(&self) -> String {
        let name = format!("{self:?}");
        name.split('(').next().unwrap_or_default().to_owned()
    }

    /// Whether it is a SIGKILL of a server or of a broker.
    #[must_use]
    pub fn kills(&self) -> bool {
        matches!(self, Self::KillServer(_) | Self::KillBroker | Self::EmptyBroker)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Planned, schedule};

    #[test]
    fn a_seed_replays_and_each_fault_has_its_turn() {
        let first = [Fault::CutLink, Fault::ReadOnly];
        let choice = [Fault::KillServer(0), Fault::Storm, Fault::CutLink];
        let planned = |seed| schedule(seed, first.to_vec(), choice.to_vec()).take(32).collect::<Vec<_>>();
        assert_eq!(planned(7), planned(7));
        assert_ne!(planned(7), planned(8));
        let has = |turn: &[Planned], fault| turn.iter().any(|planned| planned.fault == fault);
        let all = planned(7);
        let (begun, rest) = all.split_at(2);
        assert!(first.iter().all(|fault| has(begun, *fault)));
        assert!(rest.chunks(3).all(|turn| choice.iter().all(|fault| has(turn, *fault))));
    }
}
