//! What people do in rooms, in a word each.

use anyhow::{Context, Result, ensure};
use mqttchat_e2e::User;
use serde_json::{Value, json};

/// The room of all these tests.
pub(crate) const OPS: &str = "rooms/ops";

/// Makes the room.
pub(crate) async fn create(user: &mut User, open: bool, members: &[&str]) -> Result<Value> {
    change(user, "room.create", json!({"title": "Operations", "open": open, "members": members})).await
}

/// Changes the room, or who belongs to it.
pub(crate) async fn change(user: &mut User, kind: &str, data: Value) -> Result<Value> {
    let id = uuid::Uuid::new_v4().to_string();
    user.send(&json!({"type": kind, "id": id, "dest": OPS, "data": data})).await?;
    let answer =
        user.expect_where(&format!("the answer to {kind}"), |frame| frame["re"] == id.as_str()).await?;
    ensure!(answer["type"] == "reply", "{kind} was answered with {answer}");
    Ok(answer["data"].clone())
}

/// Sends a change of a message under an id of its own and waits until it is accepted; gives its `seq`.
pub(crate) async fn amend(user: &mut User, kind: &str, dest: &str, data: Value) -> Result<u64> {
    let id = uuid::Uuid::new_v4().to_string();
    user.send(&json!({"type": kind, "id": id, "dest": dest, "data": data})).await?;
    Ok(user.expect_accepted(&id).await?.seq)
}

/// The code with which a frame is refused.
pub(crate) async fn refused(user: &mut User, kind: &str, data: Value) -> Result<String> {
    let id = uuid::Uuid::new_v4().to_string();
    user.send(&json!({"type": kind, "id": id, "dest": OPS, "data": data})).await?;
    let answer =
        user.expect_where(&format!("the answer to {kind}"), |frame| frame["re"] == id.as_str()).await?;
    ensure!(answer["type"] == "error", "{kind} was answered with {answer}");
    Ok(answer["data"]["code"].as_str().context("an error without a code")?.to_owned())
}

/// Takes the `room` frame with this change.
pub(crate) async fn expect_change(user: &User, change: &str) -> Result<Value> {
    let is_it = |frame: &Value| frame["type"] == "room" && frame["data"]["change"] == change;
    user.expect_where(&format!("the change {change}"), is_it).await
}

/// The entries of a conversation that came by themselves, in the order in which they came.
pub(crate) fn log_of(user: &User, dest: &str) -> Vec<(u64, Value)> {
    let seen = user.seen();
    let entries = seen.iter().filter(|frame| frame["dest"] == dest && frame["from"].is_string());
    entries.filter_map(|frame| Some((frame["seq"].as_u64()?, frame.clone()))).collect()
}

/// The numbers of these.
pub(crate) fn numbers(user: &User, dest: &str) -> Vec<u64> {
    log_of(user, dest).into_iter().map(|(seq, _)| seq).collect()
}
