//! `mqttchat apikey`: the keys of programs, made and revoked beside a server that may be running.

use std::fmt::Write as _;

use anyhow::{Context, bail};
use mqttchat_protocol::{ApiSecret, DisplayName};
use mqttchat_store::{ApiKey, KeyOutcome, NewApiKey, Operator, Scopes, StoreOptions};

use crate::cli::{ApiKeyCommand, Scope};
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

/// Carries out one of the commands. Needs a tokio runtime.
///
/// # Errors
/// One sentence for the operator.
pub async fn apikey(config: &Config, command: &ApiKeyCommand) -> anyhow::Result<Said> {
    let operator = open(config).await?;
    let said = carry_out(&operator, command).await;
    operator.close().await;
    said
}

async fn open(config: &Config) -> Result<Operator, StartError> {
    match &config.database {
        Some(database) => Operator::open(StoreOptions::postgres(database.secret()))
            .await
            .map_err(|source| StartError::Database { database: database.to_string(), source }),
        None => Operator::open(StoreOptions::sqlite(&config.data))
            .await
            .map_err(|source| StartError::Store { data: config.data.clone(), source }),
    }
}

async fn carry_out(operator: &Operator, command: &ApiKeyCommand) -> anyhow::Result<Said> {
    match command {
        ApiKeyCommand::Create { name, scope } => create(operator, parse(name)?, scope).await,
        ApiKeyCommand::List => Ok(Said { answer: table(&operator.apikeys().await?), remark: None }),
        ApiKeyCommand::Revoke { name } => {
            let name = parse(name)?;
            if !operator.revoke_apikey(&name).await? {
                bail!("there is no API key {name}, or it is revoked already");
            }
            Ok(Said { answer: String::new(), remark: Some(format!("the API key {name} is revoked")) })
        }
    }
}

async fn create(operator: &Operator, name: DisplayName, scopes: &[Scope]) -> anyhow::Result<Said> {
    let scopes = Scopes {
        read: scopes.contains(&Scope::Read),
        write: scopes.contains(&Scope::Write),
        rooms: scopes.contains(&Scope::Rooms),
    };
    let new = NewApiKey { name, scopes, secret: ApiSecret::random() };
    match operator.create_apikey(&new).await? {
        KeyOutcome::Made(key) => Ok(Said {
            answer: format!("{}\n", new.secret.reveal()),
            remark: Some(format!(
                "this key is shown only now; it speaks for the user {} ({})",
                key.user, key.scopes
            )),
        }),
        KeyOutcome::Exists => bail!("there is an API key {} already: revoke it first", new.name),
        KeyOutcome::UserTaken(user) => {
            bail!("the user {user} belongs to somebody else: choose another name for the key")
        }
        KeyOutcome::NoUser => bail!("choose a name with a letter from a to z or a digit in it"),
    }
}

fn parse(name: &str) -> anyhow::Result<DisplayName> {
    DisplayName::parse(name)
        .context("a key's name is 1 to 64 characters, without control, direction-changing or invisible ones")
}

fn table(keys: &[ApiKey]) -> String {
    let row = |key: &ApiKey| {
        let state = match (key.revoked, key.used) {
            (Some(at), _) => format!("revoked {}", time(at)),
            (None, Some(at)) => format!("used {}", time(at)),
            (None, None) => "never used".to_owned(),
        };
        [key.name.to_string(), key.user.to_string(), key.scopes.to_string(), time(key.created), state]
    };
    let head = ["NAME", "USER", "SCOPES", "CREATED", "STATE"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(keys.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..4).map(width).collect();
    let mut table = String::new();
    for [name, user, scopes, created, state] in &rows {
        // Writing to a String can't fail.
        let _ = writeln!(
            table,
            "{name:0$}  {user:1$}  {scopes:2$}  {created:3$}  {state}",
            widths[0], widths[1], widths[2], widths[3]
        );
    }
    table
}

/// A Unix time in ms as `2026-11-21T04:05:06Z`.
fn time(ms: u64) -> String {
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
    use mqttchat_protocol::UserId;

    #[test]
    fn times() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_827_696_789), "2000-02-29T12:34:56Z");
        assert_eq!(time(1_795_233_906_000), "2026-11-21T04:05:06Z");
        assert_eq!(time(4_107_542_399_999), "2100-02-28T23:59:59Z");
    }

    #[test]
    fn tables_have_columns() {
        let key = ApiKey {
            id: 1,
            name: "Größe".into(),
            user: UserId::parse("gr-e").unwrap(),
            blocked: false,
            scopes: Scopes::ALL,
            created: 0,
            used: None,
            revoked: None,
        };
        assert_eq!(
            table(&[key]),
            "NAME   USER  SCOPES            CREATED               STATE\n\
             Größe  gr-e  read write rooms  1970-01-01T00:00:00Z  never used\n"
        );
    }
}
