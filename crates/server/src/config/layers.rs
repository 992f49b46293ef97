//! Where a setting comes from: flag over variable over file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::{file, variables};
use crate::cli::Flags;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text; from a flag or variable it can stand for any of the others.
    Text(String),
    /// A whole number, of a file.
    Integer(i64),
    /// True or false.
    Bool(bool),
    /// A list of texts.
    List(Vec<String>),
    /// Something that no setting takes, as TOML calls it.
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::List(items) => write!(f, "{items:?}"),
            Self::Other(kind) => write!(f, "a {kind}"),
        }
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    Flag,
    /// In the environment.
    Variable,
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl Source {
    /// The setting as it is called there, and where that is.
    pub(super) fn name(&self, key: &str) -> String {
        match self {
            Self::Flag => format!("--{}", key.replace('_', "-")),
            Self::Variable => variables::name(key),
            Self::File { .. } => format!("{self}: {key}"),
        }
    }

    /// Its place in the order: flag over variable over file.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Flag => 2,
            Self::Variable => 1,
            Self::File { .. } => 0,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("on the command line"),
            Self::Variable => f.write_str("in the environment"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) source: Source,
}

/// All that was given, the winner for each key.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    given: BTreeMap<&'static str, Given>,
    warnings: Vec<String>,
}

impl Layers {
    /// Reads the file that flags or variables name, and puts variables and flags over it.
    ///
    /// # Errors
    /// [`ConfigError`] when the file can't be read or isn't TOML, or for a key that isn't one.
    pub fn read(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment: Vec<_> =
            environment.into_iter().filter(|(name, _)| name.starts_with("MQTTCHAT_")).collect();
        let file_of_variable = environment.iter().find(|(name, _)| name == "MQTTCHAT_CONFIG");
        let path = flags.config.as_deref().or(file_of_variable.map(|(_, path)| Path::new(path)));
        let mut layers = Self::default();
        if let Some(path) = path {
            layers.given.extend(file::read(path)?);
        }
        let variables = variables::read(&environment)?;
        layers.given.extend(variables.given);
        layers.warnings = variables.warnings;
        for (key, value) in flags.values() {
            layers.given.insert(key, Given { value, source: Source::Flag });
        }
        Ok(layers)
    }

    /// Sentences about what looks wrong and may be right; to be logged.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn get(&self, key: &'static str) -> Option<&Given> {
        debug_assert!(super::keys::find(key).is_some(), "{key} is not a setting");
        self.given.get(key)
    }

    /// The value, or the default where none was given.
    pub(super) fn parse<T>(
        &self,
        key: &'static str,
        default: T,
        allowed: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, ConfigError> {
        Ok(self.parse_given(key, allowed, parse)?.unwrap_or(default))
    }

    /// The value, if one was given.
    pub(super) fn parse_given<T>(
        &self,
        key: &'static str,
        allowed: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(given) = self.get(key) else { return Ok(None) };
        parse(&given.value).map(Some).ok_or_else(|| ConfigError::Value {
            key,
            source_: given.source.clone(),
            value: given.value.clone(),
            allowed: allowed.to_owned(),
        })
    }

    /// A text, if one was given, that errors don't show.
    pub(super) fn secret<T>(
        &self,
        key: &'static str,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(given) = self.get(key) else { return Ok(None) };
        let value = match &given.value {
            value @ Value::Text(_) => text(value).ok_or("is empty").and_then(parse),
            _ => Err("has to be a text"),
        };
        value.map(Some).map_err(|reason| ConfigError::Secret {
            key,
            source_: given.source.clone(),
            reason: reason.to_owned(),
        })
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &self,
        key: &'static str,
        default: u64,
        min: u64,
        max: u64,
    ) -> Result<u64, ConfigError> {
        self.parse(key, default, &format!("a number from {min} to {max}"), |value| {
            let number = match value {
                Value::Integer(number) => u64::try_from(*number).ok()?,
                Value::Text(text) => text.parse().ok()?,
                _ => return None,
            };
            (min..=max).contains(&number).then_some(number)
        })
    }

    /// True or false.
    pub(super) fn switch(&self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        self.parse(key, default, "true or false", |value| match value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        })
    }

    /// A list; a variable gives it separated by commas.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ConfigError> {
        self.parse(key, Vec::new(), allowed, |value| match value {
            Value::List(items) => items.iter().map(|item| parse(item)).collect(),
            Value::Text(text) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(parse).collect()
            }
            _ => None,
        })
    }
}

/// A text that isn't empty.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}
