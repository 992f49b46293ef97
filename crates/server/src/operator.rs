//! What the operator's commands share: the store beside a server that may be running, and how they answer.

use std::fmt::Write as _;

use mqttchat_store::{Operator, StoreError, StoreOptions};

use crate::config::Config;
use crate::error::StartError;

/// What such a command has to say.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// For standard output, where a script reads it.
    pub answer: String,
    /// For standard error, where a person does.
    pub remark: Option<String>,
}

/// Opens the store that is there. In a new one there is nobody whom a command could be about: it would report what was
/// done to nobody, while those who are meant are elsewhere.
pub(crate) async fn open(config: &Config) -> Result<Operator, StartError> {
    if exists(config).await? {
        open_or_make(config).await
    } else {
        Err(StartError::NoDatabase { place: place(config) })
    }
}

/// Whether there is a store already.
pub(crate) async fn exists(config: &Config) -> Result<bool, StartError> {
    Operator::exists(&options(config)).await.map_err(|source| unusable(config, source))
}

/// Opens the store; where there is none, makes it.
pub(crate) async fn open_or_make(config: &Config) -> Result<Operator, StartError> {
    Operator::open(options(config)).await.map_err(|source| unusable(config, source))
}

/// Where the store is, without the login.
pub(crate) fn place(config: &Config) -> String {
    match &config.database {
        Some(database) => format!("at {database}"),
        None => format!("in the data directory {}", config.data.display()),
    }
}

fn options(config: &Config) -> StoreOptions {
    match &config.database {
        Some(database) => StoreOptions::postgres(database.secret()),
        None => StoreOptions::sqlite(&config.data),
    }
}

fn unusable(config: &Config, source: StoreError) -> StartError {
    match &config.database {
        Some(database) => StartError::Database { database: database.to_string(), source },
        None => StartError::Store { data: config.data.clone(), source },
    }
}

/// Rows below their head, in columns; the last one as wide as it comes.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N - 1).map(width).chain([0]).collect();
    let mut table = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a String can't fail.
        let _ = writeln!(table, "{}", cells.join("  "));
    }
    table
}

/// A Unix time in ms as `2026-11-21T04:05:06Z`.
pub(crate) fn time(ms: u64) -> String {
    let (days, second) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days; for days from 1970 on.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_827_696_789), "2000-02-29T12:34:56Z");
        assert_eq!(time(1_795_233_906_000), "2026-11-21T04:05:06Z");
        assert_eq!(time(4_107_542_399_999), "2100-02-28T23:59:59Z");
    }
}
