//! Open files: every connection is some.

use mqttchat_http::QuotaLimits;
use rustix::process::{Resource, getrlimit, setrlimit};

/// What a session has open: its WebSocket, and both ends of its connection to the embedded broker.
const PER_SESSION: u64 = 3;
/// What the server has open beside sessions: database, listeners, runtime.
const RESERVE: u64 = 200;

/// Lets this process open as many files as the system allows it to; it starts with as few as 1,024 for the sake of
/// programs that use `select`.
pub fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files can't be raised");
    }
}

/// How many connections the limit of open files leaves room for; `None` if there is no limit.
pub(crate) fn connections() -> Option<usize> {
    let files = getrlimit(Resource::Nofile).current?;
    Some((files.saturating_sub(RESERVE) / PER_SESSION).max(1) as usize)
}

/// The quota that there is room for.
pub(crate) fn within(quota: QuotaLimits, room: Option<usize>) -> QuotaLimits {
    match room {
        Some(room) if quota.total == 0 || quota.total > room => QuotaLimits { total: room, ..quota },
        _ => quota,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_connections_than_files() {
        let total = |total, room| within(QuotaLimits { total, per_address: 7 }, room);
        assert_eq!(total(100, Some(50)), QuotaLimits { total: 50, per_address: 7 });
        assert_eq!(total(0, Some(50)).total, 50);
        assert_eq!(total(10, Some(50)).total, 10);
        assert_eq!(total(0, None).total, 0);
    }
}
