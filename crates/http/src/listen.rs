//! The accept loop: what `warp::serve` has no means for (time-outs, limits, an end).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::quota::{Full, Quota, QuotaLimits};

/// What a [`Listener`] lets a client do.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// How many connections there may be.
    pub quota: QuotaLimits,
    /// How long a request's head may take, and how long a connection may wait for its next request.
    pub header_timeout: Duration,
    /// How long a client may take nothing of a response.
    pub write_timeout: Duration,
}

impl Default for ListenOptions {
    /// 10,000 connections, 2,000 from one address, 10 s each.
    fn default() -> Self {
        Self {
            quota: QuotaLimits { total: 10_000, per_address: 2_000 },
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// Connections that wait to be accepted: after a restart everybody comes back at once, and whoever finds the queue
/// full tries again only a second later. The kernel bounds it by `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// The largest head of a request, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// The most header fields of a request.
const FIELDS_MAX: usize = 64;
/// How long requests that are being answered may take when the server stops.
const GRACE: Duration = Duration::from_secs(1);
/// How many clients are told at a time that there is no place; more are just disconnected.
const REFUSALS: usize = 64;
/// How long to wait before accepting again when the process has run out of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a request's connection; in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub SocketAddr);

/// A bound address on which HTTP will be served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    options: ListenOptions,
}

impl Listener {
    /// Binds an address; port 0 picks a free one. Clients can connect from here on, and wait to be served.
    ///
    /// Has to be called in a tokio runtime.
    ///
    /// # Errors
    /// What the system says: the address is in use, isn't this machine's, or needs rights.
    pub fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A port whose last connections are still closing is free for the next server.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, options })
    }

    /// Takes a socket that listens already: of a service manager, or of the application.
    ///
    /// Has to be called in a tokio runtime.
    ///
    /// # Errors
    /// What the system says: the socket doesn't listen, or is no longer open.
    pub fn from_std(socket: std::net::TcpListener, options: ListenOptions) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, options })
    }

    /// The address that was bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then answers what it has been asked already (at most 1 s). Upgraded connections are no
    /// longer its own and go on. Dropping it closes the listener and every connection that isn't upgraded.
    pub async fn serve<S, B>(self, service: S, stop: impl Future<Output = ()> + Send)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let quota = Quota::new(self.options.quota);
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let (stopping, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        let mut stop = pin!(stop);
        let mut failures = 0_u64;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => match quota.take(remote.ip()) {
                    Ok(permit) => {
                        // Only affects latency; fails for a socket that is gone already.
                        let _ = stream.set_nodelay(true);
                        let connection = Connection::new(stream, permit, self.options.write_timeout);
                        let stopped = stopped.clone();
                        tasks.spawn(serve_connection(
                            connection,
                            remote,
                            service.clone(),
                            self.options,
                            stopped,
                        ));
                    }
                    Err(full) => refuse(stream, remote, full, &refusals, &mut tasks),
                },
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    // Most likely out of files; that lasts, and is said once a second.
                    failures += 1;
                    if failures % 10 == 1 {
                        tracing::warn!(%error, "no connection could be accepted");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
        drop(self.socket);
        stopping.send_replace(());
        let _ = timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
        tasks.shutdown().await;
    }
}

/// Whether `accept` failed for a client that left while it waited.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn serve_connection<S, B>(
    connection: Connection,
    remote: SocketAddr,
    service: S,
    options: ListenOptions,
    mut stopped: watch::Receiver<()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Remote(remote));
        service.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
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

/// Tells a client that there is no place for it, without a request being read.
fn refuse(
    stream: TcpStream,
    remote: SocketAddr,
    full: Full,
    refusals: &Arc<Semaphore>,
    tasks: &mut JoinSet<()>,
) {
    metrics::counter!("mqttchat_http_refused_total", "limit" => full.label()).increment(1);
    let Ok(place) = Arc::clone(refusals).try_acquire_owned() else { return };
    tracing::debug!(%remote, limit = full.label(), "a connection was refused");
    tasks.spawn(async move {
        let _ = timeout(GRACE, say_unavailable(stream)).await;
        drop(place);
    });
}

async fn say_unavailable(mut stream: TcpStream) -> io::Result<()> {
    const BODY: &str = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"There are too many connections; try again later."}"#;
    let response = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         retry-after: 5\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    // What the client still sends is read, or the kernel would answer it with a reset that overtakes the response.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
