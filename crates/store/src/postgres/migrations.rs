//! The schema and how it came about; the installation's secrets and its log's id, which are made with it.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::fault::Fault;
use super::rows::value;
use super::session::Session;
use crate::StoreError;
use crate::secrets::Secrets;

/// Each brings the schema from the version before to its own, the first to version 1. Only ever added to.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_log.sql"),
    include_str!("migrations/0002_rooms.sql"),
    include_str!("migrations/0003_apikeys.sql"),
    include_str!("migrations/0004_search.sql"),
    include_str!("migrations/0005_purges.sql"),
    include_str!("migrations/0006_moves.sql"),
    include_str!("migrations/0007_blocks.sql"),
];

/// Nodes that start at once take turns. Waits for as long as another's migration takes.
const BEGIN: &str =
    "BEGIN; SET LOCAL statement_timeout TO 0; SET LOCAL idle_in_transaction_session_timeout TO 0;
    SELECT pg_advisory_xact_lock(7814690712345)";

/// Another database, or a copy that was restored from a dump, differs in one of these.
const IDENTITY: &str = "
    SELECT (SELECT system_identifier FROM pg_control_system()) || ':'
        || (SELECT oid FROM pg_database WHERE datname = current_database()) || ':'
        || (SELECT 'mqttchat.meta'::regclass::oid)";

/// What an installation is known by.
pub(super) struct Installation {
    pub(super) log_id: Box<str>,
    pub(super) secrets: Secrets,
}

/// Brings the schema to the newest version and reads what was made with it, whole or not at all.
pub(super) async fn settle(session: &Session) -> Result<Installation, StoreError> {
    let failed = |fault: Fault| StoreError::from(&fault);
    session.run_for_long(BEGIN).await.map_err(failed)?;
    migrate(session).await?;
    let installation = installation(session).await?;
    session.run("COMMIT").await.map_err(failed)?;
    Ok(installation)
}

/// Whether it was ever brought to any version.
pub(super) async fn was_run(session: &Session) -> Result<bool, Fault> {
    let there = session.query("SELECT to_regclass('mqttchat.meta') IS NOT NULL", &[]).await?;
    Ok(there.first().is_some_and(|row| row.get(0)))
}

async fn migrate(session: &Session) -> Result<(), StoreError> {
    let failed = |fault: Fault| StoreError::from(&fault);
    let found = version(session).await?;
    let supported = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > supported {
        return Err(StoreError::NewerSchema { found, supported });
    }
    for (version, sql) in (1i64..).zip(MIGRATIONS) {
        if version <= found {
            continue;
        }
        session.run_for_long(sql).await.map_err(failed)?;
        set_meta(session, "schema", &version.to_string()).await.map_err(failed)?;
        tracing::info!(version, "database schema migrated");
    }
    Ok(())
}

/// The schema's version; makes an empty one, version 0, where there is none.
async fn version(session: &Session) -> Result<i64, StoreError> {
    let failed = |fault: Fault| StoreError::from(&fault);
    let there = session
        .query(
            "SELECT to_regnamespace('mqttchat') IS NOT NULL, to_regclass('mqttchat.meta') IS NOT NULL,
                    EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('mqttchat'))",
            &[],
        )
        .await
        .map_err(failed)?;
    let Some(there) = there.first() else { return Err(StoreError::closed()) };
    match (there.get(0), there.get(1), there.get(2)) {
        (false, _, _) => {
            session.run("CREATE SCHEMA mqttchat").await.map_err(failed)?;
            Ok(0)
        }
        (true, false, false) => Ok(0),
        (true, false, true) => Err(StoreError::Setting(
            "the database's schema mqttchat is something else's: choose another database".into(),
        )),
        (true, true, _) => {
            let version = meta(session, "schema").await.map_err(failed)?;
            version.and_then(|version| version.parse().ok()).ok_or_else(|| {
                StoreError::Setting(
                    "the database's schema mqttchat is something else's: choose another database".into(),
                )
            })
        }
    }
}

async fn installation(session: &Session) -> Result<Installation, StoreError> {
    let failed = |fault: Fault| StoreError::from(&fault);
    let secrets = match meta(session, "secret").await.map_err(failed)? {
        Some(text) => Secrets::parse(&text)
            .map_err(|reason| StoreError::Corrupt(format!("the secret in the table meta: {reason}")))?,
        None => {
            let secrets = Secrets::random();
            set_meta(session, "secret", &secrets.to_text()).await.map_err(failed)?;
            secrets
        }
    };
    let identity = session.query(IDENTITY, &[]).await.map_err(failed)?;
    let identity: String = match identity.first() {
        Some(row) => value(row, 0).map_err(failed)?,
        None => return Err(StoreError::closed()),
    };
    let known = meta(session, "log").await.map_err(failed)?;
    let same = meta(session, "identity").await.map_err(failed)?.is_some_and(|before| before == identity);
    let log_id = match known {
        Some(known) if same => known,
        known => {
            if known.is_some() {
                tracing::warn!("the database was restored from a dump: clients will read their history anew");
            }
            let new = Uuid::new_v4().to_string();
            set_meta(session, "log", &new).await.map_err(failed)?;
            set_meta(session, "identity", &identity).await.map_err(failed)?;
            new
        }
    };
    Ok(Installation { log_id: log_id.into(), secrets })
}

async fn meta(session: &Session, key: &str) -> Result<Option<String>, Fault> {
    let rows = session.query("SELECT value FROM meta WHERE key = $1", &[&key]).await?;
    rows.first().map(|row| value(row, 0)).transpose()
}

async fn set_meta(session: &Session, key: &str, text: &str) -> Result<(), Fault> {
    let params: [&(dyn ToSql + Sync); 2] = [&key, &text];
    session
        .query(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            &params,
        )
        .await?;
    Ok(())
}
