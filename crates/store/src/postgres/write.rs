//! What waits for the writer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mqttchat_protocol::{Conversation, Entry, Party};
use tokio::sync::oneshot;

use crate::{AppendError, Appended, Done, NewEntry, StoreError};

/// One write, until its commit.
pub(super) enum Write {
    /// An entry.
    Append { entry: NewEntry, done: Done },
    /// A cursor.
    Move(Move),
    /// Nothing but a write, to see whether writes work.
    Probe,
}

/// A cursor that is to move.
pub(super) struct Move {
    pub(super) which: Which,
    pub(super) user: Party,
    pub(super) conversation: Conversation,
    pub(super) seq: u64,
    pub(super) reply: oneshot::Sender<Result<Option<u64>, StoreError>>,
}

/// Which cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Delivered,
    Read,
}

/// What a write comes to, if its batch is committed.
pub(super) enum Verdict {
    /// The entry is stored, so numbered. `data`: where it isn't the new entry's.
    Stored { seq: u64, time: u64, position: u64, delivered_before: Option<u64>, data: Option<Box<str>> },
    /// The entry was there before.
    Again(Box<Entry>),
    /// It is the same as this one of the batch.
    SameAs(usize),
    /// It isn't stored.
    Refused(AppendError),
    /// What the answer to moving the cursor is.
    Moved(Option<u64>),
    /// There is nobody to tell.
    Probed,
}

/// Tells all that wait, in order.
pub(super) fn settle_all(writes: Vec<Write>, verdicts: Vec<Verdict>) {
    let mut stored: Vec<Option<Arc<Entry>>> = Vec::with_capacity(writes.len());
    for (write, verdict) in writes.into_iter().zip(verdicts) {
        let (known, tell) = settle(write, verdict, &stored);
        stored.push(known);
        told(tell);
    }
}

/// Tells all that wait that it came to nothing.
pub(super) fn refuse_all(writes: Vec<Write>, error: &StoreError) {
    for write in writes {
        refuse(write, error);
    }
}

/// Tells one.
pub(super) fn refuse(write: Write, error: &StoreError) {
    match write {
        Write::Append { done, .. } => told(Box::new(|| done(Err(error.into())))),
        // Whoever asked may be gone.
        Write::Move(to) => drop(to.reply.send(Err(error.clone()))),
        Write::Probe => {}
    }
}

type Tell<'a> = Box<dyn FnOnce() + 'a>;

fn settle<'a>(
    write: Write,
    verdict: Verdict,
    stored: &[Option<Arc<Entry>>],
) -> (Option<Arc<Entry>>, Tell<'a>) {
    match (write, verdict) {
        (Write::Append { entry, done }, verdict) => {
            let again = |entry| Appended { entry, fresh: false, delivered_before: None };
            let outcome = match verdict {
                Verdict::Stored { seq, time, position, delivered_before, data } => {
                    let entry = entry.into_entry(seq, time, position, data);
                    Ok(Appended { entry: Arc::new(entry), fresh: true, delivered_before })
                }
                Verdict::Again(first) => Ok(again(Arc::from(first))),
                Verdict::SameAs(index) => match stored.get(index) {
                    Some(Some(first)) => Ok(again(first.clone())),
                    _ => Err((&StoreError::closed()).into()),
                },
                Verdict::Refused(refusal) => Err(refusal),
                Verdict::Moved(_) | Verdict::Probed => Err((&StoreError::closed()).into()),
            };
            let known = outcome.as_ref().ok().map(|appended| appended.entry.clone());
            (known, Box::new(move || done(outcome)))
        }
        (Write::Move(to), Verdict::Moved(moved)) => (None, Box::new(move || drop(to.reply.send(Ok(moved))))),
        // Nobody waits, or whoever does learns it by the end of the channel.
        (Write::Move(_) | Write::Probe, _) => (None, Box::new(|| ())),
    }
}

/// What it calls is others' code, and must not end the writer.
fn told(tell: Tell<'_>) {
    if catch_unwind(AssertUnwindSafe(tell)).is_err() {
        tracing::error!("whoever waited for a commit panicked");
    }
}
