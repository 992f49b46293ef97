//! A PostgreSQL of a run's own.

use std::fmt;
use std::sync::Arc;

use mqttchat_e2e::chaos::stage::Database;

use crate::postgres::Cluster;

/// A cluster with one database.
pub(crate) struct Postgres {
    cluster: Cluster,
    url: String,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.url)
    }
}

impl Database for Postgres {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn end(&self, orderly: bool) {
        self.cluster.stop(if orderly { "fast" } else { "immediate" });
    }

    fn start_again(&self) {
        self.cluster.start_again();
    }

    fn set_read_only(&self, read_only: bool) {
        // As a managed database does whose disk is full, or that is a standby for a while.
        let value = if read_only { "on" } else { "off" };
        self.cluster.sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
        self.cluster.sql("postgres", "SELECT pg_reload_conf()");
        // Where a new connection has it, the old ones have been told: they look before their next statement.
        let told = || self.cluster.sql("postgres", "SHOW default_transaction_read_only").trim() == value;
        assert!((0..1000).any(|_| told()), "the setting is never read");
    }
}

/// Starts one.
pub(crate) fn postgres() -> Arc<Postgres> {
    let cluster = Cluster::start();
    let url = cluster.database("chat");
    Arc::new(Postgres { cluster, url })
}
