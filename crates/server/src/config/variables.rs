//! Settings in the environment: `MQTTCHAT_PORT`, sections by two underscores, as in `MQTTCHAT_LIMITS__TEXT`.

use super::error::ConfigError;
use super::keys;
use super::layers::{Given, Source, Value};

/// The variable of a setting.
pub(super) fn name(key: &str) -> String {
    format!("MQTTCHAT_{}", key.replace('.', "__").to_ascii_uppercase())
}

/// What the environment gives.
#[derive(Debug, Default)]
pub(super) struct Variables {
    pub(super) given: Vec<(&'static str, Given)>,
    /// Sentences about what looks like a slip.
    pub(super) warnings: Vec<String>,
}

/// Reads variables into values by key, and says which others look like slips.
///
/// Not every variable that begins with the same letters is meant for the server: Kubernetes makes
/// `MQTTCHAT_SERVICE_HOST` for a service of that name. One that names a section is, so it has to be right.
pub(super) fn read(environment: &[(String, String)]) -> Result<Variables, ConfigError> {
    let mut found = Variables::default();
    for (variable, text) in environment {
        let key = variable.trim_start_matches("MQTTCHAT_").replace("__", ".").to_ascii_lowercase();
        if let Some(known) = keys::find(&key) {
            found.given.push((known, Given { value: Value::Text(text.clone()), source: Source::Variable }));
        } else if keys::is_for_later(&key) {
            return Err(ConfigError::Later { key: variable.clone(), source_: Source::Variable });
        } else if key.contains('.') {
            let suggestion = keys::similar(&key);
            return Err(ConfigError::Unknown {
                key: variable.clone(),
                source_: Source::Variable,
                suggestion,
            });
        } else if let Some(meant) = keys::similar(&key).filter(|_| key != "config") {
            found.warnings.push(format!(
                "{variable} is not a setting and has no effect; did you mean {}?",
                name(meant)
            ));
        }
    }
    Ok(found)
}
