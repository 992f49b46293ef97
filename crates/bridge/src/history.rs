//! `history`: a page of a conversation's log.

use std::sync::Arc;

use mqttchat_protocol::{Dest, Entry, Frame, HistoryBounds, Refusal};

use crate::caller::Caller;
use crate::command::{Outcome, Re, store_away};
use crate::hub::Hub;
use crate::page::{frames, newest_that_fit, oldest_that_fit, with_messages};

/// A page of a conversation's log: entries with consecutive `seq`, oldest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// The `seq` of the first entry; `None` when there are none.
    pub first: Option<u64>,
    /// The entries as frames.
    pub messages: Vec<Frame>,
    /// Whether there are more on the side that was asked for: newer ones with `after`, else older ones.
    pub more: bool,
}

impl Page {
    /// The `seq` of the last entry.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.first.map(|first| first + self.messages.len() as u64 - 1)
    }
}

/// Answers with a page of entries.
pub(crate) async fn history(
    hub: &Arc<Hub>,
    caller: &Caller,
    re: &Re,
    dest: &Dest,
    bounds: HistoryBounds,
) -> Result<Outcome, Refusal> {
    let turn = hub.pages.turn().await;
    let page = page_within(hub, caller, dest, bounds, turn.bytes).await?;
    let members = serde_json::json!({ "more": page.more });
    Ok(Outcome::frame(re.reply(&with_messages(&members, &page.messages))))
}

/// Reads a page of entries, bounded in number and bytes.
pub(crate) async fn history_page(
    hub: &Arc<Hub>,
    caller: &Caller,
    dest: &Dest,
    bounds: HistoryBounds,
) -> Result<Page, Refusal> {
    let turn = hub.pages.turn().await;
    page_within(hub, caller, dest, bounds, turn.bytes).await
}

/// The same, with so many bytes.
async fn page_within(
    hub: &Arc<Hub>,
    caller: &Caller,
    dest: &Dest,
    bounds: HistoryBounds,
    bytes: usize,
) -> Result<Page, Refusal> {
    let conversation = dest.seen_by(&caller.party);
    let most = hub.options.limits.history;
    let limit = bounds.limit.unwrap_or(most).min(most);
    // One entry more than wanted tells whether there are more.
    let (entries, more) = match bounds.after {
        Some(after) => {
            let read = hub.store.entries_after_within(&conversation, after, limit + 1, bytes).await;
            let mut entries = read.map_err(store_away)?;
            let more = entries.len() as u64 > limit;
            entries.truncate(limit as usize);
            (entries, more)
        }
        None => {
            let read = hub.store.entries_before_within(&conversation, bounds.before, limit + 1, bytes).await;
            let entries = read.map_err(store_away)?;
            let more = entries.len() as u64 > limit;
            (entries.into_iter().skip(usize::from(more)).collect::<Vec<Entry>>(), more)
        }
    };
    // Rights are read behind the entries: what was taken back before is known by then.
    hub.readable(caller, dest).await?;
    let frames = frames(&entries);
    let fitting = match bounds.after {
        Some(_) => oldest_that_fit(&frames, bytes),
        None => newest_that_fit(&frames, bytes),
    };
    let left_out = if bounds.after.is_some() { 0 } else { frames.len() - fitting.len() };
    Ok(Page {
        first: entries.get(left_out).map(|entry| entry.seq),
        messages: fitting.to_vec(),
        more: more || fitting.len() < frames.len(),
    })
}
