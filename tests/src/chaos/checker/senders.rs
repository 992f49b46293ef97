//! What was sent and answered, against the logs.

use std::collections::{HashMap, HashSet};

use super::{Index, Violation};
use crate::chaos::history::{Conversation, History, What};

/// What somebody sent under an id, and what is known since.
struct Sending<'a> {
    conversation: &'a Conversation,
    text: &'a str,
    /// The highest `seq` acknowledged in its conversation before it was first sent.
    behind: u64,
    answer: Option<(u64, u64)>,
}

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let index = Index::of(history);
    let mut sendings: HashMap<(&str, &str), Sending<'_>> = HashMap::new();
    let mut acknowledged: HashMap<&Conversation, u64> = HashMap::new();
    let mut lost = HashSet::new();
    for record in &history.records {
        match &record.what {
            What::Sent { user: from, id, conversation, text }
            | What::Published { from, id, conversation, text } => {
                let behind = acknowledged.get(conversation).copied().unwrap_or(0);
                sendings.entry((from, id)).or_insert(Sending { conversation, text, behind, answer: None });
            }
            What::Acknowledged { user, id, conversation, seq, time, .. } => {
                let highest = acknowledged.entry(conversation).or_default();
                *highest = (*highest).max(*seq);
                let stored = index.places.get(&(conversation, *seq));
                let kept =
                    stored.is_some_and(|entry| entry.id == *id && entry.from == *user && entry.time == *time);
                if !kept && lost.insert((user, id)) {
                    let what = format!(
                        "{id} of {user} was acknowledged as {seq} of {conversation} at {time}, and the log has {stored:?} there"
                    );
                    found.push(Violation::new(1, &[id], what));
                }
                let Some(sending) = sendings.get_mut(&(user.as_str(), id.as_str())) else {
                    let what = format!("{id} was acknowledged to {user}, who never sent it");
                    found.push(Violation::new(6, &[id], what));
                    continue;
                };
                let answer = *sending.answer.get_or_insert((*seq, *time));
                if answer != (*seq, *time) {
                    let what =
                        format!("{id} of {user} was acknowledged as {answer:?}, then as {:?}", (seq, time));
                    found.push(Violation::new(3, &[id], what));
                }
            }
            What::Refused { user, id, code, .. } => {
                if code == "id_conflict" {
                    let what = format!("{id} of {user}, always with one content, was refused as a conflict");
                    found.push(Violation::new(3, &[id], what));
                } else if index.ids.contains_key(&(user.as_str(), id.as_str())) {
                    let what = format!("{id} of {user} was refused as {code}, and is stored");
                    found.push(Violation::new(6, &[id], what));
                }
            }
            What::Taken { from, id }
                if history.broker_kept && !index.ids.contains_key(&(from.as_str(), id.as_str())) =>
            {
                let what = format!("the broker took {id} of {from}, and it is not in the log");
                found.push(Violation::new(1, &[id], what));
            }
            _ => {}
        }
    }
    check_origins(history, &sendings, found);
}

/// Each entry is what somebody sent, where they sent it, and after what was acknowledged before.
fn check_origins(
    history: &History,
    sendings: &HashMap<(&str, &str), Sending<'_>>,
    found: &mut Vec<Violation>,
) {
    for (conversation, entries) in &history.logs {
        for entry in entries {
            let place = format!("{} of {conversation}", entry.seq);
            let Some(sending) = sendings.get(&(entry.from.as_str(), entry.id.as_str())) else {
                let what = format!("nobody sent {}, stored as {place} from {}", entry.id, entry.from);
                found.push(Violation::new(6, &[&entry.id], what));
                continue;
            };
            if sending.conversation != conversation {
                let what = format!("{} was sent to {}, and is {place}", entry.id, sending.conversation);
                found.push(Violation::new(4, &[&entry.id], what));
            }
            if sending.text != entry.text {
                let what = format!("{} was sent as {:?}, and {place} is {entry:?}", entry.id, sending.text);
                found.push(Violation::new(6, &[&entry.id], what));
            }
            if entry.seq <= sending.behind && sending.conversation == conversation {
                let what = format!(
                    "{} is {place}, and was sent after {} was acknowledged",
                    entry.id, sending.behind
                );
                found.push(Violation::new(2, &[&entry.id], what));
            }
        }
    }
}
