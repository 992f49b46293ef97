//! A server's clock that somebody sets, by libfaketime.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The wall clock of a process. Its steady clock stays as it is.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    folder: TempDir,
}

impl Clock {
    /// A clock that goes right; nothing where libfaketime is not installed.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn new() -> Result<Option<Self>> {
        let folders = std::fs::read_dir("/usr/lib").context("no /usr/lib")?.flatten();
        let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let Some(library) = libraries.into_iter().find(|path| path.is_file()) else { return Ok(None) };
        let clock = Self { library, folder: TempDir::with_prefix("mqttchat-clock-")? };
        clock.step(0)?;
        Ok(Some(clock))
    }

    /// What has to be in the environment of the process.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// Sets the clock so many seconds before or after the right time.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn step(&self, seconds: i64) -> Result<()> {
        // Put in place at once, so that nobody reads half of it.
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{seconds:+}\n"))?;
        Ok(std::fs::rename(new, self.file())?)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}
