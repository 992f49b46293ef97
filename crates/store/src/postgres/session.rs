//! One connection.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::encryption;
use super::fault::Fault;
use crate::StoreError;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. The database itself gives up before: see `SET_UP`.
pub(super) const ANSWER: Duration = Duration::from_secs(15);

/// What a node that hangs in a transaction holds, others get soon; what waits for them is given up before we do.
const SET_UP: &str = "
    SET search_path TO mqttchat;
    SET statement_timeout TO '10s';
    SET idle_in_transaction_session_timeout TO '5s';
    SET client_min_messages TO warning;
    SET application_name TO mqttchat";

/// What is set for commits stays so for this session, whatever the server is told later.
const CHECK: &str = "
    SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false), current_setting('fsync'),
           current_setting('server_encoding'), current_setting('server_version_num')::bigint, pg_is_in_recovery()";

/// What a statement is given.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Which database, and how to get there.
pub(super) struct Database {
    config: Config,
    tls: MakeRustlsConnect,
    /// Known once it was opened; from then on no other is taken for it.
    pub(super) log_id: OnceLock<Box<str>>,
}

impl Database {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (url, encryption) = encryption::split(url)?;
        let mut config = Config::from_str(&url).map_err(|error| {
            // What it names may be a part of the password.
            let what =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            StoreError::Setting(format!("the address of the database can't be read: {what}"))
        })?;
        if let Some(mode) = encryption.mode {
            config.ssl_mode(mode);
        }
        let tls = encryption
            .tls
            .load()
            .map_err(|error| StoreError::Setting(format!("TLS to the database can't be made: {error}")))?;
        config.connect_timeout(CONNECT);
        if config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(20));
        Ok(Self { config, tls: MakeRustlsConnect::new(tls), log_id: OnceLock::new() })
    }

    /// Makes a connection, which is driven on `runtime`, and looks whether it is to the database that was opened.
    pub(super) async fn connect(&self, runtime: &Handle) -> Result<Session, Fault> {
        let session = self.connect_to_any(runtime).await?;
        if let Some(log_id) = self.log_id.get() {
            let rows = session.query("SELECT value FROM meta WHERE key = 'log'", &[]).await;
            match rows {
                Ok(rows) if rows.first().is_some_and(|row| row.get::<_, &str>(0) == &**log_id) => {}
                Ok(_) => return Err(Fault::Replaced),
                Err(Fault::Postgres(error))
                    if error.code().is_some_and(|code| code.code().starts_with("42")) =>
                {
                    return Err(Fault::Replaced);
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(session)
    }

    /// Makes a connection, looking only whether the server keeps what it commits.
    pub(super) async fn connect_to_any(&self, runtime: &Handle) -> Result<Session, Fault> {
        let set_up = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            runtime.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database ended");
                }
            });
            let session = Session { client, prepared: Mutex::default() };
            session.client.batch_execute(SET_UP).await?;
            session.check_settings().await?;
            Ok(session)
        };
        tokio::time::timeout(CONNECT, set_up).await.unwrap_or(Err(Fault::Silent))
    }
}

/// A connection and its prepared statements.
pub(super) struct Session {
    client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

impl Session {
    async fn check_settings(&self) -> Result<(), Fault> {
        let row = self.client.query_one(CHECK, &[]).await?;
        let setting = |what: &str| Err(Fault::Setting(what.to_owned()));
        if row.get::<_, &str>(0) == "off" {
            return setting(
                "the database has synchronous_commit = off: it would lose messages that were acknowledged; set it to on",
            );
        }
        if row.get::<_, &str>(1) == "off" {
            return setting(
                "the database has fsync = off: it would lose messages that were acknowledged; set it to on",
            );
        }
        if row.get::<_, &str>(2) != "UTF8" {
            return setting("the database's encoding is not UTF8: make one with ENCODING 'UTF8'");
        }
        if row.get::<_, i64>(3) < 130_000 {
            return setting("the database is older than PostgreSQL 13");
        }
        if row.get(4) {
            return Err(Fault::Away("the database is a replica that takes no writes".into()));
        }
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The statement, prepared when it wasn't yet.
    pub(super) async fn prepared(&self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.known(sql) {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
        Ok(statement)
    }

    fn known(&self, sql: &str) -> Option<Statement> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned()
    }

    /// Asks and waits for all rows. Of several that are prepared, what is polled first is asked first.
    pub(super) async fn query(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        let answer = async {
            let statement = self.prepared(sql).await?;
            Ok(self.client.query(&statement, params).await?)
        };
        tokio::time::timeout(ANSWER, answer).await.unwrap_or(Err(Fault::Silent))
    }

    /// Runs statements without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Fault> {
        let answer = async { Ok(self.client.batch_execute(sql).await?) };
        tokio::time::timeout(ANSWER, answer).await.unwrap_or(Err(Fault::Silent))
    }

    /// Runs statements without parameters, however long that takes.
    pub(super) async fn run_for_long(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Runs what is prepared in one transaction and one round trip: all is sent at once, so that it is done or not
    /// done as a whole even when the future is dropped.
    pub(super) async fn transaction(
        &self,
        statements: &[(&'static str, Params<'_>)],
    ) -> Result<Vec<Vec<Row>>, Fault> {
        for (sql, _) in statements {
            self.prepared(sql).await?;
        }
        let asked = futures::future::join_all(statements.iter().map(|(sql, params)| self.query(sql, params)));
        let (begun, answers, ended) = tokio::join!(biased; self.run("BEGIN"), asked, self.run("COMMIT"));
        begun?;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        ended?;
        Ok(answers)
    }
}
