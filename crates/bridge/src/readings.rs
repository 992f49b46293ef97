//! How far people have read in rooms, told no more often than somebody can follow.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mqttchat_protocol::{Conversation, UserId};

/// Everybody in a room is told of it, so it costs what a message costs; who reads on within this time is told of once.
const TOLD_EVERY: Duration = Duration::from_millis(250);

/// Who has read on in a room a moment ago. Nobody stays in here for longer than they read.
#[derive(Debug, Default)]
pub(crate) struct Readings(Mutex<HashMap<(Conversation, UserId), Reading>>);

#[derive(Debug)]
struct Reading {
    told: Instant,
    waiting: Option<u64>,
}

impl Readings {
    /// Notes that somebody has read up to `seq`; true when that is to be told now, else it is told by
    /// [`Readings::take_due`].
    pub(crate) fn note(&self, room: &Conversation, reader: &UserId, seq: u64, now: Instant) -> bool {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match readings.entry((room.clone(), reader.clone())) {
            Entry::Occupied(mut known) => {
                let reading = known.get_mut();
                let is_due = now.saturating_duration_since(reading.told) >= TOLD_EVERY;
                if is_due {
                    *reading = Reading { told: now, waiting: None };
                } else {
                    reading.waiting = reading.waiting.max(Some(seq));
                }
                is_due
            }
            Entry::Vacant(place) => {
                place.insert(Reading { told: now, waiting: None });
                true
            }
        }
    }

    /// What has waited long enough: in which room who has read how far.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<(Conversation, UserId, u64)> {
        let mut due = Vec::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(room, reader), reading| {
            if now.saturating_duration_since(reading.told) < TOLD_EVERY {
                return true;
            }
            let waiting = reading.waiting.take();
            reading.told = now;
            due.extend(waiting.map(|seq| (room.clone(), reader.clone(), seq)));
            waiting.is_some()
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use mqttchat_protocol::RoomId;

    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_last_in_the_end() {
        let room = Conversation::Room(RoomId::parse("ops").unwrap());
        let (ann, bob) = (UserId::parse("ann").unwrap(), UserId::parse("bob").unwrap());
        let (readings, start) = (Readings::default(), Instant::now());
        assert!(readings.note(&room, &ann, 1, start));
        assert!(readings.note(&room, &bob, 7, start), "each by themselves");
        assert!(!readings.note(&room, &ann, 2, start) && !readings.note(&room, &ann, 3, start));
        assert!(readings.take_due(start).is_empty());
        let later = start + TOLD_EVERY;
        assert_eq!(readings.take_due(later), [(room.clone(), ann.clone(), 3)]);
        assert!(!readings.note(&room, &ann, 4, later), "that was just told");
        assert!(readings.note(&room, &bob, 8, later));
        assert!(readings.note(&room, &ann, 5, later + TOLD_EVERY), "and nothing older comes after it");
        assert!(readings.take_due(later + 3 * TOLD_EVERY).is_empty());
        assert!(readings.0.lock().unwrap().is_empty(), "nobody is kept");
    }
}
