//! What a process costs, from `/proc`: memory, processor time, descriptors. Linux only, and only of one's own user.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// The unit of processor time in `/proc`: 100 a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
}

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Held {
    /// Resident memory in bytes.
    pub(crate) resident_bytes: u64,
    /// That part of it which is no file: heap and stacks, in bytes.
    pub(crate) anonymous_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    /// Processor time used so far, in seconds.
    pub(crate) cpu_seconds: f64,
}

impl Process {
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid }
    }

    pub(crate) fn own() -> Self {
        Self { pid: std::process::id() }
    }

    /// The process that listens on this TCP port here. `None` when it can't be told.
    pub(crate) fn listening_on(port: u16) -> Option<Self> {
        let sockets: HashSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .into_iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| listeners(&table, port))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(|pid: &u32| {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let mut links = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
            links.any(|link| link.to_str().is_some_and(|link| sockets.contains(link)))
        })
        .map(Self::of)
    }

    fn path(self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.pid).into()
    }

    fn read(self, file: &str) -> Result<String> {
        fs::read_to_string(self.path(file)).with_context(|| format!("process {} is gone", self.pid))
    }

    /// What it holds now.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn held(self) -> Result<Held> {
        let status = self.read("status")?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(Held {
            resident_bytes: of("VmRSS") * 1024,
            anonymous_bytes: of("RssAnon") * 1024,
            threads: of("Threads"),
            descriptors: fs::read_dir(self.path("fd")).map_or(0, |entries| entries.count() as u64),
            cpu_seconds: self.cpu()?.as_secs_f64(),
        })
    }

    /// Processor time used so far, by itself and in the kernel.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn cpu(self) -> Result<Duration> {
        cpu_of(&self.read("stat")?)
            .with_context(|| format!("the times of process {} can't be read", self.pid))
    }
}

/// `utime` and `stime`, the 14th and 15th fields; the second may have blanks and brackets in it.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u32>().ok()?.checked_add(fields.next()?.parse().ok()?)?;
    Some(TICK * ticks)
}

/// The inodes of the sockets that listen on a port, of a table as in `/proc/net/tcp`.
fn listeners(table: &str, port: u16) -> Vec<u64> {
    let wanted = format!("{port:04X}");
    let rows = table.lines().skip(1).filter_map(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let here = fields.get(1)?.rsplit_once(':')?.1 == wanted && *fields.get(3)? == "0A";
        here.then(|| fields.get(9)?.parse().ok()).flatten()
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "42 (a) R (b) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 7 7 20 0 4 0 100 1000 200";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_of("42 (a) S 1"), None);
    }

    #[test]
    fn the_listener_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(Process::listening_on(port), Some(Process::own()));
        drop(listener);
        assert_eq!(Process::listening_on(port), None);
    }

    #[test]
    fn one_holds_something_oneself() {
        let held = Process::own().held().unwrap();
        assert!(held.resident_bytes > held.anonymous_bytes && held.anonymous_bytes > 0);
        assert!(held.threads > 0 && held.descriptors > 2);
    }
}
