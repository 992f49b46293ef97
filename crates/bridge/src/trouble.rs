//! Why the broker can't be spoken to, for the operator.

use mqttchat_tls::{Settings, explain};
use rumqttc::{ConnectionError, StateError, TlsError};
use rustls::ClientConfig;

const SETTINGS: Settings = Settings { ca: "mqtt.ca", identity: "mqtt.cert and mqtt.key" };

/// What a client ended with, and what to do about it.
pub(crate) fn in_words(error: &ConnectionError, tls: Option<&ClientConfig>) -> String {
    if let Some(reason) = explain(error, SETTINGS) {
        return format!("the broker {reason}");
    }
    match (error, tls) {
        (ConnectionError::Tls(TlsError::Io(reason)), _) => format!(
            "the broker closes the connection when TLS begins ({reason}): its port is not for TLS, or it turns us away"
        ),
        (ConnectionError::MqttState(state), None) if is_cut_off(state) => {
            format!("{error} (if the broker's port is for TLS, its URL begins with mqtts://)")
        }
        // Where TLS 1.3 asks for a certificate that doesn't come, what is said about it may be lost with the connection.
        (ConnectionError::MqttState(state), Some(tls))
            if is_cut_off(state) && !tls.client_auth_cert_resolver.has_certs() =>
        {
            format!("{error} (the broker may want a client certificate: mqtt.cert and mqtt.key)")
        }
        _ => error.to_string(),
    }
}

fn is_cut_off(state: &StateError) -> bool {
    matches!(state, StateError::ConnectionAborted | StateError::Io(_) | StateError::Deserialization(_))
}
