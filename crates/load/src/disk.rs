//! How long the disk takes to make something durable, measured beside the load: what no server can be faster than.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Notify;

use crate::latency::{Latency, Summary};

/// The file is written round and round, as a write-ahead log is.
const SIZE: u64 = 4 << 20;
const PAGE: usize = 4096;
/// Often enough to see what the disk does, seldom enough not to be the load.
const EVERY: Duration = Duration::from_millis(50);

/// Syncs a file of its own on the file system of `directory` until it is told to stop, and tells how long that took.
pub(crate) async fn watch(directory: PathBuf, stop: Rc<Notify>) -> Result<Summary> {
    let file = tempfile::tempfile_in(&directory);
    let mut file = file.with_context(|| format!("no file can be made in {}", directory.display()))?;
    file = tokio::task::spawn_blocking(move || fill(file)).await??;
    let mut latency = Latency::new()?;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut place = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.notified() => return Ok(latency.summary()),
            _ = ticks.tick() => {}
        }
        let (back, time) = tokio::task::spawn_blocking(move || sync(file, place)).await??;
        file = back;
        latency.record(time);
        place = (place + PAGE as u64) % SIZE;
    }
}

fn fill(file: File) -> io::Result<File> {
    let page = [0x5a; PAGE];
    for place in (0..SIZE).step_by(PAGE) {
        file.write_all_at(&page, place)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Writes a page and waits until it is on the disk.
fn sync(file: File, place: u64) -> io::Result<(File, Duration)> {
    let start = Instant::now();
    file.write_all_at(&[0xa5; PAGE], place)?;
    file.sync_data()?;
    Ok((file, start.elapsed()))
}
