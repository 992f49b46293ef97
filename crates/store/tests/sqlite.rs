//! The behaviour suite on SQLite.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod suite;

use mqttchat_store::StoreOptions;
use tempfile::TempDir;

struct Directory(TempDir);

impl suite::Place for Directory {
    fn options(&self) -> StoreOptions {
        StoreOptions::sqlite(self.0.path())
    }
}

fn fresh() -> Directory {
    Directory(tempfile::tempdir().unwrap())
}

suite::behaviour!(crate::fresh);
