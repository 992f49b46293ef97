//! `messages`: sending one, and reading what was said.

use mqttchat_bridge::{Program, Sent};
use mqttchat_protocol::{ClientFrame, Command, Dest, HistoryBounds, MessageId, Refusal};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use warp::http::header::{HeaderValue, LOCATION};
use warp::http::{HeaderMap, StatusCode};

use super::body::{Body, Kind, json_of, kind, unsupported};
use super::query::{Query, bad};
use super::{Api, Call, etag, page};
use crate::problem::{Problem, Reply, json as json_reply};

/// What a body may have beside its message's data: names, and what keeps them apart.
const ENVELOPE: usize = 1024;

/// Where a client puts the id of what it sends, if not into the body.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Sends a message. The same id again, with the same conversation and content, is the same message.
#[utoipa::path(
    post, path = "/api/v1/messages", tag = "messages",
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, description = "The message's id, where the body has none",
        min_length = 1, max_length = 64, pattern = "^[ -~]+$")),
    request_body(content = super::schema::NewMessage, description = "The message"),
    responses(
        (status = 201, description = "It is stored, and will reach everybody", body = super::schema::Message,
            headers(("Location" = String, description = "Where it can be read again"))),
        (status = 200, description = "It had been sent already; this is what was stored then",
            body = super::schema::Message,
            headers(("Location" = String, description = "Where it can be read again"))),
    ),
)]
pub(super) async fn send(api: &Api, program: &Program, call: &Call, body: Body) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    if kind(&call.headers)? == Kind::Text {
        return Err(unsupported());
    }
    let body = body.read(api.options.frame_limit + ENVELOPE).await?;
    let Value::Object(mut body) = json_of(&body)? else {
        return Err(bad("the body has to be a JSON object"));
    };
    if body.get("type").is_some_and(|kind| kind != "msg") {
        return Err(bad("messages of this call have no type but msg"));
    }
    // Looked at also where the body's goes first.
    let key = key_or_new(&call.headers)?;
    let id = body.remove("id").filter(|id| !id.is_null()).unwrap_or_else(|| key.into());
    body.insert("type".to_owned(), "msg".into());
    body.insert("id".to_owned(), id);
    let ClientFrame { id: Some(id), dest: Some(dest), command: Command::Msg(data) } = frame(&body)? else {
        return Err(bad("the body has to be a message"));
    };
    Ok(stored(&program.send(id, &dest, &data).await?))
}

/// A message that was put together here, read as every other frame of a client is.
pub(super) fn frame(frame: &Map<String, Value>) -> Result<ClientFrame, Refusal> {
    ClientFrame::parse(&json!(frame).to_string())
}

/// The id in `Idempotency-Key`.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<MessageId>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (first, second) = (given.next(), given.next());
    let id = |key: &HeaderValue| {
        let key = key.to_str().ok()?.trim();
        // The standard to come has it quoted (draft-ietf-httpapi-idempotency-key-header).
        MessageId::parse(key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key))
    };
    match (first, second) {
        (None, _) => Ok(None),
        (Some(key), None) => id(key)
            .map(Some)
            .ok_or_else(|| bad("Idempotency-Key has to be 1 to 64 printable ASCII characters")),
        _ => Err(bad("Idempotency-Key stands there twice")),
    }
}

/// The id of what is sent here: the client's, or a new one.
pub(super) fn key_or_new(headers: &HeaderMap) -> Result<String, Problem> {
    Ok(key(headers)?.map_or_else(|| Uuid::now_v7().to_string(), |key| key.to_string()))
}

/// What is answered about a message that is stored.
pub(super) fn stored(sent: &Sent) -> Reply {
    let entry = &sent.entry;
    let message = serde_json::from_slice(entry.to_frame().as_json()).unwrap_or(Value::Null);
    let status = if sent.fresh { StatusCode::CREATED } else { StatusCode::OK };
    let mut reply = json_reply(status, "application/json", &message);
    let location = format!("{}&limit=1", address(&entry.dest(), Some(("after", entry.seq - 1))));
    if let Ok(location) = HeaderValue::from_str(&location) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

/// Reads a page of a conversation's log, oldest first: the newest messages, or those before or after one. With `q`, looks
/// for messages instead, in `dest` or wherever the user may read, newest first.
#[utoipa::path(
    get, path = "/api/v1/messages", tag = "messages",
    params(super::schema::MessagesQuery),
    responses(
        (status = 200, description = "The messages, oldest first; those found, newest first", body = super::schema::Messages,
            headers(
                ("ETag" = String, description = "For If-None-Match"),
                ("Link" = Option<String>, description = "The pages beside this one: next is newer, prev older"))),
        (status = 304, description = "Nothing has changed since If-None-Match"),
    ),
)]
pub(super) async fn list(program: &Program, call: &Call) -> Result<Reply, Problem> {
    let query = Query::parse(&call.query, &["dest", "before", "after", "limit", "q"])?;
    if let Some(q) = query.get("q") {
        return find(program, call, &query, q).await;
    }
    let dest = query.dest()?.ok_or_else(|| bad("the parameter dest is missing: which conversation?"))?;
    let bounds = HistoryBounds {
        before: query.number("before", 0)?,
        after: query.number("after", 0)?,
        limit: query.number("limit", 1)?,
    };
    if bounds.before.is_some() && bounds.after.is_some() {
        return Err(bad("give before or after, not both"));
    }
    let found = program.history(&dest, bounds).await?;
    let mut reply =
        etag::tagged(&call.headers, program.counted(page::of_messages(&found.messages, found.more)));
    let limit = bounds.limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
    let mut link = |rel, bound| page::link(&mut reply, rel, &format!("{}{limit}", address(&dest, bound)));
    let (older, newer) = match bounds.after {
        Some(_) => (found.first.is_some_and(|first| first > 1), found.more),
        None => (found.more, bounds.before.is_some()),
    };
    if let (true, Some(first)) = (older, found.first) {
        link("prev", Some(("before", first)));
    }
    if let (true, Some(last)) = (newer, found.last()) {
        link("next", Some(("after", last)));
    }
    Ok(reply)
}

/// Looks for messages: the newest that `q` finds.
async fn find(program: &Program, call: &Call, query: &Query<'_>, q: &str) -> Result<Reply, Problem> {
    if query.get("before").or(query.get("after")).is_some() {
        return Err(bad("a search has no before and after: make q narrower"));
    }
    let found = program.search(q, query.dest()?.as_ref(), query.number("limit", 1)?).await?;
    Ok(etag::tagged(&call.headers, program.counted(page::of_messages(&found.messages, found.more))))
}

fn address(dest: &Dest, bound: Option<(&str, u64)>) -> String {
    let bound = bound.map(|(name, seq)| format!("&{name}={seq}")).unwrap_or_default();
    format!("/api/v1/messages?dest={dest}{bound}")
}
