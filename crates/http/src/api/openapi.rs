//! `openapi.json`: the description of this API (OpenAPI 3.1), made from the types and functions that carry it out.

use std::sync::LazyLock;

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::query::Query;
use super::{Call, asyncapi, conversations, etag, events, members, messages, rooms, say, schema, users};
use crate::problem::{Problem, Reply};

static DOCUMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| Document::openapi().to_json().unwrap_or_default().into_bytes());

#[derive(OpenApi)]
#[openapi(
    info(title = "mqttchat", version = "1", description = "A chat server's interface for programs.",
        license(name = "MIT", identifier = "MIT")),
    paths(
        messages::send, messages::list, say::say_in_public, say::say_in_room, say::say_in_private,
        conversations::list, events::follow, rooms::list, rooms::create, rooms::one, rooms::update,
        rooms::delete, members::add, members::remove, users::list, users::one, users::update, description,
        asyncapi::description,
    ),
    components(schemas(schema::Problem)),
    tags(
        (name = "messages", description = "Saying something, and reading what was said"),
        (name = "conversations", description = "Where a user is"),
        (name = "events", description = "What is said from now on"),
        (name = "rooms", description = "Rooms, and who belongs to them"),
        (name = "users", description = "Who there is"),
        (name = "description", description = "This document, and that of the frames")),
    security(("bearer" = [])),
    modifiers(&Bearer, &Problems),
)]
struct Document;

/// Answers with the document. It is no secret: no token is asked for.
pub(super) fn document(call: &Call) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    Ok(etag::tagged(&call.headers, DOCUMENT.clone()))
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "description", security(()),
    responses(
        (status = 200, description = "The OpenAPI document of this API", body = Object),
        (status = 304, description = "It is the same as If-None-Match says"),
    ),
)]
#[allow(dead_code, reason = "described here, carried out by `document`")]
fn description() {}

/// How one signs in.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A user's token, as a session gets it in its 1000 frame, or an API key"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// What can go wrong, the same for calls of the same kind.
struct Problems;

const ANY: &[(&str, &str)] = &[
    ("400", "A parameter, header or body isn't what is described here"),
    ("403", "Not for this page's origin"),
];
const SIGNED_IN: &[(&str, &str)] = &[
    ("401", "The token is missing, or no longer good"),
    ("404", "It isn't there, or not for this user"),
    ("429", "Too much in too short a time"),
    ("503", "The store is away; try again, with the same id"),
];
const WRITING: &[(&str, &str)] = &[
    ("408", "The body didn't come in time"),
    ("409", "The id was used for something else, or it is there already"),
    ("413", "It is larger than the server's limits allow"),
    ("415", "The body's type isn't understood"),
];

impl Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let reading = [&mut item.get].into_iter().flatten().map(|call| (call, false));
            let writing = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for (call, writes) in reading.chain(writing.into_iter().flatten().map(|call| (call, true))) {
                let public = call.security.as_ref().is_some_and(|needed| !needed.is_empty());
                describe(call, ANY);
                if !public {
                    describe(call, SIGNED_IN);
                }
                if writes {
                    describe(call, WRITING);
                }
            }
        }
    }
}

fn describe(call: &mut Operation, problems: &[(&str, &str)]) {
    for (status, when) in problems {
        call.responses.responses.entry((*status).to_owned()).or_insert_with(|| {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response =
                ResponseBuilder::new().description(*when).content("application/problem+json", body);
            RefOr::T(response.build())
        });
    }
}
