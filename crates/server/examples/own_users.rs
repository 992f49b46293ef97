//! An application's own users in the chat: whoever is signed in there is signed in here.
//!
//! The application has a SQLite database with a table of accounts and one of sessions. Its page opens the chat's
//! WebSocket and shows its session as the token: `{"type":"hello","id":"h","data":{"token":"<session>"}}`.
//!
//! `cargo run --example own_users -- accounts.db /tmp/own-chat`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use mqttchat::{
    Authenticator, ChatServer, Denied, ErrorCode, Grant, Hello, Identity, Refusal, StartError, UserId,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let accounts = arguments.next().unwrap_or_else(|| "accounts.db".to_owned());
    let data = arguments.next().unwrap_or_else(|| "own-chat".to_owned());
    let server = start(Path::new(&accounts), Path::new(&data), ([127, 0, 0, 1], 9091).into()).await?;
    tracing_subscriber::fmt().init();
    tracing::info!(url = server.url(), "the chat is open to the application's users");
    server.run_until(async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}

/// A chat for the users of the application that keeps its accounts there.
///
/// # Errors
/// When the address or the directory can't be used.
pub async fn start(accounts: &Path, data: &Path, address: SocketAddr) -> Result<ChatServer, StartError> {
    let authenticator = OwnUsers { database: accounts.to_owned() };
    ChatServer::builder().data(data).listen(address).authenticator(authenticator).build().await
}

/// Reads the application's tables
/// `accounts (login TEXT PRIMARY KEY, name TEXT, locked INTEGER)` and
/// `sessions (token TEXT PRIMARY KEY, login TEXT, expires INTEGER)`.
struct OwnUsers {
    database: PathBuf,
}

/// What the tables say about a session.
struct Account {
    login: String,
    name: String,
    locked: bool,
}

impl Authenticator for OwnUsers {
    fn authenticate<'a>(&'a self, hello: &'a Hello) -> BoxFuture<'a, Result<Identity, Denied>> {
        Box::pin(async move {
            let Some(token) = hello.token.clone() else { return Err(stranger()) };
            let database = self.database.clone();
            // SQLite blocks, so it is asked on a thread that may.
            let found = tokio::task::spawn_blocking(move || look_up(&database, &token)).await;
            match found.map_err(|_| away())?.map_err(|_| away())? {
                Some(account) if account.locked => Err(Denied::Unauthorized("this account is locked".into())),
                Some(account) => identity(&account),
                None => Err(stranger()),
            }
        })
    }

    fn issuer(&self) -> Option<&str> {
        Some("own-users")
    }
}

/// The account that a session of the application belongs to, while the session is good.
fn look_up(database: &Path, token: &str) -> rusqlite::Result<Option<Account>> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .query_row(
            "SELECT login, name, locked FROM sessions JOIN accounts USING (login)
             WHERE token = ?1 AND expires > unixepoch()",
            [token],
            |row| Ok(Account { login: row.get(0)?, name: row.get(1)?, locked: row.get(2)? }),
        )
        .optional()
}

fn identity(account: &Account) -> Result<Identity, Denied> {
    // Logins with other characters would need an id made from them, the same each time.
    let user = UserId::parse(&account.login.to_lowercase())
        .ok_or_else(|| Denied::Unauthorized("this login can't be an id in the chat".into()))?;
    // The application's token stays good; the chat gives none of its own.
    Ok(Identity { user, name: account.name.as_str().into(), token: None, grant: Grant::default() })
}

/// Nobody: the client is closed with 4401, and has to sign in to the application first.
fn stranger() -> Denied {
    Denied::Unauthorized("sign in to the application first".into())
}

/// The application's database can't be read: the client may try again.
fn away() -> Denied {
    Denied::Refused(Refusal::new(ErrorCode::Unavailable, "the accounts can't be read now; try again"))
}
