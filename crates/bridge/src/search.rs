//! `search`: messages by their text, newest first.

use std::sync::Arc;

use mqttchat_protocol::{Dest, ErrorCode, Frame, Refusal};
use mqttchat_store::Query;
use serde_json::json;

use crate::caller::Caller;
use crate::command::{Outcome, Re, store_away};
use crate::hub::Hub;
use crate::page::{frames, oldest_that_fit, with_messages};

/// How many messages an answer has where the client doesn't say.
const DEFAULT_LIMIT: u64 = 50;

/// Answers with the newest messages that a query finds.
pub(crate) async fn search(
    hub: &Arc<Hub>,
    caller: &Caller,
    re: &Re,
    q: &str,
    limit: Option<u64>,
) -> Result<Outcome, Refusal> {
    let found = search_page(hub, caller, q, re.dest.as_ref(), limit).await?;
    Ok(Outcome::frame(re.reply(&with_messages(&json!({}), &found))))
}

/// Looks in `dest`, or wherever the caller may read: the store sees to that in the search itself. Bounded in number and
/// bytes, newest first.
pub(crate) async fn search_page(
    hub: &Arc<Hub>,
    caller: &Caller,
    q: &str,
    dest: Option<&Dest>,
    limit: Option<u64>,
) -> Result<Vec<Frame>, Refusal> {
    let query = Query::parse(q).map_err(|reason| Refusal::new(ErrorCode::BadFrame, reason))?;
    let conversation = dest.map(|dest| dest.seen_by(&caller.party));
    let limit = limit.unwrap_or(DEFAULT_LIMIT).min(hub.options.limits.history);
    let turn = hub.pages.turn().await;
    let found = hub.store.search(&caller.party, &query, conversation.as_ref(), limit).await;
    let mut entries = found.map_err(store_away)?;
    entries.retain(|entry| caller.covers(&entry.conversation));
    // Behind the search, as everywhere: what was taken back before is known by then.
    if let Some(dest) = dest {
        hub.readable(caller, dest).await?;
    }
    Ok(oldest_that_fit(&frames(&entries), turn.bytes).to_vec())
}
