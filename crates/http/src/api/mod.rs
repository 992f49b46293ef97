//! `/api/v1`: what programs ask without a session (docs/api.md). One file a resource.
//!
//! A request is matched to a [`Resource`], then to one of its methods, then its token is looked at, then the rest of it.
//! What goes wrong on the way is a [`Problem`]; nothing here has rules of its own about messages, rooms or rights: those
//! are the bridge's.

mod asyncapi;
mod bearer;
mod body;
mod conversations;
mod cors;
mod etag;
mod events;
mod members;
mod messages;
mod openapi;
mod page;
pub(crate) mod query;
mod resource;
mod rooms;
mod say;
mod schema;
mod users;

use std::sync::Arc;

use mqttchat_bridge::{Bridge, Program};
use mqttchat_protocol::Dest;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method, StatusCode};

use crate::app::HttpOptions;
use crate::host::Authority;
use crate::problem::{Problem, Reply, method_not_allowed};
use crate::serve::Remote;
use body::Body;
use resource::Resource;

/// What the calls need of the server.
struct Api {
    bridge: Bridge,
    options: Arc<HttpOptions>,
}

/// A request, read as far as its head.
struct Call {
    method: Method,
    /// What stands behind `/api/`.
    path: String,
    /// What stands behind `?`.
    query: String,
    headers: HeaderMap,
    host: Option<Authority>,
    remote: Option<Remote>,
}

/// Answers everything below `/api`.
pub(crate) fn routes(bridge: Bridge, options: Arc<HttpOptions>) -> BoxedFilter<(Reply,)> {
    let api = Arc::new(Api { bridge, options });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path("api")
        .and(warp::path::tail())
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Authority>())
        .and(warp::ext::optional::<Remote>())
        .and(warp::body::stream())
        .then(move |path: warp::path::Tail, method, query, headers, host, remote, body| {
            let path = path.as_str().to_owned();
            let call = Call { method, path, query, headers, host, remote };
            let (api, body) =
                (api.clone(), Body::new(body, api.options.body_timeout, api.options.bodies.clone()));
            async move { Box::pin(answer(&api, &call, body)).await }
        })
        .boxed()
}

async fn answer(api: &Api, call: &Call, body: Body) -> Reply {
    let origins = &api.options.origins;
    let allowed = call.host.as_ref().map_or(Ok(()), |host| origins.check(&call.headers, host));
    let page = origins.other(&call.headers).cloned();
    let mut reply = match allowed {
        Ok(()) => answer_call(api, call, body).await.unwrap_or_else(Problem::into_response),
        Err(problem) => problem.with("code", "forbidden").into_response(),
    };
    cors::welcome(reply.headers_mut(), page);
    reply
}

async fn answer_call(api: &Api, call: &Call, body: Body) -> Result<Reply, Problem> {
    let Some(resource) = Resource::find(&call.path) else {
        let detail = "There is no such call; /api/v1/openapi.json describes those that there are.";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail).with("code", "not_found"));
    };
    let allow = resource.methods();
    if call.method == Method::OPTIONS {
        return Ok(cors::options(allow));
    }
    if !allow.split(", ").any(|method| method == call.method.as_str()) {
        return Err(method_not_allowed(allow));
    }
    if matches!(resource, Resource::OpenApi) {
        return openapi::document(call);
    }
    if matches!(resource, Resource::AsyncApi) {
        return asyncapi::document(call);
    }
    let program = bearer::program(api, call).await?;
    resource.answer(api, &program, call, body).await
}

impl Resource {
    /// Carries out a call whose method is one of the resource's.
    async fn answer(self, api: &Api, program: &Program, call: &Call, body: Body) -> Result<Reply, Problem> {
        match (self, &call.method) {
            (Self::Messages, &Method::POST) => messages::send(api, program, call, body).await,
            (Self::Messages, _) => messages::list(program, call).await,
            (Self::Conversations, _) => conversations::list(program, call).await,
            (Self::Users, _) => users::list(program, call).await,
            (Self::User(user), &Method::PATCH) => users::update(api, program, call, body, &user).await,
            (Self::User(user), _) => users::one(program, call, &user).await,
            (Self::Rooms, &Method::POST) => rooms::create(api, program, call, body).await,
            (Self::Rooms, _) => rooms::list(program, call).await,
            (Self::Room(room), &Method::POST) => say::say(api, program, call, body, &Dest::Room(room)).await,
            (Self::Room(room), &Method::PATCH) => rooms::update(api, program, call, body, &room).await,
            (Self::Room(room), &Method::DELETE) => rooms::delete(program, call, &room).await,
            (Self::Room(room), _) => rooms::one(program, call, &room).await,
            (Self::Member(room, user), &Method::PUT) => members::add(program, call, &room, &user).await,
            (Self::Member(room, user), _) => members::remove(program, call, &room, &user).await,
            (Self::Events, _) => events::follow(api, program, call).await,
            (Self::Say(dest), _) => say::say(api, program, call, body, &dest).await,
            (Self::OpenApi, _) => openapi::document(call),
            (Self::AsyncApi, _) => asyncapi::document(call),
        }
    }
}
