//! Ports that can be given up and taken again.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// Below the range from which the kernel hands out ports by itself, so that nobody's outgoing
/// connection can sit on the port while a server is between two lives.
const RANGE: std::ops::Range<u16> = 11_000..31_000;

/// A TCP port of 127.0.0.1 that no other test uses while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Finds a port on which nothing listens, and locks it against the other tests of this machine.
    ///
    /// # Errors
    /// When there is none.
    pub fn reserve() -> Result<Self> {
        let folder = lock_folder()?;
        for _ in 0..1000 {
            let number = rand::random_range(RANGE);
            let lock = File::create(folder.join(number.to_string())).context("cannot make a port lock")?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free port in {RANGE:?}")
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn lock_folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join("mqttchat-e2e-ports");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
