//! A TCP proxy that delays, swallows and cuts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that are passed on at a time.
const CHUNK: usize = 16 * 1024;

/// What happens to what is said over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    /// It arrives.
    #[default]
    Fair,
    /// It arrives later.
    Slow(Duration),
    /// It does not arrive for now, and nobody is told: neither data nor ends of connections pass.
    BlackHole,
}

/// Which connections are meant: every `of`th, so that 1 is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every(pub u64);

#[derive(Debug, Clone, Copy)]
struct State {
    weather: Weather,
    hit: Every,
    /// Rises with each cut.
    cuts: u64,
    cut: Every,
}

/// Listens on a port of its own, and passes on to another.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    /// Starts to pass on to `target`, which need not be there yet.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for a proxy")?;
        let address = listener.local_addr()?;
        let state = State { weather: Weather::Fair, hit: Every(1), cuts: 0, cut: Every(1) };
        let (state, watched) = watch::channel(state);
        let acceptor = tokio::spawn(accept(listener, target, watched));
        Ok(Self { address, state, acceptor })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather for these connections; the others have fair weather.
    pub fn set_weather(&self, weather: Weather, hit: Every) {
        self.state.send_modify(|state| (state.weather, state.hit) = (weather, hit));
    }

    /// Cuts these connections, to both sides and without a goodbye.
    pub fn cut(&self, which: Every) {
        self.state.send_modify(|state| (state.cuts, state.cut) = (state.cuts + 1, which));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    for number in 0.. {
        let Ok((near, _)) = listener.accept().await else { return };
        let state = state.clone();
        tokio::spawn(async move {
            let cut = cut(state.clone(), number);
            tokio::select! {
                () = cut => {}
                () = connect(near, target, state, number) => {}
            }
        });
    }
}

/// Returns when this connection is cut, or the proxy is gone.
async fn cut(mut state: watch::Receiver<State>, number: u64) {
    let mut cuts = state.borrow_and_update().cuts;
    while state.changed().await.is_ok() {
        let now = *state.borrow_and_update();
        if now.cuts != cuts && number.is_multiple_of(now.cut.0) {
            return;
        }
        cuts = now.cuts;
    }
}

async fn connect(near: TcpStream, target: SocketAddr, state: watch::Receiver<State>, number: u64) {
    let mut gate = Gate { state, number };
    gate.pass().await;
    let Ok(far) = TcpStream::connect(target).await else { return };
    near.set_nodelay(true).ok();
    far.set_nodelay(true).ok();
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    // Dropping both halves when either direction ends closes both connections.
    tokio::select! {
        () = pump(near_read, far_write, gate.clone()) => {}
        () = pump(far_read, near_write, gate) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: Gate) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await;
        gate.pass().await;
        let Ok(length @ 1..) = read else { return };
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

#[derive(Clone)]
struct Gate {
    state: watch::Receiver<State>,
    number: u64,
}

impl Gate {
    fn weather(&mut self) -> Weather {
        let state = *self.state.borrow_and_update();
        if self.number.is_multiple_of(state.hit.0) { state.weather } else { Weather::Fair }
    }

    async fn pass(&mut self) {
        loop {
            match self.weather() {
                Weather::Fair => return,
                Weather::Slow(delay) => return tokio::time::sleep(delay).await,
                Weather::BlackHole if self.state.changed().await.is_err() => return,
                Weather::BlackHole => {}
            }
        }
    }
}
