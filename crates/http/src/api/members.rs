//! `rooms/{room}/members/{user}`: who belongs to a room.

use mqttchat_bridge::Program;
use mqttchat_protocol::{RoomId, UserId};
use serde_json::{Map, Value, json};
use warp::http::StatusCode;

use super::Call;
use super::query::Query;
use super::rooms::{change, no_content};
use crate::problem::{Problem, Reply, json as json_reply};

/// Adds a user to a room. For its owner; in an open room, for whoever adds themselves.
#[utoipa::path(
    put, path = "/api/v1/rooms/{room}/members/{user}", tag = "rooms", operation_id = "add_member",
    params(
        ("room" = String, Path, description = "The room's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$"),
        ("user" = String, Path, description = "The user's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    responses((status = 200, description = "The room, to which the user belongs now", body = super::schema::Room)),
)]
pub(super) async fn add(
    program: &Program,
    call: &Call,
    room: &RoomId,
    user: &UserId,
) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    let room = match change(program, call, room, "member.add", named(user)).await {
        Ok((room, _)) => room,
        Err(problem) if problem.status() == StatusCode::CONFLICT => {
            let now = program.room(room).await?;
            // Whoever belongs to it already is no conflict for a PUT.
            if !now.has(user) {
                return Err(problem);
            }
            json!(now)
        }
        Err(problem) => return Err(problem),
    };
    Ok(json_reply(StatusCode::OK, "application/json", &room))
}

/// Removes a user from a room. For its owner, and for whoever leaves; the owner can't be removed.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}/members/{user}", tag = "rooms", operation_id = "remove_member",
    params(
        ("room" = String, Path, description = "The room's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$"),
        ("user" = String, Path, description = "The user's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    responses((status = 204, description = "They don't belong to it any more")),
)]
pub(super) async fn remove(
    program: &Program,
    call: &Call,
    room: &RoomId,
    user: &UserId,
) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    match change(program, call, room, "member.remove", named(user)).await {
        Err(problem) if problem.status() == StatusCode::CONFLICT && !program.room(room).await?.has(user) => {
            let detail = format!("{user} doesn't belong to the room {room}");
            Err(Problem::new(StatusCode::NOT_FOUND, detail).with("code", "not_found").with("retry", false))
        }
        other => other.map(|_| no_content()),
    }
}

fn named(user: &UserId) -> Map<String, Value> {
    std::iter::once(("user".to_owned(), user.as_str().into())).collect()
}
