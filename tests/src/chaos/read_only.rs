//! Data that can be read only for a while, even by root.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Files of a database that nobody can write, not even who has them open. Dropping it lets everybody again.
#[derive(Debug)]
pub struct ReadOnly {
    files: Vec<PathBuf>,
}

impl ReadOnly {
    /// Whether that can be had for files in this folder: by root, on a file system such as ext4.
    ///
    /// # Errors
    /// When no file can be written there at all.
    pub fn is_possible(folder: &Path) -> Result<bool> {
        let path = folder.join("read-only-probe");
        let mut file = File::create(&path)?;
        let immutable = Self { files: vec![path.clone()] };
        let possible = immutable.change("+i").is_ok() && file.write_all(b"x").is_err();
        drop(immutable);
        std::fs::remove_file(&path)?;
        Ok(possible)
    }

    /// Makes the SQLite database in this folder read-only. What its processes share in memory stays as it is.
    ///
    /// # Errors
    /// When there is none, or [`ReadOnly::is_possible`] doesn't hold.
    pub fn begin(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".db") || name.ends_with("-wal") {
                files.push(path);
            }
        }
        ensure!(!files.is_empty(), "no database in {}", folder.display());
        let read_only = Self { files };
        read_only.change("+i")?;
        for file in &read_only.files {
            ensure!(OpenOptions::new().append(true).open(file).is_err(), "{} is writable", file.display());
        }
        Ok(read_only)
    }

    fn change(&self, flag: &str) -> Result<()> {
        let mut command = Command::new("chattr");
        command.arg(flag).args(&self.files).stderr(Stdio::null());
        let done = command.status().context("there is no chattr")?.success();
        ensure!(done, "chattr {flag} is not possible here");
        Ok(())
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        self.change("-i").ok();
    }
}
