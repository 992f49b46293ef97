//! Something between a store and its database that cuts the connection at a commit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// When the connection is cut, the next time that somebody commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server never learns that it was to commit.
    Before,
    /// It commits; the client never learns that.
    After,
}

/// A unix socket that leads to a server's.
pub struct Cutter {
    directory: TempDir,
    next: Arc<Mutex<Option<Cut>>>,
    shut: Arc<AtomicBool>,
}

const NAME: &str = ".s.PGSQL.5432";

impl Cutter {
    pub fn before(socket: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("cut").tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(directory.path().join(NAME)).unwrap();
        let next = Arc::new(Mutex::new(None));
        let shut = Arc::new(AtomicBool::new(false));
        tokio::spawn(accept(listener, socket.join(NAME), next.clone(), shut.clone()));
        Self { directory, next, shut }
    }

    pub fn address(&self, database: &str) -> String {
        let socket = self.directory.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}/{database}")
    }

    /// Cuts the connection that commits next.
    pub fn cut(&self, cut: Cut) {
        *self.next.lock().unwrap() = Some(cut);
    }

    /// Lets nobody in any more, or again. Who is in stays.
    pub fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }

    /// Whether that has happened.
    pub fn has_cut(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }
}

async fn accept(
    listener: UnixListener,
    server: PathBuf,
    next: Arc<Mutex<Option<Cut>>>,
    shut: Arc<AtomicBool>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if shut.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(server) = UnixStream::connect(&server).await else { continue };
        tokio::spawn(relay(client, server, next.clone()));
    }
}

async fn relay(mut client: UnixStream, mut server: UnixStream, next: Arc<Mutex<Option<Cut>>>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let commits = asked[..length].windows(6).position(|word| word == b"COMMIT");
                let cut = commits.and_then(|_| next.lock().unwrap().take());
                match (cut, commits) {
                    (Some(Cut::Before), Some(at)) => {
                        // A query's head is five bytes long.
                        let _ = server.write_all(&asked[..at - 5]).await;
                        return;
                    }
                    (Some(Cut::After), _) => {
                        server.write_all(&asked[..length]).await.unwrap();
                        let mut said = Vec::new();
                        // What the server says when it has committed.
                        while !said.windows(6).any(|word| word == b"COMMIT") {
                            let length = server.read(&mut answered).await.unwrap();
                            assert_ne!(length, 0, "the server went away");
                            said.extend_from_slice(&answered[..length]);
                        }
                        return;
                    }
                    _ => {
                        if server.write_all(&asked[..length]).await.is_err() {
                            return;
                        }
                    }
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
