//! `events`: what is said from now on, as server-sent events.

use std::collections::BTreeMap;

use mqttchat_bridge::Program;
use mqttchat_protocol::Dest;
use warp::Reply as _;
use warp::http::Method;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use super::query::{Query, bad};
use super::{Api, Call};
use crate::problem::{Problem, Reply};
use crate::sse::{Positions, SseTransport};

const LAST_EVENT_ID: &str = "last-event-id";

/// Follows conversations: the frames that a session gets which has joined them, each as an event's data, until one of
/// the two ends it. The id of an event is its `seq`, or with several conversations the last `seq` of each.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "follow",
    params(
        super::schema::EventsQuery,
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the last event that the program has: what came \
            after it comes first", pattern = "^([0-9]{1,15}|[a-z/_:0-9-]+:[0-9]{1,15}(,[a-z/_:0-9-]+:[0-9]{1,15})*)$")),
    responses((status = 200, description = "Events without end", body = String, content_type = "text/event-stream")),
)]
pub(super) async fn follow(api: &Api, program: &Program, call: &Call) -> Result<Reply, Problem> {
    let query = Query::parse_repeated(&call.query, &["dest"])?;
    let dests: Result<BTreeMap<Dest, Option<u64>>, _> = query
        .all("dest")
        .flat_map(|dests| dests.split(','))
        .map(|dest| Dest::parse(dest).map(|dest| (dest, None)))
        .collect();
    let mut positions = Positions(dests?);
    let most = api.bridge.limits().resume;
    if positions.0.is_empty() {
        return Err(bad("the parameter dest is missing: which conversations?"));
    }
    if positions.0.len() > most {
        return Err(bad(format!("a stream follows at most {most} conversations")));
    }
    if let Some(id) = call.headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        positions.resume(id.to_str().unwrap_or_default()).map_err(bad)?;
    }
    for dest in positions.0.keys() {
        program.may_read(dest).await?;
    }
    let mut reply = if call.method == Method::HEAD {
        Reply::default()
    } else {
        let following = positions.0.clone();
        let (transport, body) = SseTransport::new(program.user().clone(), positions);
        tokio::spawn(program.follow(transport, &following));
        warp::reply::stream(body).into_response()
    };
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies of nginx's kind would wait for a full buffer.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(reply)
}
