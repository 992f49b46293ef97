//! The configuration file, with the line of each value.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::keys;
use super::layers::{Given, Source, Value};

/// Reads a file into values by key.
pub(super) fn read(path: &Path) -> Result<Vec<(&'static str, Given)>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    let file = File { path, text: &text };
    let document = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: file.line(error.span().map_or(0, |span| span.start)),
        // One sentence, without the excerpt that the parser's own form draws.
        reason: error.message().replace('\n', ", "),
    })?;
    let mut given = Vec::new();
    file.collect("", document.get_ref(), &mut given)?;
    Ok(given)
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn source(&self, offset: usize) -> Source {
        Source::File { path: self.path.to_owned(), line: self.line(offset) }
    }

    fn collect(
        &self,
        section: &str,
        table: &DeTable<'_>,
        given: &mut Vec<(&'static str, Given)>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let name_starts = name.span().start;
            let key = format!("{section}{}", name.get_ref());
            if keys::is_for_later(&key) {
                return Err(ConfigError::Later { key, source_: self.source(name_starts) });
            }
            if let Some(known) = keys::find(&key) {
                given.push((known, Given { value: plain(value), source: self.source(name_starts) }));
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) if keys::is_section(&key) => {
                    self.collect(&format!("{key}."), inner, given)?
                }
                _ if keys::is_section(&key) => {
                    return Err(ConfigError::Section { key, source_: self.source(name_starts) });
                }
                _ => {
                    let suggestion = keys::similar(&key);
                    return Err(ConfigError::Unknown { key, source_: self.source(name_starts), suggestion });
                }
            }
        }
        Ok(())
    }
}

fn plain(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("number out of range"), Value::Integer),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            });
            texts.collect::<Option<_>>().map_or(Value::Other("list of other things than texts"), Value::List)
        }
        DeValue::Float(_) => Value::Other("number with a fraction"),
        DeValue::Datetime(_) => Value::Other("date"),
        DeValue::Table(_) => Value::Other("section"),
    }
}
