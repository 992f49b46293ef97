//! The installation's master secrets, from which all keys are derived (docs/mqtt.md "Topics").

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use mqttchat_protocol::Keyring;

use crate::StoreError;

const HEADER: &str = "# The master secrets of this mqttchat, the newest first: key id and 32 bytes in hex.\n\
                      # Whoever has them can speak as anybody. Keep a copy, apart from the database's backups.\n";

/// Master secrets with their key ids, the newest first.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<(u32, [u8; 32])>);

impl Secrets {
    /// New ones.
    pub(crate) fn random() -> Self {
        Self(vec![(1, rand::random())])
    }

    pub(crate) fn keyring(&self) -> Keyring {
        Keyring::new(&self.0)
    }

    /// Reads the secret file; `None` when there is none.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, StoreError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(bad(path, "it is not a text"));
            }
            Err(error) => return Err(StoreError::file(path, &error)),
        };
        let metadata = fs::metadata(path).map_err(|error| StoreError::file(path, &error))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others may read the secret file: taking that right away");
            let owner_only = fs::Permissions::from_mode(0o600);
            fs::set_permissions(path, owner_only).map_err(|error| StoreError::file(path, &error))?;
        }
        Self::parse(&text).map(Some).map_err(|reason| bad(path, &reason))
    }

    /// Makes a secret file, mode 0600: whole or not at all, whenever the machine stops.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let secrets = Self::random();
        let new = path.with_extension("new");
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).and_then(
                |mut file| {
                    file.set_permissions(fs::Permissions::from_mode(0o600))?;
                    file.write_all(secrets.to_text().as_bytes())?;
                    file.sync_all()?;
                    fs::rename(&new, path)?;
                    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
                },
            );
        written.map_err(|error| StoreError::file(path, &error))?;
        Ok(secrets)
    }

    /// As they are kept: read again by [`Secrets::parse`].
    pub(crate) fn to_text(&self) -> String {
        let mut text = HEADER.to_owned();
        for (id, secret) in &self.0 {
            // Writing to a String can't fail.
            let _ = write!(text, "{id} ");
            for byte in secret {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// Reads what [`Secrets::to_text`] wrote, or a person.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut secrets: Vec<(u32, [u8; 32])> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let secret = parse_line(line)
                .ok_or_else(|| format!("line {} is not a key id and 64 hex digits", number + 1))?;
            if secrets.iter().any(|(id, _)| *id == secret.0) {
                return Err(format!("key id {} stands there twice", secret.0));
            }
            secrets.push(secret);
        }
        if secrets.is_empty() { Err("there is no secret in it".into()) } else { Ok(Self(secrets)) }
    }
}

fn parse_line(line: &str) -> Option<(u32, [u8; 32])> {
    let (id, hex) = line.split_once(' ')?;
    let hex = hex.trim().as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let mut secret = [0; 32];
    for (byte, digits) in secret.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?;
    }
    Some((id.parse().ok()?, secret))
}

fn bad(path: &Path, reason: &str) -> StoreError {
    StoreError::BadSecret { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        assert!(Secrets::load(&path).unwrap().is_none());
        let made = Secrets::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secrets::load(&path).unwrap().unwrap().0, made.0);
        assert_ne!(Secrets::random().0, made.0);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn others_lose_the_right_to_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        Secrets::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Secrets::load(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn several_secrets_and_comments() {
        let (one, two) = ("11".repeat(32), "fF".repeat(32));
        let secrets = Secrets::parse(&format!("# new\n7 {one}\n\n 2 {two} \n")).unwrap();
        assert_eq!(secrets.0, [(7, [0x11; 32]), (2, [0xff; 32])]);
        assert_eq!(Secrets::parse(&secrets.to_text()).unwrap().0, secrets.0);
    }

    #[test]
    fn no_secret_files() {
        let good = "00".repeat(32);
        for bad in [
            String::new(),
            "# only words".into(),
            good.clone(),
            format!("x {good}"),
            format!("1 {}", &good[1..]),
            format!("1 {good}0"),
            format!("1 {}zz", &good[2..]),
            format!("1 {good}\n1 {good}"),
        ] {
            assert!(Secrets::parse(&bad).is_err(), "{bad}");
        }
    }
}
