//! The names of the settings, and of those to come.

/// Every setting, as it is written in the file.
pub(super) const KEYS: [&str; 63] = [
    "port",
    "bind",
    "lan",
    "broker",
    "broker_listen",
    "broker_anonymous",
    "broker_config",
    "data",
    "database",
    "static",
    "tls_cert",
    "tls_key",
    "tls_redirect",
    "lab_api",
    "log_format",
    "log_level",
    "auth.mode",
    "auth.signing",
    "auth.jwt.key_file",
    "auth.jwt.jwks_url",
    "auth.jwt.algorithms",
    "auth.jwt.issuer",
    "auth.jwt.audience",
    "auth.jwt.leeway",
    "limits.messages_per_second",
    "limits.burst",
    "limits.joins_per_second",
    "limits.pages_per_second",
    "limits.searches_per_second",
    "limits.frames_per_second",
    "limits.per_second_per_address",
    "limits.connections",
    "limits.connections_per_address",
    "limits.text",
    "limits.frame",
    "limits.history",
    "limits.resume",
    "mqtt.prefix",
    "mqtt.private",
    "mqtt.ingest",
    "mqtt.history",
    "mqtt.ca",
    "mqtt.cert",
    "mqtt.key",
    "http.origins",
    "http.hosts",
    "http.origin_or_token",
    "http.proxies",
    "http.proxy_headers",
    "http.embed",
    "http.hsts",
    "http.header_timeout",
    "http.body_timeout",
    "sockjs.enabled",
    "sockjs.heartbeat",
    "sockjs.disconnect_delay",
    "sockjs.streaming_limit",
    "sockjs.cookies",
    "sockjs.client_url",
    "webhook.url",
    "webhook.secret",
    "webhook.events",
    "webhook.after",
];

/// Keys of docs/protocol.md §8, and of the manual, that this version has no use for. A section stands for all in it.
const LATER: [&str; 1] = ["mqtt.clients"];

/// The setting of this name, in the registry's own letters.
pub(super) fn find(key: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|known| *known == key)
}

/// Whether settings stand below this name.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.into_iter().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// Whether the key is one that a later version may have.
pub(super) fn is_for_later(key: &str) -> bool {
    LATER
        .into_iter()
        .any(|later| key.strip_prefix(later).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The setting whose name looks most like this one, if any does.
pub(super) fn similar(key: &str) -> Option<&'static str> {
    let leaf = |key: &'static str| key.rsplit_once('.').map_or(key, |(_, leaf)| leaf);
    let likeness =
        |known: &'static str| strsim::jaro_winkler(known, key).max(strsim::jaro_winkler(leaf(known), key));
    KEYS.into_iter()
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        assert_eq!(similar("prot"), Some("port"));
        assert_eq!(similar("limits.conections"), Some("limits.connections"));
        assert_eq!(similar("messages_per_second"), Some("limits.messages_per_second"));
        assert_eq!(similar("zebra"), None);
    }

    #[test]
    fn what_comes_later_is_known_by_name() {
        assert!(is_for_later("mqtt.clients") && is_for_later("mqtt.clients.x"));
        assert!(!is_for_later("mqtt.clientsx") && !is_for_later("mqtt"));
        assert!(KEYS.into_iter().all(|key| !is_for_later(key)));
    }
}
