//! The accept loop: what `warp::serve` has no means for (time-outs, limits, an end).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::forwarded::Proxies;
use crate::quota::{Full, Quota, QuotaLimits, Seat};
use crate::serve::{self, serve_connection};
use crate::tls::Tls;

/// What a [`Listener`] lets a client do.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// How many connections there may be.
    pub quota: QuotaLimits,
    /// How long a request's head, and before it the TLS handshake, may take, and how long a connection may wait for its
    /// next request.
    pub header_timeout: Duration,
    /// How long a client may take nothing of a response.
    pub write_timeout: Duration,
    /// Who is believed about the clients behind them.
    pub proxies: Proxies,
    /// The certificate, if TLS is spoken here.
    pub tls: Option<Tls>,
}

impl Default for ListenOptions {
    /// 10,000 connections, 2,000 from one address, 10 s each, no proxies, no TLS.
    fn default() -> Self {
        Self {
            quota: QuotaLimits { total: 10_000, per_address: 2_000 },
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            proxies: Proxies::default(),
            tls: None,
        }
    }
}

/// Connections that wait to be accepted: after a restart everybody comes back at once, and whoever finds the queue
/// full tries again only a second later. The kernel bounds it by `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// Bytes that the kernel keeps for a client before it can send them.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT_MAX: u32 = 16 << 10;
/// How long requests that are being answered may take when the server stops.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// How many clients are told at a time that there is no place; more are just disconnected.
const REFUSALS: usize = 64;
/// How long to wait before accepting again when the process has run out of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound address on which HTTP will be served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    options: Arc<ListenOptions>,
    quota: Quota,
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
        Self::of(socket.listen(BACKLOG)?, options)
    }

    /// Takes a socket that listens already: of a service manager, or of the application.
    ///
    /// Has to be called in a tokio runtime.
    ///
    /// # Errors
    /// What the system says: the socket doesn't listen, or is no longer open.
    pub fn from_std(socket: std::net::TcpListener, options: ListenOptions) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::of(TcpListener::from_std(socket)?, options)
    }

    fn of(socket: TcpListener, options: ListenOptions) -> io::Result<Self> {
        let (address, quota) = (socket.local_addr()?, Quota::new(options.quota));
        Ok(Self { socket, address, options: Arc::new(options), quota })
    }

    /// Counts its connections with those of another listener.
    #[must_use]
    pub fn sharing(mut self, other: &Self) -> Self {
        self.quota = other.quota.clone();
        self
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
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
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
                Ok((stream, remote)) => match self.place(remote) {
                    Ok(seat) => {
                        // Only affects latency; fails for a socket that is gone already.
                        let _ = stream.set_nodelay(true);
                        keep_little(&stream);
                        let (service, options) = (service.clone(), Arc::clone(&self.options));
                        tasks.spawn(serve_connection(
                            stream,
                            seat,
                            remote,
                            service,
                            options,
                            stopped.clone(),
                        ));
                    }
                    Err(full) => self.refuse(stream, remote, full, &refusals, &mut tasks),
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

    fn place(&self, remote: SocketAddr) -> Result<Seat, Full> {
        let permit = if self.options.proxies.trust(remote.ip()) {
            self.quota.take_for_proxy()
        } else {
            self.quota.take(remote.ip())
        };
        permit.map(|permit| Seat::new(self.quota.clone(), permit))
    }

    /// Tells a client that there is no place for it, or, when that is told to many already, just disconnects it.
    fn refuse(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        full: Full,
        refusals: &Arc<Semaphore>,
        tasks: &mut JoinSet<()>,
    ) {
        full.count();
        let Ok(place) = Arc::clone(refusals).try_acquire_owned() else { return };
        tracing::debug!(%remote, limit = full.label(), "a connection was refused");
        let options = Arc::clone(&self.options);
        tasks.spawn(async move {
            serve::refuse(stream, &options).await;
            drop(place);
        });
    }
}

/// Lets the kernel keep only little that it can't send yet: by itself it takes megabytes for a client that doesn't read.
/// What a slow one takes shows the sooner, too.
fn keep_little(stream: &TcpStream) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_MAX) {
        tracing::debug!(%error, "the kernel's share of what waits can't be bounded");
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = stream;
}

/// Whether `accept` failed for a client that left while it waited.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
