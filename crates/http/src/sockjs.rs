//! `/sockjs`: the chat for clients whose network lets no WebSocket through (docs/protocol.md).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::upgrade::OnUpgrade;
use mqttchat_bridge::{Bridge, Event, Peer, Transport};
use mqttchat_protocol::Frame;
use mqttchat_sockjs::{Admission, Bodies, Framing, Options, Request, Session, SockJs, Upgrade, WebSockets};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::Tail;
use warp::http::StatusCode;

use crate::app::HttpOptions;
use crate::host::Authority;
use crate::origin::{Origins, sources};
use crate::problem::{Problem, Reply};
use crate::serve::{ByHttps, Remote};
use crate::upgrade::upgrade;
use crate::ws::{FramedTransport, STUCK, WsTransport};

/// What the operator decides about SockJS.
#[derive(Clone, Debug)]
pub struct SockJsOptions {
    /// How often a silent connection is sent a heartbeat.
    pub heartbeat: Duration,
    /// How long a session outlives its last receiving connection.
    pub disconnect_delay: Duration,
    /// After how many bytes a streaming response ends and the client opens the next.
    pub streaming_limit: usize,
    /// Sets the cookie `JSESSIONID`, for load balancers that keep clients to a node by it.
    pub cookies: bool,
    /// Where SockJS's own client lies, for pages of other sites that embed this one's iframe.
    pub client_url: Option<String>,
    /// Sessions in all.
    pub sessions: usize,
    /// Sessions from one address.
    pub sessions_per_address: usize,
}

/// Whether a request is one of these: they look after the size of their bodies themselves.
pub(crate) fn is_meant_by(path: &str) -> bool {
    path.strip_prefix("/sockjs").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Everything at `/sockjs`.
pub(crate) fn filter(
    bridge: &Bridge,
    options: &Arc<HttpOptions>,
    sockjs: &SockJsOptions,
) -> BoxedFilter<(Reply,)> {
    let service = service(bridge, options, sockjs);
    let options = Arc::clone(options);
    warp::path("sockjs")
        .and(warp::method())
        .and(warp::path::tail())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::optional::<Authority>())
        .and(warp::ext::optional::<Remote>())
        .and(warp::ext::optional::<ByHttps>())
        .and(warp::body::stream())
        .then(move |method, path: Tail, query, headers, upgrade, host, remote, https, body| {
            let (service, options) = (service.clone(), Arc::clone(&options));
            let path = path.as_str().to_owned();
            async move {
                let (Some(host), Some(Remote(remote))) = (host, remote) else {
                    let detail = "The request came past the server's own listener.";
                    return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response();
                };
                if let Err(problem) = options.origins.check_fetch(&headers, &host) {
                    return problem.into_response();
                }
                let peer = Some(remote.ip().to_canonical());
                let origin_known = Origins::tells(&headers);
                let secure = matches!(https, Some(ByHttps(true)));
                let request = Request { method, path, query, headers, peer, secure, origin_known, upgrade };
                service.answer(request, body).await
            }
        })
        .boxed()
}

fn service(bridge: &Bridge, http: &HttpOptions, sockjs: &SockJsOptions) -> SockJs {
    let (sessions, door) = (bridge.clone(), bridge.clone());
    let (bridge, frame_limit, room) = (bridge.clone(), http.frame_limit, http.messages.clone());
    let options = Options {
        heartbeat: sockjs.heartbeat,
        disconnect_delay: sockjs.disconnect_delay,
        streaming_limit: sockjs.streaming_limit,
        cookies: sockjs.cookies,
        // They are checked before, with what the request calls this server.
        origins: mqttchat_sockjs::Origins::Any,
        websockets: WebSockets::By(Arc::new(move |request| {
            websocket(&bridge, frame_limit, room.clone(), request).unwrap_or_else(Problem::into_response)
        })),
        client_url: sockjs.client_url.clone(),
        frame_ancestors: frame_ancestors(&http.origins),
        message_limit: frame_limit,
        // A frame in which each character is escaped, and some others with it.
        body_limit: frame_limit.saturating_mul(4),
        bodies: http.bodies.clone(),
        body_timeout: http.body_timeout,
        queue_limit: frame_limit,
        sessions: sockjs.sessions,
        sessions_per_address: sockjs.sessions_per_address,
        admission: Admission::By(Arc::new(move |request| {
            let Some(address) = request.peer else { return Ok(()) };
            door.knock(address)
                .map_err(|refusal| Duration::from_millis(refusal.retry_after.unwrap_or_default()))
        })),
        ..Options::default()
    };
    SockJs::new(options, move |session| {
        let is_page = session.origin_known();
        let addr = session.peer().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let bridge = sessions.clone();
        async move { bridge.serve(SockJsTransport { session }, Peer { addr, is_page }).await }
    })
}

/// The sites that may embed pages of this one, as a policy says it.
fn frame_ancestors(origins: &Origins) -> String {
    "'self'".to_owned() + &sources(origins.others())
}

fn websocket(
    bridge: &Bridge,
    frame_limit: usize,
    room: Bodies,
    Upgrade { framing, request }: Upgrade,
) -> Result<Reply, Problem> {
    let (response, upgraded) = upgrade(&request.method, &request.headers, request.upgrade)?;
    let addr = request.peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let peer = Peer { addr, is_page: request.origin_known };
    match framing {
        Framing::Raw => upgraded.serve(bridge.clone(), peer, move |stream, early| {
            WsTransport::new(stream, early, frame_limit, room)
        }),
        Framing::SockJs => upgraded.serve(bridge.clone(), peer, move |stream, early| {
            FramedTransport::new(stream, early, frame_limit, room)
        }),
    }
    Ok(response)
}

/// [`Transport`] over a session of the other transports: chat frames are messages.
#[derive(Debug)]
struct SockJsTransport {
    session: Session,
}

impl Transport for SockJsTransport {
    fn feed(&mut self, frame: Frame) {
        self.session.feed(String::from_utf8_lossy(frame.as_json()));
    }

    fn backlog(&self) -> usize {
        self.session.backlog()
    }

    fn last_progress(&self) -> Instant {
        self.session.last_progress()
    }

    fn last_heard(&self) -> Instant {
        self.session.last_heard()
    }

    fn is_page(&self) -> bool {
        self.session.origin_known()
    }

    fn ping(&mut self) {
        self.session.ping();
    }

    async fn drive(&mut self, read: bool) -> Event {
        match self.session.next(read).await {
            mqttchat_sockjs::Event::Message(text) => Event::Text(text),
            mqttchat_sockjs::Event::TooLarge => Event::TooLarge,
            mqttchat_sockjs::Event::Drained => Event::Drained,
            mqttchat_sockjs::Event::Closed => Event::Closed,
        }
    }

    async fn close(&mut self, code: u16, reason: &str) {
        if code == STUCK {
            self.session.shut(code, reason);
        } else {
            self.session.close(code, reason).await;
        }
    }
}
