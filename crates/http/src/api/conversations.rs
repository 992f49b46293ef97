//! `conversations`: where the user is.

use mqttchat_bridge::Program;
use serde_json::json;

use super::query::Query;
use super::{Call, etag, page};
use crate::problem::{Problem, Reply};

/// The user's conversations by name: the public one, their rooms and their private ones.
#[utoipa::path(
    get, path = "/api/v1/conversations", tag = "conversations",
    params(super::schema::ListQuery),
    responses(
        (status = 200, description = "A page of them", body = super::schema::Conversations,
            headers(
                ("ETag" = String, description = "For If-None-Match"),
                ("Link" = Option<String>, description = "The next page"))),
        (status = 304, description = "Nothing has changed since If-None-Match"),
    ),
)]
pub(super) async fn list(program: &Program, call: &Call) -> Result<Reply, Problem> {
    let query = Query::parse(&call.query, &["after", "limit"])?;
    let limit = query.number("limit", 1)?;
    let (found, more) = program.conversations(query.get("after"), limit).await?;
    let json = json!({ "conversations": found, "more": more }).to_string();
    let mut reply = etag::tagged(&call.headers, json.into_bytes());
    if let (true, Some(last)) = (more, found.last().and_then(|line| line["dest"].as_str())) {
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        page::link(&mut reply, "next", &format!("/api/v1/conversations?after={last}{limit}"));
    }
    Ok(reply)
}
