//! One connection from its first byte to its last request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::connection::{Connection, Stream};
use crate::listen::{GRACE, ListenOptions};
use crate::quota::{Permit, Seat};
use crate::tls::Tls;

/// The largest head of a request, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// The most header fields of a request.
const FIELDS_MAX: usize = 64;

/// Who asks: the other end of the connection, or, where that is a proxy of the operator's, whoever is behind it (then
/// without a port). In the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub SocketAddr);

/// Whether a client came by HTTPS; in a request's extensions where it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByHttps(pub(crate) bool);

/// The proxy's connection that a request came by; in its extensions if there is one.
#[derive(Clone, Debug)]
pub(crate) struct BehindProxy(pub(crate) Seat);

/// Serves a connection to its end. Ready soon after `stopped` changes.
pub(crate) async fn serve_connection<S, B>(
    stream: TcpStream,
    seat: Seat,
    remote: SocketAddr,
    service: S,
    options: Arc<ListenOptions>,
    mut stopped: watch::Receiver<()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (stream, by_tls) = match &options.tls {
        None => (Stream::Plain(stream), false),
        Some(tls) => {
            let shaken = tokio::select! {
                // Boxed: what it needs is needed no more afterwards.
                shaken = Box::pin(timeout(options.header_timeout, shake_hands(tls, stream))) => shaken,
                _ = stopped.changed() => return,
            };
            match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => (stream, true),
                Err(error) => return tracing::debug!(%remote, %error, "a tls handshake failed"),
            }
        }
    };
    let connection = Connection::new(stream, seat.clone(), options.write_timeout);
    let limits = Arc::clone(&options);
    let service = service_fn(move |mut request: Request<Incoming>| {
        introduce(&mut request, remote, by_tls, &seat, &options);
        let (answered, seat) = (service.call(request), seat.clone());
        async move { answered.await.map(|response| held(response, &seat)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades();
    let mut served = pin!(served);
    let result = tokio::select! {
        result = &mut served => result,
        _ = stopped.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an http connection failed");
    }
}

/// Says in a request's extensions who asks, and by what.
fn introduce<B>(
    request: &mut Request<B>,
    remote: SocketAddr,
    by_tls: bool,
    seat: &Seat,
    options: &ListenOptions,
) {
    let (mut remote, mut https) = (remote, by_tls.then_some(true));
    if options.proxies.trust(remote.ip()) {
        let said = options.proxies.read(remote.ip(), request.headers());
        remote = SocketAddr::new(said.client, 0);
        https = said.https.or(https);
        if let Some(host) = said.host {
            request.headers_mut().insert(HOST, host);
        }
        request.extensions_mut().insert(BehindProxy(seat.clone()));
    }
    request.extensions_mut().insert(Remote(remote));
    if let Some(https) = https {
        request.extensions_mut().insert(ByHttps(https));
    }
}

/// A response's body, and the place of whoever it is for.
pub(crate) struct Held<B> {
    body: B,
    _permit: Option<Arc<Permit>>,
}

/// Keeps the place that a response has in its extensions for as long as it lasts.
fn held<B>(mut response: Response<B>, seat: &Seat) -> Response<Held<B>> {
    let mut permit = response.extensions_mut().remove::<Arc<Permit>>();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(permit) = permit.take()
    {
        seat.keep(permit);
    }
    response.map(|body| Held { body, _permit: permit })
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The TLS handshake. Whoever speaks plain HTTP here is told so in the same.
async fn shake_hands(tls: &Tls, mut stream: TcpStream) -> io::Result<Stream> {
    let mut first = [0];
    // A handshake begins with 22, a request with a letter.
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
        let detail = "This port speaks HTTPS: begin the address with https.";
        say_no(&mut stream, StatusCode::BAD_REQUEST, detail).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "plain http on a port of https"));
    }
    tls.accept(stream).await.map(|stream| Stream::Tls(Box::new(stream)))
}

/// Tells a client that there is no place for it, without a request being read.
pub(crate) async fn refuse(stream: TcpStream, options: &ListenOptions) {
    const DETAIL: &str = "There are too many connections; try again later.";
    let _ = timeout(GRACE, async {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        match &options.tls {
            None => say_no(&mut { stream }, status, DETAIL).await,
            Some(tls) => say_no(&mut tls.accept(stream).await?, status, DETAIL).await,
        }
    })
    .await;
}

async fn say_no<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    status: StatusCode,
    detail: &str,
) -> io::Result<()> {
    let title = status.canonical_reason().unwrap_or_default();
    let code = status.as_u16();
    let body = format!(r#"{{"type":"about:blank","title":"{title}","status":{code},"detail":"{detail}"}}"#);
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "retry-after: 5\r\n" } else { "" };
    let response = format!(
        "HTTP/1.1 {code} {title}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         {retry}connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    // What the client still sends is read, or the kernel would answer it with a reset that overtakes the response.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
