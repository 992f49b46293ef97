//! How often the server commits and syncs under load: what group commit spares the disk.

use std::fmt;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::report::rate;
use crate::target::{Speech, Target};

/// The server's own counts, at `/metrics`.
const COMMITS: &str = "mqttchat_store_commit_entries_count";
const WRITES: &str = "mqttchat_store_commit_entries_sum";
/// PostgreSQL's own count, of all its processes. No version before 14 has the view, and from 18 on it has no such column.
const SYNCS: &str = "SELECT (to_jsonb(w) ->> 'wal_sync')::bigint FROM pg_stat_wal w";

/// Where commits are counted.
pub(crate) struct Commits {
    /// `None` for a broker, which has no such counts.
    metrics: Option<Target>,
    database: Option<Client>,
}

/// The counts at a moment.
pub(crate) struct Count {
    at: Instant,
    commits: Option<f64>,
    writes: Option<f64>,
    syncs: Option<i64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct CommitsReport {
    commits_per_second: Option<f64>,
    /// Entries, and cursors that moved, in one commit on average.
    writes_per_commit: Option<f64>,
    /// As PostgreSQL counts them: each of its processes tells its count about once a second.
    syncs_per_second: Option<f64>,
}

impl Commits {
    /// Connects to the database, where there is one.
    pub(crate) async fn of(target: &Target, database: Option<&str>) -> Result<Self> {
        let metrics = (target.speech == Speech::Chat).then(|| target.clone());
        let Some(database) = database else { return Ok(Self { metrics, database: None }) };
        let connected = tokio_postgres::connect(database, NoTls).await;
        let (client, connection) = connected.context("the database can't be reached to count its syncs")?;
        // It ends with the client; what is wrong with it, the next question says.
        tokio::spawn(connection);
        Ok(Self { metrics, database: Some(client) })
    }

    pub(crate) async fn count(&self) -> Result<Count> {
        let at = Instant::now();
        let metrics = match &self.metrics {
            Some(target) => fetch(target).await?,
            None => String::new(),
        };
        let syncs = match &self.database {
            Some(client) => client.query_one(SYNCS, &[]).await?.try_get(0)?,
            None => None,
        };
        Ok(Count { at, commits: value(&metrics, COMMITS), writes: value(&metrics, WRITES), syncs })
    }
}

impl Count {
    /// What happened since an earlier moment.
    pub(crate) fn since(&self, before: &Self) -> CommitsReport {
        let seconds = (self.at - before.at).as_secs_f64();
        let less = |now: Option<f64>, before: Option<f64>| Some(now? - before.unwrap_or(0.0));
        let commits = less(self.commits, before.commits);
        let writes = less(self.writes, before.writes);
        let syncs = self.syncs.zip(before.syncs).map(|(now, before)| now.abs_diff(before));
        CommitsReport {
            commits_per_second: commits.map(|commits| commits / seconds),
            writes_per_commit: commits.zip(writes).map(|(commits, writes)| writes / commits.max(1.0)),
            syncs_per_second: syncs.map(|syncs| rate(syncs, seconds)),
        }
    }
}

/// Fetches `/metrics`, which is beside the socket.
async fn fetch(target: &Target) -> Result<String> {
    let Some(base) = target.path.strip_suffix("ws") else { return Ok(String::new()) };
    let mut stream = TcpStream::connect(target.address).await?;
    let request = format!("GET {base}metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.host);
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "the server doesn't tell its metrics");
    Ok(answer)
}

/// The value of a metric without labels.
fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

impl fmt::Display for CommitsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(commits), Some(writes)) = (self.commits_per_second, self.writes_per_commit) {
            writeln!(f, "  commits                {commits:.0} a second, with {writes:.0} writes each")?;
        }
        if let Some(syncs) = self.syncs_per_second {
            writeln!(f, "  syncs of PostgreSQL    {syncs:.0} a second, of its write-ahead log")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let metrics = "# TYPE a summary\na_sum 12\na_sums 1\na_count 3\r\n";
        assert_eq!(value(metrics, "a_sum"), Some(12.0));
        assert_eq!(value(metrics, "a_count"), Some(3.0));
        assert_eq!(value(metrics, "a"), None);
    }

    #[test]
    fn what_happened_between_two_moments() {
        let at = Instant::now();
        let before = Count { at, commits: None, writes: None, syncs: Some(5) };
        let after = Count {
            at: at + std::time::Duration::from_secs(2),
            commits: Some(10.0),
            writes: Some(40.0),
            syncs: Some(25),
        };
        let report = after.since(&before);
        assert_eq!((report.commits_per_second, report.writes_per_commit), (Some(5.0), Some(4.0)));
        assert_eq!(report.syncs_per_second, Some(10.0));
        assert_eq!(before.since(&before).commits_per_second, None);
    }
}
