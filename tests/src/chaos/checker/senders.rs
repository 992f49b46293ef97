//! What was sent and answered, against the logs.

use std::collections::{HashMap, HashSet};

use super::{Index, Violation};
use crate::chaos::history::{Conversation, Entry, History, What};

/// What somebody sent under an id, and what is known since.
#[derive(Default)]
struct Sending<'a> {
    /// More than one where somebody spends an id twice.
    contents: Vec<Content<'a>>,
    answer: Option<(u64, u64)>,
}

struct Content<'a> {
    conversation: &'a Conversation,
    text: &'a str,
    /// The highest `seq` acknowledged in its conversation before it was first sent.
    behind: u64,
}

struct Senders<'a> {
    index: &'a Index<'a>,
    sendings: HashMap<(&'a str, &'a str), Sending<'a>>,
    acknowledged: HashMap<&'a Conversation, u64>,
    lost: HashSet<(&'a str, &'a str)>,
    broker_kept: bool,
    found: &'a mut Vec<Violation>,
}

pub(super) fn check<'a>(history: &'a History, index: &'a Index<'a>, found: &'a mut Vec<Violation>) {
    let mut senders = Senders {
        index,
        sendings: HashMap::new(),
        acknowledged: HashMap::new(),
        lost: HashSet::new(),
        broker_kept: history.broker_kept,
        found,
    };
    for record in &history.records {
        senders.read(&record.what);
    }
    senders.check_origins(history);
}

impl<'a> Senders<'a> {
    fn read(&mut self, what: &'a What) {
        match what {
            What::Sent { user: from, id, conversation, text }
            | What::Published { from, id, conversation, text } => {
                let behind = self.acknowledged.get(conversation).copied().unwrap_or(0);
                let contents = &mut self.sendings.entry((from, id)).or_default().contents;
                let known =
                    |content: &Content<'_>| content.conversation == conversation && content.text == text;
                if !contents.iter().any(known) {
                    contents.push(Content { conversation, text, behind });
                }
            }
            What::Acknowledged { user, id, conversation, seq, time, text, .. } => {
                self.acknowledged(user, id, conversation, (*seq, *time), text.as_deref());
            }
            What::Refused { user, id, conversation, text, code, .. } => {
                self.refused((user, id), (conversation, text), code);
            }
            What::Taken { from, id }
                if self.broker_kept && !self.index.ids.contains_key(&(from.as_str(), id.as_str())) =>
            {
                let what = format!("the broker took {id} of {from}, and it is not in the log");
                self.found.push(Violation::new(1, &[id], what));
            }
            _ => {}
        }
    }

    fn acknowledged(
        &mut self,
        user: &'a str,
        id: &'a str,
        conversation: &'a Conversation,
        answer: (u64, u64),
        text: Option<&'a str>,
    ) {
        let (seq, time) = answer;
        let highest = self.acknowledged.entry(conversation).or_default();
        *highest = (*highest).max(seq);
        let stored = self.index.places.get(&(conversation, seq));
        let is_it = |entry: &&&Entry| entry.id == id && entry.from == user && entry.time == time;
        match stored.filter(is_it) {
            None if self.lost.insert((user, id)) => {
                let what = format!(
                    "{id} of {user} was acknowledged as {seq} of {conversation} at {time}, and the log has {stored:?} there"
                );
                self.found.push(Violation::new(1, &[&id], what));
            }
            Some(entry)
                if text.is_some_and(|text| self.index.forms.original(conversation, entry) != text) =>
            {
                let what = format!("{id} of {user} was acknowledged for {text:?}, and the log has {entry:?}");
                self.found.push(Violation::new(3, &[&id], what));
            }
            _ => {}
        }
        let Some(sending) = self.sendings.get_mut(&(user, id)) else {
            let what = format!("{id} was acknowledged to {user}, who never sent it");
            return self.found.push(Violation::new(6, &[&id], what));
        };
        let first = *sending.answer.get_or_insert(answer);
        if first != answer {
            let what = format!("{id} of {user} was acknowledged as {first:?}, then as {answer:?}");
            self.found.push(Violation::new(3, &[&id], what));
        }
    }

    fn refused(&mut self, (user, id): (&'a str, &'a str), sent: (&Conversation, &str), code: &str) {
        let stored = self.index.ids.get(&(user, id));
        let is_stored = stored.is_some_and(|(conversation, entry)| {
            (*conversation, self.index.forms.original(conversation, entry)) == sent
        });
        let (invariant, what) = match (code, stored) {
            ("id_conflict", _) if is_stored => (3, "as a conflict with itself"),
            ("id_conflict", None) => (3, "as a conflict with nothing"),
            ("id_conflict", Some(_)) => return,
            (_, _) if is_stored => (6, "and is stored"),
            _ => return,
        };
        let what = format!("{id} of {user} was refused with {code}, {what}");
        self.found.push(Violation::new(invariant, &[&id], what));
    }

    /// Each entry is what somebody sent, where they sent it, and after what was acknowledged before.
    fn check_origins(&mut self, history: &History) {
        for (conversation, entries) in &history.logs {
            for entry in entries {
                let place = format!("{} of {conversation}", entry.seq);
                let Some(sending) = self.sendings.get(&(entry.from.as_str(), entry.id.as_str())) else {
                    let what = format!("nobody sent {}, stored as {place} from {}", entry.id, entry.from);
                    self.found.push(Violation::new(6, &[&entry.id], what));
                    continue;
                };
                let mut here =
                    sending.contents.iter().filter(|content| content.conversation == conversation).peekable();
                if here.peek().is_none() {
                    let what = format!("{} was sent elsewhere, and is {place}", entry.id);
                    self.found.push(Violation::new(4, &[&entry.id], what));
                    continue;
                }
                let Some(content) =
                    here.find(|content| content.text == self.index.forms.original(conversation, entry))
                else {
                    let what = format!("{} was sent with another text than {place}: {entry:?}", entry.id);
                    self.found.push(Violation::new(6, &[&entry.id], what));
                    continue;
                };
                if !self.index.forms.is_as_changed(conversation, entry) {
                    let what = format!("{} is not as it was changed: {place} is {entry:?}", entry.id);
                    self.found.push(Violation::new(6, &[&entry.id], what));
                }
                if entry.seq <= content.behind {
                    let what = format!(
                        "{} is {place}, and was sent after {} was acknowledged",
                        entry.id, content.behind
                    );
                    self.found.push(Violation::new(2, &[&entry.id], what));
                }
            }
        }
    }
}
