//! A small disk that can be full.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Room on it while it is not full.
const SIZE: u64 = 1 << 30;
/// The file system counts in pages.
const PAGE: u64 = 4096;

/// A file system in memory, mounted over a directory. Dropping it takes it away.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts it over this directory; nothing where mounting is not allowed.
    ///
    /// # Errors
    /// When there is no `mount`.
    pub fn mount(path: &Path) -> Result<Option<Self>> {
        let size = format!("size={SIZE},mode=0700");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "mqttchat-chaos"]).arg(path);
        let done = command.stderr(Stdio::null()).status().context("there is no mount")?.success();
        Ok(done.then(|| Self { path: path.to_owned() }))
    }

    /// Leaves no room for anything more.
    ///
    /// # Errors
    /// When the file system cannot be changed.
    pub fn fill(&self) -> Result<()> {
        // Somebody may write between the look and the change: then it is tried with a little more room.
        for spare in 0..50 {
            let usage = rustix::fs::statvfs(&self.path)?;
            let used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize;
            if self.resize(used.max(PAGE) + spare * PAGE)? {
                return Ok(());
            }
        }
        bail!("{} is written to faster than it can be filled", self.path.display())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When the file system cannot be changed.
    pub fn make_room(&self) -> Result<()> {
        ensure!(self.resize(SIZE)?, "{} cannot be given room again", self.path.display());
        Ok(())
    }

    /// Whether everything on it fits into so many bytes.
    fn resize(&self, size: u64) -> Result<bool> {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,size={size}")]).arg(&self.path);
        Ok(command.stderr(Stdio::null()).status()?.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server may still have files open.
        Command::new("umount").arg("-l").arg(&self.path).status().ok();
    }
}
