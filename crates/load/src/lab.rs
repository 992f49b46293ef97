//! What every measurement needs: somebody to talk to, their process, and names that nobody else has.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::cli::Which;
use crate::client::Who;
use crate::process::Process;
use crate::server::{Server, Start};
use crate::stamp::{Clock, Stamp};
use crate::target::Target;

/// How many connections come from one loopback address, when several are used.
const PER_SOURCE: usize = 1000;

/// A measurement's surroundings.
pub(crate) struct Lab {
    pub(crate) target: Target,
    /// `None` for a server elsewhere.
    pub(crate) process: Option<Process>,
    /// The server, when it was started for this.
    pub(crate) server: Option<Server>,
    pub(crate) crew: Crew,
}

/// Who takes part in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crew {
    pub(crate) run: u32,
    pub(crate) clock: Clock,
}

impl Lab {
    /// Starts the server, or finds the one that runs.
    pub(crate) async fn open(which: &Which) -> Result<Self> {
        let crew = Crew::new();
        let Some(binary) = &which.server else {
            let target: Target = which.url.parse()?;
            let found =
                || target.address.ip().is_loopback().then(|| Process::listening_on(target.address.port()));
            let process = which.pid.map(Process::of).or_else(|| found().flatten());
            return Ok(Self { target, process, server: None, crew });
        };
        let start = start(which, binary.clone());
        let server = Server::start(start).await?;
        let target = format!("ws://{}/ws", server.address).parse()?;
        let process = Some(server.process()?);
        Ok(Self { target, process, server: Some(server), crew })
    }

    /// A directory on the disk that the server writes to, as far as it is known.
    pub(crate) fn disk(&self, given: Option<&Path>) -> PathBuf {
        let data = self.server.as_ref().map(Server::data);
        given.or(data).unwrap_or(Path::new(".")).to_owned()
    }

    /// The server's processor time so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.process.and_then(|process| process.cpu().ok())
    }
}

/// The server as these arguments want it.
pub(crate) fn start(which: &Which, binary: PathBuf) -> Start {
    let mut args = which.server_arg.clone();
    if let Some(database) = &which.database {
        args.extend(["--database".to_owned(), database.clone()]);
    }
    Start { binary, args, data: which.data.clone(), limited: which.limited }
}

impl Crew {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = now.as_micros() as u32 ^ std::process::id().rotate_left(20);
        Self { run, clock: Clock::start() }
    }

    /// The member of this number.
    pub(crate) fn member(self, number: usize) -> Who {
        Who { name: format!("load-{:08x}-{number}", self.run), ..Who::default() }
    }

    /// The same, from one of the loopback addresses 127.0.0.2, 127.0.0.3 … when there are many of them: each has
    /// source ports of its own.
    pub(crate) fn member_of_many(self, number: usize, all: usize, target: &Target) -> Who {
        let mut who = self.member(number);
        if all > PER_SOURCE && target.address.ip().is_loopback() && target.address.is_ipv4() {
            let place = u32::try_from(number / PER_SOURCE).unwrap_or(0) + 2;
            who.source = Some(IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 0)) + place)));
        }
        who
    }

    /// The stamp of a message that is sent now.
    pub(crate) fn stamp(self, sender: usize, number: u32) -> Stamp {
        Stamp { run: self.run, sender: sender as u32, number, at: self.clock.now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_members_come_from_several_addresses() {
        let target: Target = "ws://127.0.0.1:1/ws".parse().unwrap();
        let crew = Crew::new();
        assert_eq!(crew.member_of_many(999, 1000, &target).source, None);
        let far = crew.member_of_many(2500, 3000, &target);
        assert_eq!(far.source, Some("127.0.0.4".parse().unwrap()));
        assert!(far.name.ends_with("-2500"));
    }
}
