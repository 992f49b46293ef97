//! `history`: a page of a conversation's log.

use std::sync::Arc;

use mqttchat_protocol::{Dest, HistoryBounds, Refusal};

use crate::caller::Caller;
use crate::command::{Outcome, Re, store_away};
use crate::hub::Hub;
use crate::page::{frames, newest_that_fit, oldest_that_fit, with_messages};

/// Answers with a page of entries, oldest first, with consecutive `seq`.
pub(crate) async fn history(
    hub: &Arc<Hub>,
    caller: &Caller,
    re: &Re,
    dest: &Dest,
    bounds: HistoryBounds,
) -> Result<Outcome, Refusal> {
    let conversation = hub.readable(caller, dest).await?;
    let most = hub.options.limits.history;
    let limit = bounds.limit.unwrap_or(most).min(most);
    // One entry more than wanted tells whether there are more.
    let (entries, more) = match bounds.after {
        Some(after) => {
            let mut entries =
                hub.store.entries_after(&conversation, after, limit + 1).await.map_err(store_away)?;
            let more = entries.len() as u64 > limit;
            entries.truncate(limit as usize);
            (entries, more)
        }
        None => {
            let entries = hub
                .store
                .entries_before(&conversation, bounds.before, limit + 1)
                .await
                .map_err(store_away)?;
            let more = entries.len() as u64 > limit;
            (entries.into_iter().skip(usize::from(more)).collect(), more)
        }
    };
    let frames = frames(&entries);
    let fitting = if bounds.after.is_some() { oldest_that_fit(&frames) } else { newest_that_fit(&frames) };
    let more = more || fitting.len() < frames.len();
    Ok(Outcome::frame(re.reply(&with_messages(&serde_json::json!({ "more": more }), fitting))))
}
