//! Whether a history keeps what is promised. A pure function over histories: no clock, no network.
//!
//! 1. Every acknowledged message is in the log, and reaches every member that stays or returns, and the broker.
//! 2. There is one gap-free order for each conversation, and each client sees it in that order.
//! 3. There is one entry for each sender and id, and one answer.
//! 4. Nobody sees what they may not: a pair is for the two, a room for those who belong to it, what was deleted for nobody.
//! 5. Each session is shown each message at most once, and told of its delivery at most once.
//! 6. What was not acknowledged is stored once or never, and nothing is stored that nobody sent.
//! 7. Ten seconds after the last fault everybody's view equals the log.

mod forms;
mod logs;
mod rooms;
mod senders;
mod streams;
mod views;

use std::collections::HashMap;
use std::fmt;

use self::forms::Forms;
use self::rooms::Rooms;
use super::history::{Conversation, Entry, History};

/// Records that are shown around a violation.
const EXCERPT: usize = 40;
/// Violations that are shown of one history.
const SHOWN: usize = 10;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which, by the list at the top of the checker.
    pub invariant: u8,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What the records that have to do with it contain, all of these in each.
    pub about: Vec<String>,
}

impl Violation {
    fn new(invariant: u8, about: &[&dyn fmt::Display], what: String) -> Self {
        // Members of JSON are looked for with their quotes: `ann-1` is not `ann-12`.
        let about = about.iter().map(|needle| format!("\"{needle}\"")).collect();
        Self { invariant, what, about }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "invariant {}: {}", self.invariant, self.what)
    }
}

/// Finds everything in a history that should not be.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let (index, rooms) = (Index::of(history), Rooms::of(history));
    logs::check(history, &mut found);
    senders::check(history, &index, &mut found);
    streams::check(history, &index, &mut found);
    rooms::check(history, &rooms, &mut found);
    views::check(history, &index, &rooms, &mut found);
    found.sort_by_key(|violation| violation.invariant);
    found
}

/// What to print about a failed run: each violation with the part of the history that it is about.
#[must_use]
pub fn report(history: &History, violations: &[Violation]) -> String {
    let mut lines = vec![format!("{} violations in {}", violations.len(), history.configuration)];
    for violation in violations.iter().take(SHOWN) {
        lines.push(violation.to_string());
        let texts = history.records.iter().filter_map(|record| serde_json::to_string(record).ok());
        let all: Vec<_> =
            texts.filter(|text| violation.about.iter().all(|needle| text.contains(needle))).collect();
        let left_out = all.len().saturating_sub(EXCERPT);
        for text in all.iter().skip(left_out) {
            lines.push(format!("    {}", text.chars().take(300).collect::<String>()));
        }
    }
    lines.join("\n")
}

/// The logs of a history, for looking entries up.
struct Index<'a> {
    places: HashMap<(&'a Conversation, u64), &'a Entry>,
    ids: HashMap<(&'a str, &'a str), (&'a Conversation, &'a Entry)>,
    forms: Forms<'a>,
}

impl<'a> Index<'a> {
    fn of(history: &'a History) -> Self {
        let mut index = Self { places: HashMap::new(), ids: HashMap::new(), forms: Forms::of(history) };
        for (conversation, entries) in &history.logs {
            for entry in entries {
                index.places.insert((conversation, entry.seq), entry);
                index.ids.entry((&entry.from, &entry.id)).or_insert((conversation, entry));
            }
        }
        index
    }
}
