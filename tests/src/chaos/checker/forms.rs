//! What each entry may be shown as: as it was sent, then as each later change has made it.

use std::collections::HashMap;

use crate::chaos::entry::edited;
use crate::chaos::history::{Conversation, Deed, Entry, History, Marks, What};

/// How soon after its acknowledgement a change is in every answer, in ms.
const AT_ONCE: u64 = 1_000;

/// How an entry reads from some change on.
#[derive(Debug)]
struct Form {
    /// The place of that change; 0 in the beginning.
    since: u64,
    text: String,
    marks: Marks,
}

/// An entry in a conversation, by its place.
type Place<'a> = (&'a Conversation, u64);

/// All forms of the entries that were changed, and when changes were acknowledged.
#[derive(Debug, Default)]
pub(super) struct Forms<'a> {
    forms: HashMap<Place<'a>, Vec<Form>>,
    acknowledged: HashMap<Place<'a>, u64>,
}

/// A change that is missing in what was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It says something else by now, or people think something of it.
    Change(u64),
    /// It is gone.
    Deletion(u64),
}

impl<'a> Forms<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut sent: HashMap<_, Vec<&str>> = HashMap::new();
        let mut forms = Self::default();
        for record in &history.records {
            match &record.what {
                What::Sent { user: from, id, conversation, text }
                | What::Published { from, id, conversation, text } => {
                    sent.entry((conversation, from.as_str(), id.as_str())).or_default().push(text);
                }
                What::Acknowledged { conversation, seq, .. } => {
                    forms.acknowledged.entry((conversation, *seq)).or_insert(record.at);
                }
                _ => {}
            }
        }
        for (conversation, log) in &history.logs {
            let original = |entry: &'a Entry| {
                let key = (conversation, entry.from.as_str(), entry.id.as_str());
                let texts = sent.get(&key).map_or(&[][..], Vec::as_slice);
                // Of what contradicted itself, that is in the log which is there, unless it was changed.
                let is_there = |text: &&&str| **text == entry.text;
                texts.iter().find(is_there).or(texts.first()).copied().unwrap_or(&entry.text)
            };
            forms.follow(conversation, log, original);
        }
        forms
    }

    fn follow(
        &mut self,
        conversation: &'a Conversation,
        log: &'a [Entry],
        original: impl Fn(&'a Entry) -> &'a str,
    ) {
        let mut edits: HashMap<u64, Vec<&Entry>> = HashMap::new();
        for change in log {
            let Some((deed, seq)) = change.does.as_ref().and_then(|deed| Some((deed, deed.target()?))) else {
                continue;
            };
            let index = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1));
            let Some(target) = index.and_then(|index| log.get(index)) else { continue };
            let begun =
                |entry| vec![Form { since: 0, text: original(entry).to_owned(), marks: Marks::default() }];
            let forms = self.forms.entry((conversation, seq)).or_insert_with(|| begun(target));
            let Some(last) = forms.last() else { continue };
            let (mut text, mut marks) = (last.text.clone(), last.marks.clone());
            match deed {
                Deed::Edit(_) => {
                    original(change)
                        .strip_prefix(&edited(&target.id, ""))
                        .unwrap_or_default()
                        .clone_into(&mut text);
                    marks.edited = Some(change.time);
                    edits.entry(seq).or_default().push(change);
                }
                Deed::Delete(_) => {
                    (text, marks) = (String::new(), Marks { deleted: true, ..Marks::default() });
                }
                Deed::React { emoji, on, .. } => react(&mut marks, emoji, *on, &change.from),
                Deed::Make(_) | Deed::Add(_) | Deed::Remove(_) => {}
            }
            forms.push(Form { since: change.seq, text, marks });
            if let Deed::Delete(_) = deed {
                for edit in edits.remove(&seq).unwrap_or_default() {
                    let forms = self.forms.entry((conversation, edit.seq)).or_insert_with(|| begun(edit));
                    let text = edited(&target.id, "");
                    forms.push(Form { since: change.seq, text, marks: Marks::default() });
                }
            }
        }
    }

    /// What an entry of the log said when it was sent.
    pub(super) fn original<'b>(&'b self, conversation: &'b Conversation, stored: &'b Entry) -> &'b str {
        let forms = self.forms.get(&(conversation, stored.seq));
        forms.and_then(|forms| forms.first()).map_or(&stored.text, |form| &form.text)
    }

    /// Whether an entry of the log reads as all changes together have made it.
    pub(super) fn is_as_changed(&self, conversation: &Conversation, stored: &Entry) -> bool {
        let forms = self.forms.get(&(conversation, stored.seq));
        forms.and_then(|forms| forms.last()).map_or(stored.marks == Marks::default(), |form| form.is(stored))
    }

    /// The last change that shows in what somebody was shown of an entry; nothing when it never read like that.
    pub(super) fn shows(&self, conversation: &Conversation, stored: &Entry, shown: &Entry) -> Option<u64> {
        let Some(forms) = self.forms.get(&(conversation, stored.seq)) else {
            return (stored == shown).then_some(0);
        };
        let same = stored.seq == shown.seq
            && (&stored.id, &stored.from, stored.time, &stored.does)
                == (&shown.id, &shown.from, shown.time, &shown.does);
        forms.iter().rfind(|form| same && form.is(shown)).map(|form| form.since)
    }

    /// The change that was acknowledged well before somebody asked, and doesn't show in what they were shown.
    pub(super) fn missing(
        &self,
        conversation: &Conversation,
        stored: &Entry,
        shows: u64,
        asked: u64,
    ) -> Option<Missing> {
        let forms = self.forms.get(&(conversation, stored.seq))?;
        let missing = forms.iter().rfind(|form| {
            let acknowledged = self.acknowledged.get(&(conversation, form.since));
            form.since > shows && acknowledged.is_some_and(|at| at + AT_ONCE < asked)
        })?;
        let gone = stored.marks.deleted && forms.last().is_some_and(|last| last.since == missing.since);
        Some(if gone { Missing::Deletion(missing.since) } else { Missing::Change(missing.since) })
    }
}

impl Form {
    fn is(&self, entry: &Entry) -> bool {
        self.text == entry.text && self.marks == entry.marks
    }
}

fn react(marks: &mut Marks, emoji: &str, on: bool, who: &str) {
    let users = marks.reactions.entry(emoji.to_owned()).or_default();
    users.retain(|user| user != who);
    if on {
        users.push(who.to_owned());
        users.sort();
    }
    marks.reactions.retain(|_, users| !users.is_empty());
}
