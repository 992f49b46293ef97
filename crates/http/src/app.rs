//! What is where: the routes, and what every request goes through before and after them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use mqttchat_bridge::{Bridge, Peer};
use mqttchat_sockjs::Bodies;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
};
use warp::http::{HeaderMap, Method, StatusCode};

use crate::api;
use crate::assets::{Assets, ByToken};
use crate::headers::Security;
use crate::health;
use crate::host::{Authority, Hosts};
use crate::lab;
use crate::origin::Origins;
use crate::problem::{Problem, Reply, method_not_allowed};
use crate::process;
use crate::quota::{Full, Permit};
use crate::serve::{BehindProxy, ByHttps, Remote};
use crate::sockjs::{self, SockJsOptions};
use crate::upgrade::upgrade;
use crate::ws::WsTransport;

/// What the operator decides about HTTP.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// The names of this server.
    pub hosts: Hosts,
    /// The pages that may connect.
    pub origins: Origins,
    /// Where the page comes from.
    pub assets: Assets,
    /// Whether people come in by tokens only, which the site around the page gives it, and not by a name.
    pub by_token: bool,
    /// The largest frame of a client, in bytes.
    pub frame_limit: usize,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// The memory that the bodies of requests may take together.
    pub bodies: Bodies,
    /// The memory that unfinished messages of WebSockets may take together.
    pub messages: Bodies,
    /// SockJS, if it is on.
    pub sockjs: Option<SockJsOptions>,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// Whether the course lab's calls are there.
    pub lab: bool,
    /// What browsers are told.
    pub security: Security,
    /// What an application answers itself: asked first, and where it rejects, the server answers.
    pub own: Option<BoxedFilter<(Reply,)>>,
}

/// The largest body of a request that is looked at, in bytes, unless frames may be larger.
const BODY_MAX: usize = 64 * 1024;
/// What a body may have beside the largest frame.
const ENVELOPE: usize = 1024;

/// Everything this server answers, as a service for [`Listener::serve`](crate::Listener::serve).
#[must_use]
pub fn app(
    bridge: Bridge,
    options: HttpOptions,
) -> impl Service<Request<Incoming>, Response = Reply, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    describe_metrics();
    let (hosts, security) = (Arc::new(options.hosts.clone()), Arc::new(options.security.clone()));
    let body_max = options.frame_limit.max(BODY_MAX) + ENVELOPE;
    let routes = TowerToHyperService::new(warp::service(routes(bridge, Arc::new(options))));
    Gate { hosts, security, body_max, routes }
}

fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_gauge!("mqttchat_http_connections", Unit::Count, "Open connections, WebSockets included");
    describe_counter!(
        "mqttchat_http_refused_total",
        Unit::Count,
        "Connections refused, by the limit they were above"
    );
    describe_counter!(
        "mqttchat_http_messages_refused_total",
        Unit::Count,
        "Large WebSocket messages refused since there was no room or they took too long"
    );
    describe_gauge!("process_resident_memory_bytes", Unit::Bytes, "Resident memory");
    describe_gauge!("process_cpu_seconds_total", Unit::Seconds, "User and system time of the processor");
    describe_gauge!("process_open_fds", Unit::Count, "Open files");
    describe_gauge!("process_max_fds", Unit::Count, "How many files can be open");
    describe_gauge!("process_threads", Unit::Count, "Threads");
}

/// What every request goes through.
#[derive(Clone)]
struct Gate<S> {
    hosts: Arc<Hosts>,
    security: Arc<Security>,
    body_max: usize,
    routes: S,
}

impl<S> Gate<S> {
    /// Whom a request calls, and the place of whoever asks, if it comes by a proxy.
    fn admit(&self, request: &Request<Incoming>) -> Result<(Authority, Option<Arc<Permit>>), Problem> {
        let mut host = self.hosts.check(request.uri(), request.headers())?;
        let headers = request.headers();
        if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
            let detail = "A request has a Content-Length or a Transfer-Encoding, not both.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail).with("code", "bad_request"));
        }
        if let Some(ByHttps(https)) = request.extensions().get() {
            host = host.by(*https);
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let is_bounded = !sockjs::is_meant_by(request.uri().path());
        if is_bounded && length.is_some_and(|length: u64| length > self.body_max as u64) {
            let detail = format!("A request's body may have {} bytes.", self.body_max);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).with("code", "too_large"));
        }
        let (seat, remote) =
            (request.extensions().get::<BehindProxy>(), request.extensions().get::<Remote>());
        let (Some(BehindProxy(seat)), Some(Remote(remote))) = (seat, remote) else { return Ok((host, None)) };
        let permit = seat.take_behind(remote.ip()).map_err(too_many)?;
        Ok((host, Some(permit)))
    }
}

fn too_many(full: Full) -> Problem {
    full.count();
    let detail = "There are too many requests and connections from this address; try again later.";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        .with("code", "rate_limited")
        .with("retry", true)
        .with("retry_after", 5000)
        .header(RETRY_AFTER, "5")
}

impl<S> Service<Request<Incoming>> for Gate<S>
where
    S: Service<Request<Incoming>, Response = Reply, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let https = matches!(request.extensions().get(), Some(ByHttps(true)));
        // A proxy may disagree about where such a body ends, and what it takes for the next request is not answered
        // (RFC 9112 §6.1).
        let is_last = request.headers().contains_key(TRANSFER_ENCODING);
        let end = move |response: &mut Reply| {
            if is_last {
                response.headers_mut().entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
            }
        };
        let security = Arc::clone(&self.security);
        match self.admit(&request) {
            Ok((host, permit)) => {
                request.extensions_mut().insert(host.clone());
                let answered = self.routes.call(request);
                Box::pin(async move {
                    let Ok(mut response) = answered.await;
                    security.put(response.headers_mut(), Some(&host), https);
                    end(&mut response);
                    if let Some(permit) = permit {
                        response.extensions_mut().insert(permit);
                    }
                    Ok(response)
                })
            }
            Err(problem) => Box::pin(async move {
                let mut response = problem.into_response();
                security.put(response.headers_mut(), None, https);
                end(&mut response);
                Ok(response)
            }),
        }
    }
}

/// The routes. They answer every request themselves: no rejection is left to be turned into something.
fn routes(
    bridge: Bridge,
    options: Arc<HttpOptions>,
) -> impl Filter<Extract = (Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let metrics = options.metrics.clone();
    let assets = options.assets.clone();
    let by_token = options.by_token.then(|| ByToken::of(&options.security.embedders));
    let own = options.own.clone().unwrap_or_else(nothing);
    let lab = if options.lab { lab::routes(&bridge, options.origins.clone()) } else { nothing() };
    let status = bridge.clone();
    let alive = get("healthz", health::alive);
    let ready = get("readyz", move || health::ready(&status.status()));
    let metrics = get("metrics", move || render(&metrics));
    let api = api::routes(bridge.clone(), options.clone());
    let sockjs = match &options.sockjs {
        Some(sockjs) => sockjs::filter(&bridge, &options, sockjs),
        None => nothing(),
    };
    let socket = warp::path!("ws")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::optional::<Authority>())
        .and(warp::ext::optional::<Remote>())
        .map(move |method: Method, headers: HeaderMap, pending, host, remote| {
            let request = SocketRequest { method, headers, pending, host, remote };
            request.open(&bridge, &options).unwrap_or_else(Problem::into_response)
        });
    let page = warp::method().and(warp::path::full()).and(warp::header::headers_cloned()).then(
        move |method: Method, path: FullPath, headers: HeaderMap| {
            let (assets, by_token) = (assets.clone(), by_token.clone());
            async move { assets.answer(&method, path.as_str(), &headers, by_token.as_ref()).await }
        },
    );
    own.or(lab)
        .unify()
        .or(alive)
        .unify()
        .or(ready)
        .unify()
        .or(metrics)
        .unify()
        .or(api)
        .unify()
        .or(socket)
        .unify()
        .or(sockjs)
        .unify()
        .or(page)
        .unify()
}

/// Routes where there are none.
fn nothing() -> BoxedFilter<(Reply,)> {
    warp::any().and_then(|| std::future::ready(Err(warp::reject::not_found()))).boxed()
}

/// A route that is only read.
fn get(
    name: &'static str,
    answer: impl Fn() -> Reply + Clone + Send + Sync + 'static,
) -> BoxedFilter<(Reply,)> {
    warp::path(name)
        .and(warp::path::end())
        .and(warp::method())
        .map(move |method: Method| match method {
            Method::GET | Method::HEAD => answer(),
            _ => method_not_allowed("GET, HEAD").into_response(),
        })
        .boxed()
}

fn render(metrics: &PrometheusHandle) -> Reply {
    process::measure();
    let mut response: Reply = Response::new(metrics.render().into());
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A request for `/ws`.
struct SocketRequest {
    method: Method,
    headers: HeaderMap,
    pending: Option<OnUpgrade>,
    host: Option<Authority>,
    remote: Option<Remote>,
}

impl SocketRequest {
    fn open(self, bridge: &Bridge, options: &HttpOptions) -> Result<Reply, Problem> {
        let (Some(host), Some(Remote(remote))) = (self.host, self.remote) else {
            let detail = "The request came past the server's own listener.";
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail));
        };
        options.origins.check(&self.headers, &host)?;
        let (response, upgraded) = upgrade(&self.method, &self.headers, self.pending)?;
        let peer = Peer { addr: remote.ip().to_canonical(), is_page: Origins::tells(&self.headers) };
        let (frame_limit, room) = (options.frame_limit, options.messages.clone());
        upgraded.serve(bridge.clone(), peer, move |stream, early| {
            WsTransport::new(stream, early, frame_limit, room)
        });
        Ok(response)
    }
}
