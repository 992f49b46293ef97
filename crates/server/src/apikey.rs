//! `mqttchat apikey`: the keys of programs, made and revoked beside a server that may be running.

use anyhow::{Context, bail};
use mqttchat_protocol::{ApiSecret, DisplayName};
use mqttchat_store::{ApiKey, KeyOutcome, NewApiKey, Operator, Scopes};

use crate::cli::{ApiKeyCommand, Scope};
use crate::config::Config;
use crate::operator::{Said, exists, open, open_or_make, place, table as table_of, time};

/// Carries out one of the commands. Needs a tokio runtime.
///
/// # Errors
/// One sentence for the operator.
pub async fn apikey(config: &Config, command: &ApiKeyCommand) -> anyhow::Result<Said> {
    // A key may be made before the first start, so that whatever starts the server can bring it along.
    let is_new = matches!(command, ApiKeyCommand::Create { .. }) && !exists(config).await?;
    let operator = if is_new { open_or_make(config).await? } else { open(config).await? };
    let said = carry_out(&operator, command).await;
    operator.close().await;
    said.map(|said| match said.remark {
        Some(remark) if is_new => {
            Said { remark: Some(format!("{remark}; a new database was made {}", place(config))), ..said }
        }
        remark => Said { remark, ..said },
    })
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
        admin: scopes.contains(&Scope::Admin),
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
    table_of(["NAME", "USER", "SCOPES", "CREATED", "STATE"], keys.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttchat_protocol::UserId;

    #[test]
    fn tables_have_columns() {
        let key = ApiKey {
            id: 1,
            name: "Größe".into(),
            user: UserId::parse("gr-e").unwrap(),
            blocked: false,
            blocks: 0,
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
