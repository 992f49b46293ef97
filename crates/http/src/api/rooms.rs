//! `rooms`: listed, made, changed, deleted.

use mqttchat_bridge::Program;
use mqttchat_protocol::{ClientFrame, Command, Dest, Refusal, Room, RoomChange, RoomId};
use serde_json::{Map, Value, json};
use warp::http::header::{HeaderValue, IF_MATCH, LOCATION};
use warp::http::{HeaderMap, StatusCode};

use super::body::{Body, Kind, json_of, kind, unsupported};
use super::messages::{frame, key_or_new};
use super::query::{Query, bad};
use super::{Api, Call, etag, page};
use crate::problem::{Problem, Reply, json as json_reply};

/// The rooms that the user can see, by id: the open ones, and those that they belong to.
#[utoipa::path(
    get, path = "/api/v1/rooms", tag = "rooms", operation_id = "list_rooms",
    params(super::schema::RoomsQuery),
    responses(
        (status = 200, description = "A page of them", body = super::schema::Rooms,
            headers(
                ("ETag" = String, description = "For If-None-Match"),
                ("Link" = Option<String>, description = "The next page"))),
        (status = 304, description = "Nothing has changed since If-None-Match"),
    ),
)]
pub(super) async fn list(program: &Program, call: &Call) -> Result<Reply, Problem> {
    let query = Query::parse(&call.query, &["after", "limit"])?;
    let limit = query.number("limit", 1)?;
    let after = query
        .get("after")
        .map(|id| RoomId::parse(id).ok_or_else(|| bad("the parameter after has to be the id of a room")));
    let (rooms, more) = program.rooms(after.transpose()?.as_ref(), limit).await?;
    let json = json!({ "rooms": rooms, "more": more }).to_string();
    let mut reply = etag::tagged(&call.headers, json.into_bytes());
    if let (true, Some(last)) = (more, rooms.last()) {
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        page::link(&mut reply, "next", &format!("/api/v1/rooms?after={}{limit}", last.id));
    }
    Ok(reply)
}

/// Makes a room. Its maker owns it and belongs to it.
#[utoipa::path(
    post, path = "/api/v1/rooms", tag = "rooms", operation_id = "create_room",
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, min_length = 1, max_length = 64, pattern = "^[ -~]+$",
        description = "With the same key the same request makes one room only")),
    request_body(content = super::schema::NewRoom),
    responses(
        (status = 201, description = "The room", body = super::schema::Room,
            headers(("Location" = String, description = "Where it is"))),
        (status = 200, description = "It had been made by this request already", body = super::schema::Room,
            headers(("Location" = String, description = "Where it is"))),
    ),
)]
pub(super) async fn create(api: &Api, program: &Program, call: &Call, body: Body) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    let mut data = object(api, call, body, &["id", "title", "open", "members"]).await?;
    let id = data
        .remove("id")
        .ok_or_else(|| bad("the member id is missing: what is the room called in addresses?"))?;
    let id = id.as_str().and_then(RoomId::parse);
    let id =
        id.ok_or_else(|| bad("id has to be 1 to 64 of a-z, 0-9, _ and -, and begin with a letter or digit"))?;
    let (room, fresh) = change(program, call, &id, "room.create", data).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    let mut reply = json_reply(status, "application/json", &room);
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/rooms/{id}")) {
        reply.headers_mut().insert(LOCATION, location);
    }
    Ok(reply)
}

/// One room.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "get_room",
    params(("room" = String, Path, description = "The room's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    responses(
        (status = 200, description = "The room", body = super::schema::Room,
            headers(("ETag" = String, description = "For If-None-Match, and for If-Match when it is changed"))),
        (status = 304, description = "Nothing has changed since If-None-Match"),
    ),
)]
pub(super) async fn one(program: &Program, call: &Call, id: &RoomId) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    let room = program.room(id).await?;
    Ok(etag::tagged_as(&call.headers, json!(room).to_string().into_bytes(), &tag(&room)))
}

/// Gives a room another title, opens or closes it. For its owner.
#[utoipa::path(
    patch, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "update_room",
    params(
        ("room" = String, Path, description = "The room's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "Only if the room is still as this ETag says, messages in it aside")),
    request_body(content = super::schema::RoomPatch),
    responses(
        (status = 200, description = "The room as it is now", body = super::schema::Room),
        (status = 412, description = "It is no longer as If-Match says", body = super::schema::Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn update(
    api: &Api,
    program: &Program,
    call: &Call,
    body: Body,
    id: &RoomId,
) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    let data = object(api, call, body, &["title", "open"]).await?;
    still(program, &call.headers, id).await?;
    let (room, _) = change(program, call, id, "room.update", data).await?;
    Ok(json_reply(StatusCode::OK, "application/json", &room))
}

/// Deletes a room, with everything said in it. For its owner.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "delete_room",
    params(
        ("room" = String, Path, description = "The room's id", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "Only if the room is still as this ETag says, messages in it aside")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 412, description = "It is no longer as If-Match says", body = super::schema::Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete(program: &Program, call: &Call, id: &RoomId) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    still(program, &call.headers, id).await?;
    change(program, call, id, "room.delete", Map::new()).await?;
    Ok(no_content())
}

/// Carries out a change that was put together here, read as a session's frame is. Returns the room as it is then, and
/// whether this request did it.
pub(super) async fn change(
    program: &Program,
    call: &Call,
    id: &RoomId,
    kind: &str,
    data: Map<String, Value>,
) -> Result<(Value, bool), Problem> {
    let dest = Dest::Room(id.clone());
    let wish = json!({ "type": kind, "id": key_or_new(&call.headers)?, "dest": dest, "data": data });
    let Value::Object(wish) = wish else { return Err(bad("the body has to be a JSON object")) };
    let ClientFrame { id: Some(key), command: Command::Room(change), .. } = frame(&wish)? else {
        return Err(bad("the body has to describe a change of a room"));
    };
    Ok(submit(program, key, id, change).await?)
}

async fn submit(
    program: &Program,
    key: mqttchat_protocol::MessageId,
    id: &RoomId,
    change: RoomChange,
) -> Result<(Value, bool), Refusal> {
    let changed = program.change_room(key, id, change).await?;
    Ok((changed.room, changed.fresh))
}

pub(super) fn no_content() -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

pub(super) async fn object(
    api: &Api,
    call: &Call,
    body: Body,
    members: &[&str],
) -> Result<Map<String, Value>, Problem> {
    if kind(&call.headers)? == Kind::Text {
        return Err(unsupported());
    }
    let body = body.read(api.options.frame_limit).await?;
    match json_of(&body)? {
        Value::Object(object) if object.keys().any(|name| !members.contains(&name.as_str())) => {
            Err(bad(format!("the members of this object are {}", members.join(", "))))
        }
        Value::Object(object) => Ok(object),
        _ => Err(bad("the body has to be a JSON object")),
    }
}

/// Checks `If-Match` (RFC 9110 §13.1.1).
async fn still(program: &Program, headers: &HeaderMap, id: &RoomId) -> Result<(), Problem> {
    let wanted: Vec<&str> = headers.get_all(IF_MATCH).iter().filter_map(|tags| tags.to_str().ok()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let now = tag(&program.room(id).await?);
    if wanted.iter().flat_map(|tags| tags.split(',')).any(|tag| is_still(tag.trim(), &now)) {
        return Ok(());
    }
    let detail = "the room was changed meanwhile: read it again, and decide anew";
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, detail)
        .with("code", "precondition_failed")
        .with("retry", false))
}

/// A room's tag: what it is, and how far its log has come. Each message changes the second part only, which is none of
/// the business of whoever changes the room.
fn tag(room: &Room) -> String {
    let settings = Room { head: 0, ..room.clone() };
    format!("\"{}-{}\"", etag::digest(json!(settings).to_string().as_bytes()), room.head)
}

fn is_still(wanted: &str, now: &str) -> bool {
    let settings = |tag: &str| tag.split_once('-').map(|(settings, _)| settings.to_owned());
    wanted == "*" || settings(wanted).is_some_and(|wanted| Some(wanted) == settings(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttchat_protocol::UserId;

    #[test]
    fn messages_dont_stand_in_the_way_of_changes() {
        let ann = UserId::parse("ann").unwrap();
        let room = Room {
            id: RoomId::parse("ops").unwrap(),
            title: "Ops".into(),
            open: true,
            owner: ann.clone(),
            members: vec![ann],
            created: 1,
            modified: 1,
            head: 7,
        };
        let spoken = tag(&Room { head: 8, ..room.clone() });
        let renamed = tag(&Room { title: "O".into(), ..room.clone() });
        let was = tag(&room);
        assert_ne!(was, spoken);
        assert!(is_still(&was, &spoken) && is_still("*", &was));
        assert!(!is_still(&was, &renamed) && !is_still("\"x\"", &was) && !is_still("", &was));
    }
}
