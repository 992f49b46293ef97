//! `broker.toml`: read, checked once, and cut into what is started.

use std::path::Path;

use rumqttd::{Config, RouterConfig, ServerSettings};

use crate::error::BrokerError;

/// The `broker.toml` that is compiled in.
pub const DEFAULT_CONFIG: &str = include_str!("../../../broker.toml");

/// The listener in `broker.toml` that devices are passed on to.
const DEVICES: &str = "devices";

/// A chat frame of 64 KiB, its envelope and signature, and some room.
const MIN_PAYLOAD: usize = 128 * 1024;

/// Fewer connections than this leave nothing once devices and probes have theirs.
const MIN_CONNECTIONS: usize = 64;

/// rumqttd panics on smaller segments.
const MIN_SEGMENT: usize = 1024;

/// The checked configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) id: usize,
    pub(crate) router: RouterConfig,
    /// Listeners for the bridge, by name; at least one.
    pub(crate) bridge: Vec<ServerSettings>,
    /// The listener behind the gate, where the file has one.
    pub(crate) devices: Option<ServerSettings>,
}

impl Plan {
    /// Reads `path`, or the compiled-in default.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, BrokerError> {
        let (origin, text) = match path {
            None => ("compiled into the program".to_owned(), DEFAULT_CONFIG.to_owned()),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| BrokerError::Read { path: path.to_owned(), source })?;
                (path.display().to_string(), text)
            }
        };
        Self::parse(&text).map_err(|reason| BrokerError::Config { origin, reason })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Config = toml::from_str(text).map_err(|error| explain(&error, text))?;
        refuse_unserved(&config)?;
        check_router(&config.router)?;
        let mut listeners: Vec<(String, ServerSettings)> =
            config.v4.unwrap_or_default().into_iter().collect();
        listeners.sort_by(|a, b| a.0.cmp(&b.0));
        let mut plan = Self { id: config.id, router: config.router, bridge: Vec::new(), devices: None };
        for (key, settings) in listeners {
            check_listener(&key, &settings)?;
            if key == DEVICES {
                plan.devices = Some(settings);
            } else {
                check_bridge_listener(&key, &settings)?;
                plan.bridge.push(settings);
            }
        }
        if plan.bridge.is_empty() {
            return Err("[v4] has no listener for the server itself".to_owned());
        }
        Ok(plan)
    }
}

/// Looks whether a broker could be started with this file.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &Path) -> Result<(), BrokerError> {
    Plan::load(Some(path)).map(drop)
}

/// A TOML error in one line: rumqttd's own words and where.
fn explain(error: &toml::de::Error, text: &str) -> String {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}

fn refuse_unserved(config: &Config) -> Result<(), String> {
    let unserved = [
        ("v5", config.v5.is_some()),
        ("ws", config.ws.is_some()),
        ("cluster", config.cluster.is_some()),
        ("console", config.console.is_some()),
        ("bridge", config.bridge.is_some()),
        ("prometheus", config.prometheus.is_some()),
        ("metrics", config.metrics.is_some()),
    ];
    match unserved.iter().find(|(_, present)| *present) {
        Some((section, _)) => Err(format!("[{section}] is not served by the embedded broker")),
        None => Ok(()),
    }
}

fn check_router(router: &RouterConfig) -> Result<(), String> {
    if router.max_connections < MIN_CONNECTIONS {
        return Err(format!("router.max_connections must be at least {MIN_CONNECTIONS}"));
    }
    if router.max_outgoing_packet_count == 0 {
        return Err("router.max_outgoing_packet_count must be at least 1".to_owned());
    }
    let sizes = router.custom_segment.iter().flatten();
    let sizes = sizes.map(|(filter, segment)| {
        (format!("router.custom_segment.{filter:?}"), segment.max_segment_size, segment.max_segment_count)
    });
    let all = std::iter::once(("router".to_owned(), router.max_segment_size, router.max_segment_count));
    for (place, size, count) in all.chain(sizes) {
        if size < MIN_SEGMENT {
            return Err(format!("{place}: max_segment_size must be at least {MIN_SEGMENT} bytes"));
        }
        if count == 0 {
            return Err(format!("{place}: max_segment_count must be at least 1"));
        }
    }
    Ok(())
}

fn check_listener(key: &str, settings: &ServerSettings) -> Result<(), String> {
    if settings.tls.is_some() {
        return Err(format!("v4.{key}: tls is not served by the embedded broker"));
    }
    if !settings.listen.ip().is_loopback() {
        return Err(format!(
            "v4.{key}: {} is not a loopback address; devices are let in with --broker-listen",
            settings.listen
        ));
    }
    if settings.connections.auth.is_some() {
        return Err(format!("v4.{key}: connections.auth is made at start and cannot be set"));
    }
    if settings.connections.connection_timeout_ms == 0 {
        return Err(format!("v4.{key}: connections.connection_timeout_ms must not be 0"));
    }
    if settings.connections.max_inflight_count == 0 {
        return Err(format!("v4.{key}: connections.max_inflight_count must not be 0"));
    }
    Ok(())
}

fn check_bridge_listener(key: &str, settings: &ServerSettings) -> Result<(), String> {
    if settings.connections.max_payload_size < MIN_PAYLOAD {
        return Err(format!("v4.{key}: connections.max_payload_size must be at least {MIN_PAYLOAD} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(from: &str, to: &str) -> String {
        assert!(DEFAULT_CONFIG.contains(from), "the default has no {from:?}");
        Plan::parse(&DEFAULT_CONFIG.replace(from, to)).expect_err("must be refused")
    }

    #[test]
    fn the_default_has_four_bridge_listeners_and_one_for_devices() {
        let plan = Plan::parse(DEFAULT_CONFIG).expect("the default is valid");
        assert_eq!(plan.bridge.len(), 4);
        assert!(plan.bridge.iter().all(|l| l.listen.ip().is_loopback() && l.listen.port() == 0));
        assert_eq!(plan.devices.expect("devices").name, "devices");
    }

    #[test]
    fn a_listener_off_the_loopback_interface_is_refused() {
        let reason = rejected("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"");
        assert!(reason.contains("0.0.0.0:0 is not a loopback address"), "{reason}");
    }

    #[test]
    fn a_packet_limit_below_a_chat_frame_is_refused() {
        let reason = rejected("max_payload_size = 1048576", "max_payload_size = 20480");
        assert!(reason.contains("max_payload_size must be at least"), "{reason}");
    }

    #[test]
    fn segments_that_would_make_rumqttd_panic_are_refused() {
        let reason = rejected("max_segment_size = 65536", "max_segment_size = 1000");
        assert!(reason.contains("private/+/+") && reason.contains("at least 1024"), "{reason}");
        let reason = rejected("max_segment_count = 4", "max_segment_count = 0");
        assert!(reason.contains("max_segment_count must be at least 1"), "{reason}");
    }

    #[test]
    fn what_is_not_served_is_refused() {
        let with_console = format!("{DEFAULT_CONFIG}\n[console]\nlisten = \"127.0.0.1:3030\"\n");
        let reason = Plan::parse(&with_console).expect_err("must be refused");
        assert!(reason.contains("[console] is not served"), "{reason}");
    }

    #[test]
    fn passwords_in_the_file_are_refused() {
        let reason = rejected("dynamic_filters = false", "dynamic_filters = false\nauth = { a = \"b\" }");
        assert!(reason.contains("connections.auth"), "{reason}");
    }

    #[test]
    fn a_missing_value_is_named() {
        let reason = rejected("max_connections = 10000", "");
        assert!(reason.contains("max_connections"), "{reason}");
    }
}
