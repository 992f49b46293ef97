//! A server that breaks its promises, as far as its clients can tell: somebody between the two who changes frames.
//!
//! What the checker finds in a history that was made up is one thing; that a whole run turns red when the server is
//! wrong is another.

mod lie;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub use lie::Lie;
use lie::{Listener, Secrets};
use wire::Wire;

/// Bytes that are passed on at a time.
const CHUNK: usize = 16 * 1024;

/// Listens on a port of its own, and tells a lie about what another says.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
    acceptor: JoinHandle<()>,
}

impl Liar {
    /// Starts to stand between clients and `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr, lie: Lie) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for a liar")?;
        let address = listener.local_addr()?;
        let acceptor = tokio::spawn(async move {
            let secrets = Arc::new(Mutex::new(Secrets::default()));
            while let Ok((near, _)) = listener.accept().await {
                let secrets = secrets.clone();
                tokio::spawn(async move {
                    // However it ends, both sides see the end of their connection.
                    connect(near, target, lie, &secrets).await.ok();
                });
            }
        });
        Ok(Self { address, acceptor })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn connect(near: TcpStream, target: SocketAddr, lie: Lie, secrets: &Mutex<Secrets>) -> Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.into_split(), far.into_split());
    let (mut said, mut heard) = (Wire::default(), Wire::default());
    let mut listener = Listener::new(lie);
    let (mut from_near, mut from_far) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        tokio::select! {
            read = near_read.read(&mut from_near) => {
                let Ok(length @ 1..) = read else { return Ok(()) };
                let (mut pass, mut answers) = (Vec::new(), Vec::new());
                for piece in said.take(&from_near[..length]) {
                    match piece.text().and_then(|text| listener.says(&text)) {
                        None => pass.extend(piece.bytes),
                        Some(changed) => {
                            changed.instead.iter().for_each(|text| pass.extend(wire::masked(text)));
                            changed.answers.iter().for_each(|text| answers.extend(wire::plain(text)));
                        }
                    }
                }
                far_write.write_all(&pass).await?;
                near_write.write_all(&answers).await?;
            }
            read = far_read.read(&mut from_far) => {
                let Ok(length @ 1..) = read else { return Ok(()) };
                let mut pass = Vec::new();
                for piece in heard.take(&from_far[..length]) {
                    match piece.text().and_then(|text| listener.hears(&mut lock(secrets), &text)) {
                        None => pass.extend(piece.bytes),
                        Some(instead) => instead.iter().for_each(|text| pass.extend(wire::plain(text))),
                    }
                }
                near_write.write_all(&pass).await?;
            }
        }
    }
}

fn lock(secrets: &Mutex<Secrets>) -> MutexGuard<'_, Secrets> {
    secrets.lock().unwrap_or_else(PoisonError::into_inner)
}
