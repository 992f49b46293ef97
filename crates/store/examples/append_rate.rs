//! How many entries a second a store accepts, and what that costs.
//!
//! ```text
//! cargo run --release -p mqttchat-store --example append_rate -- [SUBMITTERS] [SECONDS] [PREFILL] [DIR | postgres://…]
//! ```
//!
//! Each submitter appends one entry of about 200 bytes at a time, under a random id, and waits for its commit: what
//! so many people do who send as fast as they can. With PREFILL, the log has so many entries already.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use mqttchat_protocol::{Conversation, EntryKind, MessageId, Party};
use mqttchat_store::{NewEntry, Store, StoreOptions};

#[derive(Default)]
struct Counts {
    entries: AtomicU64,
    nanos: AtomicU64,
    slowest: AtomicU64,
}

/// Counts commits, each of which is one fsync of the write-ahead log, by the store's own metric.
#[derive(Default)]
struct Commits(AtomicU64);

impl HistogramFn for Commits {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct CommitRecorder(Arc<Commits>);

impl Recorder for CommitRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == "mqttchat_store_commit_entries" {
            Histogram::from_arc(self.0.clone())
        } else {
            Histogram::noop()
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let commits = Arc::new(Commits::default());
    metrics::set_global_recorder(CommitRecorder(commits.clone()))
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (submitters, seconds, prefill) = (number(1000)?, number(5)?, number(0)?);
    let scratch = tempfile::tempdir()?;
    let options = match arguments.next() {
        Some(url) if url.starts_with("postgres") => StoreOptions::postgres(url),
        Some(directory) => StoreOptions::sqlite(directory),
        None => StoreOptions::sqlite(scratch.path()),
    };
    let store = Store::open(options).await?;
    if prefill > 0 {
        let counts = Arc::new(Counts::default());
        let each = prefill / submitters;
        run(&store, submitters, &counts, move |sent, _| sent < each).await?;
        report("prefill: ", &counts, Duration::ZERO, None);
    }
    let counts = Arc::new(Counts::default());
    let (started, before) = (Instant::now(), Usage::now(&commits)?);
    let end = started + Duration::from_secs(seconds);
    run(&store, submitters, &counts, move |_, now| now < end).await?;
    report("", &counts, started.elapsed(), Some((before, Usage::now(&commits)?)));
    store.close().await;
    Ok(())
}

async fn run(
    store: &Store,
    submitters: u64,
    counts: &Arc<Counts>,
    go_on: impl Fn(u64, Instant) -> bool + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let tasks: Vec<_> = (0..submitters)
        .map(|number| tokio::spawn(submit(store.clone(), number, counts.clone(), go_on.clone())))
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn submit(
    store: Store,
    number: u64,
    counts: Arc<Counts>,
    go_on: impl Fn(u64, Instant) -> bool,
) -> anyhow::Result<()> {
    let from = Party::foreign(&format!("p{number}"));
    let mut sent = 0;
    loop {
        let started = Instant::now();
        if !go_on(sent, started) {
            return Ok(());
        }
        sent += 1;
        let id =
            MessageId::parse(&uuid::Uuid::new_v4().to_string()).ok_or_else(|| anyhow::anyhow!("no id"))?;
        store.append(entry(&from, id)).await?;
        let nanos = u64::try_from(started.elapsed().as_nanos())?;
        counts.entries.fetch_add(1, Ordering::Relaxed);
        counts.nanos.fetch_add(nanos, Ordering::Relaxed);
        counts.slowest.fetch_max(nanos, Ordering::Relaxed);
    }
}

fn entry(from: &Party, id: MessageId) -> NewEntry {
    NewEntry {
        conversation: Conversation::Public,
        kind: EntryKind::Msg,
        id,
        from: from.clone(),
        name: "Somebody".into(),
        data: format!(r#"{{"text":"{}"}}"#, "x".repeat(180)).into(),
        change: None,
        ingest: None,
    }
}

/// What the process has used so far, as Linux counts it.
struct Usage {
    ticks: u64,
    written: u64,
    commits: u64,
}

impl Usage {
    fn now(commits: &Commits) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // Behind the program's name in parentheses, user and system time are the 12th and 13th.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        let io = std::fs::read_to_string("/proc/self/io")?;
        let written =
            io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap_or("0").parse()?;
        Ok(Self { ticks, written, commits: commits.0.load(Ordering::Relaxed) })
    }
}

#[allow(clippy::cast_precision_loss, clippy::print_stdout, reason = "a report for people")]
fn report(title: &str, counts: &Counts, elapsed: Duration, usage: Option<(Usage, Usage)>) {
    let entries = counts.entries.load(Ordering::Relaxed) as f64;
    let mean = counts.nanos.load(Ordering::Relaxed) as f64 / entries / 1e6;
    let slowest = counts.slowest.load(Ordering::Relaxed) as f64 / 1e6;
    println!("{title}{entries} entries, {mean:.1} ms each on average, {slowest:.1} ms at most");
    if let Some((before, after)) = usage {
        let seconds = elapsed.as_secs_f64();
        let cpu = (after.ticks - before.ticks) as f64 / 100.0;
        let written = (after.written - before.written) as f64;
        let commits = (after.commits - before.commits) as f64;
        println!(
            "{:.0} appends/s, {:.0} commits/s with one fsync each",
            entries / seconds,
            commits / seconds
        );
        println!("{:.1} µs CPU an append, {:.0} bytes written", cpu * 1e6 / entries, written / entries);
    }
}
