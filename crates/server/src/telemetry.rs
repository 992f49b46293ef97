//! The log, and where metrics are collected.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogOptions};

/// What dependencies say that is of no use to an operator. rumqttd logs each connection and calls a client that leaves
/// an error, rumqttc's events are reported by the bridge.
const QUIET: &str = "rumqttd=off,rumqttc=off,hyper=warn,warp=warn";

/// What would write out what people say, and secrets, at any level: with each statement its parameters. Nothing turns it on.
const NEVER: &str = "tokio_postgres::query=warn";

/// Seconds, from a commit on a fast disk to one on a bad day.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Numbers of things done together.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 2048.0];

/// Begins to log to standard error. Only the first call in a process has an effect.
pub fn log_to_stderr(options: &LogOptions) {
    let filter = filter(options, std::env::var("RUST_LOG").ok().as_deref());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let result = match options.format {
        LogFormat::Human => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if result.is_err() {
        tracing::debug!("somebody else collects the log already");
    }
}

fn filter(options: &LogOptions, rust_log: Option<&str>) -> EnvFilter {
    let directives =
        rust_log.filter(|text| !text.is_empty() && !options.level_wins).unwrap_or(&options.level);
    // What is named explicitly comes later, and wins over what is quiet by itself.
    let (level, rest) = match directives.split_once(',') {
        Some((level, rest)) if !level.contains('=') => (level, rest),
        None if !directives.contains('=') => (directives, ""),
        _ => ("info", directives),
    };
    EnvFilter::builder().parse_lossy(format!("{level},{QUIET},{rest},{NEVER}"))
}

/// Where this process's metrics are rendered. The first call begins to collect them; where the embedding program
/// collects metrics itself, this one stays empty.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            // Only an empty list of buckets is an error.
            let builder = with_buckets().unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::debug!("somebody else collects the metrics already");
            }
            handle
        })
        .clone()
}

fn with_buckets() -> Result<PrometheusBuilder, BuildError> {
    let named = |ending: &str| Matcher::Suffix(ending.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(named("_seconds"), &SECONDS)?
        .set_buckets_for_metric(named("_entries"), &COUNTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(level: &str, level_wins: bool, rust_log: Option<&str>) -> String {
        let options = LogOptions { format: LogFormat::Human, level: level.to_owned(), level_wins };
        let mut directives: Vec<_> =
            filter(&options, rust_log).to_string().split(',').map(str::to_owned).collect();
        directives.sort();
        directives.join(",")
    }

    #[test]
    fn what_is_named_wins_over_what_is_quiet() {
        let usual = "hyper=warn,info,rumqttc=off,rumqttd=off,tokio_postgres::query=warn,warp=warn";
        assert_eq!(shown("info", false, None), usual);
        let named = shown("info", false, Some("debug"));
        assert_eq!(named, "debug,hyper=warn,rumqttc=off,rumqttd=off,tokio_postgres::query=warn,warp=warn");
        let named = shown("warn", true, Some("debug"));
        assert_eq!(named, "hyper=warn,rumqttc=off,rumqttd=off,tokio_postgres::query=warn,warn,warp=warn");
        assert!(shown("info,rumqttd=debug", true, None).contains(",rumqttd=debug,"));
        for all in ["trace", "tokio_postgres=trace", "tokio_postgres::query=trace"] {
            assert!(shown(all, true, None).contains("tokio_postgres::query=warn"), "{all}");
        }
        assert!(shown("info", false, Some("mqttchat=trace")).contains("mqttchat=trace"));
    }
}
