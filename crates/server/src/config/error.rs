//! What can be wrong with the settings: each one sentence, for whoever starts the server.

use std::path::PathBuf;

use super::layers::{Source, Value};

/// A setting that can't be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {} can't be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file isn't TOML.
    #[error("{}, line {line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// No setting has this name.
    #[error("{source_}: there is no setting {key}{}", did_you_mean(*.suggestion))]
    Unknown {
        /// The key as it was written.
        key: String,
        /// Where it was written.
        source_: Source,
        /// The setting that may have been meant.
        suggestion: Option<&'static str>,
    },
    /// A section is given a value.
    #[error("{source_}: {key} is a section of settings, and takes no value itself")]
    Section {
        /// The section.
        key: String,
        /// Where it was written.
        source_: Source,
    },
    /// The setting is one of the manual that this version doesn't have.
    #[error("{source_}: {key} is not available in this version")]
    Later {
        /// The key as it was written.
        key: String,
        /// Where it was written.
        source_: Source,
    },
    /// The value can't be used.
    #[error("{} has to be {allowed}, not {value}", source_.name(key))]
    Value {
        /// The setting.
        key: &'static str,
        /// Where the value comes from.
        source_: Source,
        /// What was given.
        value: Value,
        /// What can be given.
        allowed: String,
    },
    /// The value can't be used, and may hold a password.
    #[error("{} {reason}", source_.name(key))]
    Secret {
        /// The setting.
        key: &'static str,
        /// Where the value comes from.
        source_: Source,
        /// What is wrong with it, without the value.
        reason: String,
    },
    /// Two settings that exclude each other, or one that needs another.
    #[error("{0}")]
    Together(String),
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|key| format!("; did you mean {key}?")).unwrap_or_default()
}
