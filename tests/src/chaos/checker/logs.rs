//! The logs by themselves: no holes, time runs forwards, one entry for each id.

use std::collections::HashSet;

use super::Violation;
use crate::chaos::history::History;

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let mut ids = HashSet::new();
    for (conversation, entries) in &history.logs {
        let mut time = 0;
        for (place, entry) in (1..).zip(entries) {
            let about: [&dyn std::fmt::Display; 2] = [conversation, &entry.id];
            if entry.seq != place {
                let what = format!("the log of {conversation} has {} where {place} belongs", entry.seq);
                found.push(Violation::new(2, &about, what));
                // One hole is one violation, not one for each entry after it.
                break;
            }
            if entry.time < time {
                let what =
                    format!("time runs backwards at {place} of {conversation}: {time}, {}", entry.time);
                found.push(Violation::new(2, &about, what));
            }
            time = time.max(entry.time);
            if !ids.insert((&entry.from, &entry.id)) {
                let what = format!("{} of {} is stored twice", entry.id, entry.from);
                found.push(Violation::new(3, &[&entry.id], what));
            }
        }
    }
}
