//! `CHAOS_HISTORY` names the file with the history of a failed run, to be checked once more.

use std::path::Path;

use anyhow::Result;
use mqttchat_e2e::chaos::checker::{check, report};
use mqttchat_e2e::chaos::history::History;

#[test]
fn a_history_that_was_kept_is_checked_again() -> Result<()> {
    let Ok(path) = std::env::var("CHAOS_HISTORY") else { return Ok(()) };
    let history = History::load(Path::new(&path))?;
    let violations = check(&history);
    assert!(violations.is_empty(), "{}", report(&history, &violations));
    Ok(())
}
