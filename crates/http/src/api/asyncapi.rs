//! `asyncapi.yaml`: the description of what goes over WebSocket and MQTT (AsyncAPI 3), as it stands in `docs/`.

use warp::http::header::{CONTENT_TYPE, HeaderValue};

use super::query::Query;
use super::{Call, etag};
use crate::problem::{Problem, Reply};

const DOCUMENT: &str = include_str!("../../../../docs/asyncapi.yaml");

/// Answers with the document. It is no secret: no token is asked for.
pub(super) fn document(call: &Call) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    let mut reply = etag::tagged(&call.headers, DOCUMENT.as_bytes().to_vec());
    if let Some(kind) = reply.headers_mut().get_mut(CONTENT_TYPE) {
        *kind = HeaderValue::from_static("application/yaml");
    }
    Ok(reply)
}

/// The description of the frames.
#[utoipa::path(
    get, path = "/api/v1/asyncapi.yaml", tag = "description", security(()),
    responses(
        (status = 200, description = "The AsyncAPI document of what goes over WebSocket and MQTT", body = Object,
            content_type = "application/yaml"),
        (status = 304, description = "It is the same as If-None-Match says"),
    ),
)]
#[allow(dead_code, reason = "described here, carried out by `document`")]
pub(super) fn description() {}
