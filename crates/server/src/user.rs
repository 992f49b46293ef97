//! `mqttchat user` and `mqttchat secret`: who may come in, changed beside a server that may be running.

use std::time::Duration;

use anyhow::{Context, bail};
use mqttchat_protocol::{DisplayName, Token, UserId};
use mqttchat_store::{Operator, User};

use crate::cli::{SecretCommand, UserCommand};
use crate::config::Config;
use crate::operator::{Said, open, table, time};

/// Users that are read at once.
const PAGE: u64 = 500;

/// Who vouches for those whose tokens are made here.
const GUEST: &str = "guest";

/// Carries out one of the commands on users. Needs a tokio runtime.
///
/// # Errors
/// One sentence for the operator.
pub async fn user(config: &Config, command: &UserCommand) -> anyhow::Result<Said> {
    let operator = open(config).await?;
    let said = match command {
        UserCommand::List => list(&operator).await,
        UserCommand::Block { name } => block(&operator, name, true).await,
        UserCommand::Unblock { name } => block(&operator, name, false).await,
        UserCommand::Token { name } => token(&operator, name).await,
    };
    operator.close().await;
    said
}

/// Carries out one of the commands on the master secret. Needs a tokio runtime.
///
/// # Errors
/// One sentence for the operator.
pub async fn secret(config: &Config, command: &SecretCommand) -> anyhow::Result<Said> {
    let SecretCommand::Rotate { grace } = command;
    let operator = open(config).await?;
    let rotated = operator.rotate_secrets(Duration::from_secs(u64::from(*grace) * 24 * 3600)).await;
    operator.close().await;
    rotated?;
    let remark = if *grace == 0 {
        "the master secret is rotated; the tokens of all guests are no longer good, and their sessions end: \
         `mqttchat user token NAME` makes somebody a new one"
            .to_owned()
    } else {
        format!("the master secret is rotated; tokens of those before are good for {grace} more days")
    };
    Ok(Said { answer: String::new(), remark: Some(remark) })
}

async fn list(operator: &Operator) -> anyhow::Result<Said> {
    let mut users: Vec<User> = Vec::new();
    loop {
        let last = users.last().map(|user| user.id.clone());
        let page = operator.users_page(last.as_ref().map(UserId::as_str), PAGE).await?;
        let is_last = (page.len() as u64) < PAGE;
        users.extend(page);
        if is_last {
            break;
        }
    }
    let rows = users.iter().map(|user| {
        let state = if user.blocked { "blocked" } else { "" };
        [
            user.id.to_string(),
            user.issuer.to_string(),
            time(user.last_seen),
            state.to_owned(),
            user.name.to_string(),
        ]
    });
    Ok(Said { answer: table(["USER", "ISSUER", "LAST SEEN", "STATE", "NAME"], rows), remark: None })
}

async fn block(operator: &Operator, name: &str, blocked: bool) -> anyhow::Result<Said> {
    let user = find(operator, name).await?;
    if user.blocked == blocked {
        let state = if blocked { "blocked already" } else { "not blocked" };
        bail!("the user {} is {state}", user.id);
    }
    operator.set_blocked(&user.id, blocked).await?;
    let state = if blocked { "blocked" } else { "no longer blocked" };
    Ok(Said { answer: String::new(), remark: Some(format!("the user {} is {state}", user.id)) })
}

async fn token(operator: &Operator, name: &str) -> anyhow::Result<Said> {
    let user = find(operator, name).await?;
    if &*user.issuer != GUEST {
        bail!(
            "the user {} is of the issuer {}: only guests have tokens of this server",
            user.id,
            user.issuer
        );
    }
    let user = operator.renew_user(&user.id).await?.context("the user is gone")?;
    let token = Token { user: user.id.clone(), serial: user.serial }.issue(&operator.keyring());
    let blocked = if user.blocked { "; the user is blocked" } else { "" };
    Ok(Said {
        answer: format!("{token}\n"),
        remark: Some(format!(
            "whoever has this token is {}; tokens that there were are no longer good{blocked}",
            user.id
        )),
    })
}

/// The user of this id, or whose id is made from this name.
async fn find(operator: &Operator, name: &str) -> anyhow::Result<User> {
    let ids =
        [UserId::parse(name), DisplayName::parse(name).and_then(|name| UserId::parse(&name.guest_id()))];
    for id in ids.into_iter().flatten() {
        if let Some(user) = operator.user(&id).await? {
            return Ok(user);
        }
    }
    bail!("there is no user {name}; `mqttchat user list` shows all")
}
