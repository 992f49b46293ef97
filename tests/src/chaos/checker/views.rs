//! What each device knows in the end, against the logs.

use std::collections::{HashMap, HashSet};

use super::rooms::Rooms;
use super::{Index, Violation};
use crate::chaos::history::{Conversation, History, What};

/// How long after the last fault somebody may still lack something, in ms.
const SETTLED: u64 = 10_000;

pub(super) fn check(history: &History, index: &Index<'_>, rooms: &Rooms, found: &mut Vec<Violation>) {
    check_outside(history, index, found);
    let healed = history.records.iter().rfind(|record| record.what == What::Healed).map(|record| record.at);
    let Some(healed) = healed else {
        found.push(Violation::new(7, &[&"healed"], "the faults never ended".to_owned()));
        return;
    };
    let known = known(history, healed + SETTLED);
    let nothing = HashSet::new();
    for device in &history.devices {
        let theirs = |place: &&Conversation| !place.is_room() || rooms.belongs(place, &device.user);
        for conversation in device.follows.iter().filter(theirs) {
            let entries = history.logs.get(conversation).map_or(&[][..], Vec::as_slice);
            let view = known.get(&(device.device.as_str(), conversation)).unwrap_or(&nothing);
            let missing: Vec<_> =
                entries.iter().filter(|entry| !view.contains(&entry.seq)).map(|entry| entry.seq).collect();
            if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
                let what = format!(
                    "{SETTLED} ms after the last fault {} lacks {} of {} entries of {conversation}, from {first} to {last}",
                    device.device,
                    missing.len(),
                    entries.len()
                );
                found.push(Violation::new(7, &[&device.device], what));
            }
        }
    }
}

/// What the broker's subscribers got is the log: where the broker kept everything, all of it.
fn check_outside(history: &History, index: &Index<'_>, found: &mut Vec<Violation>) {
    let public = Conversation::public();
    let log = history.logs.get(&public).map_or(&[][..], Vec::as_slice);
    let mut heard = HashSet::new();
    for record in &history.records {
        let What::Overheard { conversation, entry } = &record.what else { continue };
        heard.insert(entry.seq);
        let stored = index.places.get(&(&public, entry.seq));
        let is_it = stored.is_some_and(|stored| index.forms.shows(&public, stored, entry).is_some());
        if !is_it || *conversation != public {
            let what = format!("{entry:?} was published in {conversation}, and is not in its log");
            found.push(Violation::new(2, &[&entry.id], what));
        }
    }
    let missing = log.iter().filter(|entry| !heard.contains(&entry.seq));
    for entry in missing.filter(|_| history.broker_kept) {
        let what = format!("{} of {public}, {}, was never published", entry.seq, entry.id);
        found.push(Violation::new(1, &[&entry.id], what));
    }
}

/// The places that each device was shown or has fetched until then.
fn known(history: &History, until: u64) -> HashMap<(&str, &Conversation), HashSet<u64>> {
    let mut devices: HashMap<&str, &str> = HashMap::new();
    let mut known: HashMap<_, HashSet<u64>> = HashMap::new();
    for record in history.records.iter().filter(|record| record.at <= until) {
        let (session, conversation, entries) = match &record.what {
            What::Opened { session, device, .. } => {
                devices.insert(session, device);
                continue;
            }
            What::Saw { session, conversation, entry } | What::Told { session, conversation, entry } => {
                (session, conversation, std::slice::from_ref(entry))
            }
            What::Fetched { session, conversation, entries, .. } => {
                (session, conversation, entries.as_slice())
            }
            _ => continue,
        };
        if let Some(device) = devices.get(session.as_str()) {
            known.entry((*device, conversation)).or_default().extend(entries.iter().map(|entry| entry.seq));
        }
    }
    known
}
