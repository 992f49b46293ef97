//! One SockJS service: from a request to whoever answers it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Buf;
use futures::Stream;
use futures::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use warp::Filter;
use warp::filters::path::Tail;
use warp::http::header::{
    CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, UPGRADE,
};
use warp::http::header::{RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use warp::http::{HeaderMap, Method, StatusCode};

use crate::body::{self, NoBody};
use crate::iframe::Iframe;
use crate::link::{Link, LinkLimits, Refused};
use crate::options::{Options, WebSockets};
use crate::owner::Owners;
use crate::receiver::{self, Receiver, Shape};
use crate::registry::{Key, Registry};
use crate::reply::{self, Reply};
use crate::request::{Framing, Request, Upgrade};
use crate::route::{Door, Route};
use crate::session::{Opener, Session};
use crate::transport::send::Form;
use crate::transport::{CallbackError, eventsource, htmlfile, jsonp, xhr};
use crate::{cookie, cors, info};

type Handler = Arc<dyn Fn(Session) -> BoxFuture<'static, ()> + Send + Sync>;

/// A SockJS service. Cloning shares it.
#[derive(Clone)]
pub struct SockJs {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    handler: Handler,
    registry: Registry,
    owners: Owners,
    iframe: Option<Iframe>,
}

impl fmt::Debug for SockJs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SockJs").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl SockJs {
    /// A service that runs `handler`, as a task of its own, for each session.
    pub fn new<F, T>(options: Options, handler: F) -> Self
    where
        F: Fn(Session) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let inner = Inner {
            handler: Arc::new(move |session| Box::pin(handler(session))),
            registry: Registry::new(options.sessions, options.sessions_per_address),
            owners: Owners::new(options.binding),
            iframe: Iframe::new(&options),
            options,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Everything below the base URL, for warp: `warp::path("echo").and(service.filter())`. The client's address is
    /// [`warp::addr::remote`]'s, and it came without TLS; who serves otherwise than by `warp::serve` calls
    /// [`SockJs::answer`].
    pub fn filter(
        &self,
    ) -> impl Filter<Extract = (Reply,), Error = warp::Rejection> + Clone + Send + Sync + use<> {
        let service = self.clone();
        warp::method()
            .and(warp::path::tail())
            .and(warp::query::raw().or(warp::any().map(String::new)).unify())
            .and(warp::header::headers_cloned())
            .and(warp::addr::remote())
            .and(warp::ext::optional::<OnUpgrade>())
            .and(warp::body::stream())
            .then(
                move |method,
                      path: Tail,
                      query,
                      headers: HeaderMap,
                      peer: Option<std::net::SocketAddr>,
                      upgrade,
                      body| {
                    let service = service.clone();
                    let path = path.as_str().to_owned();
                    let peer = peer.map(|peer| peer.ip());
                    let origin_known = headers.contains_key(ORIGIN);
                    let request =
                        Request { method, path, query, headers, peer, secure: false, origin_known, upgrade };
                    async move { service.answer(request, body).await }
                },
            )
    }

    /// Answers a request below the base URL. Reads `body` for sending requests only.
    pub async fn answer<S, D, E>(&self, request: Request, body: S) -> Reply
    where
        S: Stream<Item = Result<D, E>> + Send,
        D: Buf + Send,
        E: Send,
    {
        let options = &self.inner.options;
        if !options.origins.admit(&request.headers) {
            return reply::error(StatusCode::FORBIDDEN, "Pages from that origin may not connect.\n");
        }
        let Some(route) = Route::parse(&request.path) else { return reply::not_found() };
        let is_allowed = route.allowed().split(", ").any(|method| method == request.method.as_str());
        if !is_allowed {
            return reply::not_allowed(route.allowed());
        }
        let mut reply = if request.method == Method::OPTIONS {
            cors::preflight(&request.headers, route.allowed())
        } else {
            match route {
                Route::Greeting => info::greeting(),
                Route::Info => match options.admission.ask(&request) {
                    Ok(()) => info::info(options),
                    Err(wait) => reply::too_many(wait),
                },
                Route::Iframe => match &self.inner.iframe {
                    Some(page) => page.answer(&request.headers),
                    None => reply::not_found(),
                },
                Route::RawWebSocket => return self.websocket(request.clone(), Framing::Raw),
                Route::Session(_, Door::WebSocket) => {
                    return self.websocket(request.clone(), Framing::SockJs);
                }
                Route::Session(id, Door::XhrSend) => self.send(&request, id, Form::Xhr, body).await,
                Route::Session(id, Door::JsonpSend) => self.send(&request, id, Form::Jsonp, body).await,
                Route::Session(id, door) => self.receive(&request, id, door).await,
            }
        };
        if options.cookies && matches!(route, Route::Session(..)) {
            cookie::set(&request, reply.headers_mut());
        }
        cors::open(&request.headers, reply.headers_mut());
        reply
    }

    fn key(&self, request: &Request, id: &str) -> Key {
        Key { id: id.into(), owner: self.inner.owners.of(request) }
    }

    /// A receiving request: the first of an id opens its session.
    async fn receive(&self, request: &Request, id: &str, door: Door) -> Reply {
        let (shape, content_type) = match self.shape(request, door) {
            Ok(shape) => shape,
            Err(error) => return reply_to(error),
        };
        let key = self.key(request, id);
        if self.inner.registry.find(&key).is_none()
            && let Err(wait) = self.inner.options.admission.ask(request)
        {
            return reply::too_many(wait);
        }
        let opened = self.inner.registry.find_or_open(&key, request.peer, || self.link(true));
        let Ok((link, is_new)) = opened else {
            return unavailable("There are too many sessions.\n");
        };
        if is_new {
            self.run(key, &link, Opener::of(request));
        }
        let receiver = Receiver::attach(&link, self.inner.options.heartbeat).await;
        let mut reply = receiver::respond(receiver, shape);
        reply::never_cache(reply.headers_mut());
        reply::set(&mut reply, CONTENT_TYPE, content_type);
        match door {
            Door::HtmlFile => {
                let policy = htmlfile::policy(&self.inner.options.frame_ancestors);
                if let Ok(policy) = HeaderValue::from_str(&policy) {
                    reply.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
                }
            }
            Door::XhrStreaming | Door::EventSource => {
                // Nginx, too, hands a stream over as it comes.
                reply::set(&mut reply, HeaderName::from_static("x-accel-buffering"), "no");
            }
            _ => {}
        }
        reply::set(&mut reply, X_CONTENT_TYPE_OPTIONS, "nosniff");
        reply
    }

    fn shape(&self, request: &Request, door: Door) -> Result<(Shape, &'static str), CallbackError> {
        let limit = self.inner.options.streaming_limit;
        Ok(match door {
            Door::EventSource => (eventsource::shape(limit), eventsource::CONTENT_TYPE),
            Door::HtmlFile => (htmlfile::shape(&request.query, limit)?, reply::HTML),
            Door::Jsonp => (jsonp::shape(&request.query)?, reply::SCRIPT),
            Door::XhrStreaming => (xhr::streaming(limit), reply::SCRIPT),
            _ => (xhr::polling(), reply::SCRIPT),
        })
    }

    /// A sending request.
    async fn send<S, D, E>(&self, request: &Request, id: &str, form: Form, body: S) -> Reply
    where
        S: Stream<Item = Result<D, E>> + Send,
        D: Buf + Send,
        E: Send,
    {
        let options = &self.inner.options;
        let (limit, patience) = (options.body_limit, options.body_timeout);
        let Some(link) = self.inner.registry.find(&self.key(request, id)) else {
            // What comes for nobody is let pass, and not kept.
            return match body::skip(body, limit, patience).await {
                Ok(()) => reply::not_found(),
                Err(error) => without_body(error),
            };
        };
        let (body, room) = match body::read(body, limit, patience, &options.bodies).await {
            Ok(body) => body,
            Err(error) => {
                if error == NoBody::TooLarge {
                    // Whether it was told or not: the client is.
                    let _ = link.deliver_too_large().await;
                }
                return without_body(error);
            }
        };
        let texts = match form.decode(&request.headers, &body) {
            Ok(texts) => texts,
            Err(error) => {
                let mut reply =
                    reply::with(StatusCode::INTERNAL_SERVER_ERROR, reply::PLAIN, error.to_string());
                reply::never_cache(reply.headers_mut());
                return reply;
            }
        };
        drop(body);
        if request.origin_known {
            link.note_origin();
        }
        match link.deliver(texts, Some(room)).await {
            Ok(()) => {
                let mut reply = form.accepted();
                reply::never_cache(reply.headers_mut());
                reply
            }
            Err(Refused::Closed) => reply::not_found(),
            Err(Refused::Full) => unavailable("The session doesn't read.\n"),
        }
    }

    fn websocket(&self, request: Request, framing: Framing) -> Reply {
        let websockets = &self.inner.options.websockets;
        if !websockets.are_on() {
            return reply::not_found();
        }
        if !asks_for_websocket(&request.headers) {
            return reply::error(StatusCode::BAD_REQUEST, "Can \"Upgrade\" only to \"WebSocket\".\n");
        }
        match websockets {
            WebSockets::Off => reply::not_found(),
            #[cfg(feature = "tungstenite")]
            WebSockets::Tungstenite => crate::transport::websocket::upgrade(self, request, framing),
            WebSockets::By(hook) => hook(Upgrade { framing, request }),
        }
    }

    /// A session without anybody at its ends yet.
    pub(crate) fn link(&self, framed: bool) -> Arc<Link> {
        let options = &self.inner.options;
        let limits = LinkLimits {
            message: options.message_limit,
            queue: options.queue_limit,
            queue_patience: options.queue_patience,
            disconnect_delay: options.disconnect_delay,
        };
        Link::new(limits, framed)
    }

    /// Runs the handler.
    pub(crate) fn handle(&self, link: &Arc<Link>, opener: Opener) -> BoxFuture<'static, ()> {
        (self.inner.handler)(Session::new(Arc::clone(link), opener, self.inner.options.queue_limit))
    }

    /// Runs the handler of a registered session, and forgets the session when it has expired.
    fn run(&self, key: Key, link: &Arc<Link>, opener: Opener) {
        tokio::spawn(self.handle(link, opener));
        let (service, link) = (self.clone(), Arc::clone(link));
        tokio::spawn(async move {
            link.expire().await;
            service.inner.registry.remove(&key, &link);
        });
    }

    #[cfg(feature = "tungstenite")]
    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }
}

/// What is answered where there is no body.
fn without_body(error: NoBody) -> Reply {
    match error {
        NoBody::TooLarge => reply::error(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.\n"),
        NoBody::NoRoom => unavailable("Too much is being sent.\n"),
        NoBody::Late | NoBody::Lost => reply::error(StatusCode::REQUEST_TIMEOUT, "The body didn't come.\n"),
    }
}

fn unavailable(reason: &'static str) -> Reply {
    let mut reply = reply::error(StatusCode::SERVICE_UNAVAILABLE, reason);
    reply::set(&mut reply, RETRY_AFTER, "5");
    reply
}

fn reply_to(error: CallbackError) -> Reply {
    let mut reply = reply::with(StatusCode::INTERNAL_SERVER_ERROR, reply::PLAIN, error.to_string());
    reply::never_cache(reply.headers_mut());
    reply
}

/// Whether `Connection` and `Upgrade` say so; proxies rewrite them.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let has = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|given| given.trim().eq_ignore_ascii_case(token))
    };
    has(CONNECTION, "upgrade") && has(UPGRADE, "websocket")
}
