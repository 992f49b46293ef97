//! `users`: who there is, whether they are there, and when they last were.

use mqttchat_bridge::Program;
use mqttchat_protocol::{PersonState, UserId};
use serde_json::{Value, json};
use warp::http::StatusCode;

use super::body::Body;
use super::query::{Query, bad};
use super::rooms::object;
use super::{Api, Call, page};
use crate::problem::{Problem, Reply, json as json_reply};

/// Users by id: all, or those who are there, or those who aren't.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users",
    params(super::schema::UsersQuery),
    responses((status = 200, description = "A page of them", body = super::schema::Users,
        headers(("Link" = Option<String>, description = "The next page")))),
)]
pub(super) async fn list(program: &Program, call: &Call) -> Result<Reply, Problem> {
    let query = Query::parse(&call.query, &["state", "after", "limit"])?;
    let state = match query.get("state") {
        None => None,
        Some("online") => Some(PersonState::Online),
        Some("offline") => Some(PersonState::Offline),
        Some(_) => return Err(bad("the parameter state has to be online or offline")),
    };
    let limit = query.number("limit", 1)?;
    let (people, more) = program.users(state, query.get("after"), limit).await?;
    let body = json!({ "users": people, "more": more });
    let mut reply = json_reply(StatusCode::OK, "application/json", &body);
    if let (true, Some(last)) = (more, people.last()) {
        let state = query.get("state").map(|state| format!("&state={state}")).unwrap_or_default();
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        page::link(&mut reply, "next", &format!("/api/v1/users?after={}{state}{limit}", last.id));
    }
    Ok(reply)
}

/// One user.
#[utoipa::path(
    get, path = "/api/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "The user's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    responses((status = 200, description = "The user", body = super::schema::User)),
)]
pub(super) async fn one(program: &Program, call: &Call, user: &UserId) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    let mut person = json!(program.person(user).await?);
    if program.is_admin() {
        person["blocked"] = program.is_blocked(user).await?.into();
    }
    Ok(json_reply(StatusCode::OK, "application/json", &person))
}

/// Locks a user out, or lets them in again; for keys with the scope `admin`. Within a second their sessions are closed on
/// every node, and nothing that they send is taken from the moment of the answer on.
#[utoipa::path(
    patch, path = "/api/v1/users/{user}", tag = "users", operation_id = "update_user",
    params(("user" = String, Path, description = "The user's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    request_body(content = super::schema::UserPatch),
    responses((status = 200, description = "The user as it is now", body = super::schema::User)),
)]
pub(super) async fn update(
    api: &Api,
    program: &Program,
    call: &Call,
    body: Body,
    user: &UserId,
) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    let data = object(api, call, body, &["blocked"]).await?;
    let Some(Value::Bool(blocked)) = data.get("blocked") else {
        return Err(bad("the member blocked has to be true or false"));
    };
    let mut person = json!(program.set_blocked(user, *blocked).await?);
    person["blocked"] = (*blocked).into();
    Ok(json_reply(StatusCode::OK, "application/json", &person))
}
