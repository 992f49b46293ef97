//! The installation's master secrets, from which all keys are derived (docs/mqtt.md "Topics").

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mqttchat_protocol::Keyring;

use crate::StoreError;

const HEADER: &str = "# The master secrets of this mqttchat, the newest first: key id and 32 bytes in hex, then where it\n\
                      # was rotated from when on it signs and until when it is good, Unix times in ms.\n\
                      # Whoever has them can speak as anybody. Keep a copy, apart from the database's backups.\n";

/// How long a new secret only verifies: by then every node knows it.
const LEARNT_WITHIN: Duration = Duration::from_secs(10);

/// Master secrets, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secrets(Vec<Secret>);

#[derive(Clone, PartialEq, Eq)]
struct Secret {
    id: u32,
    bytes: [u8; 32],
    /// From when on it signs, Unix time in ms.
    from: Option<u64>,
    /// Until when it is good for anything.
    until: Option<u64>,
}

impl std::fmt::Debug for Secret {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.id)
    }
}

/// What the secrets come to at this moment, for all who sign and verify.
pub(crate) struct Keeper {
    keyring: Keyring,
    state: Mutex<(Secrets, Vec<u32>)>,
}

impl Keeper {
    pub(crate) fn new(secrets: Secrets, now: u64) -> Self {
        let live = secrets.at(now);
        let keyring = Keyring::new(&live);
        Self { keyring, state: Mutex::new((secrets, ids(&live))) }
    }

    /// The keys, now and later.
    pub(crate) fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Takes what was read anew, if it was, and lets time pass. Says whether a secret is no longer good.
    pub(crate) fn turn(&self, read: Option<Secrets>, now: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secrets) = read {
            state.0 = secrets;
        }
        let live = state.0.at(now);
        let (before, now) = (std::mem::replace(&mut state.1, ids(&live)), ids(&live));
        if before != now {
            tracing::info!(secrets = ?now, "the master secrets have changed");
            self.keyring.replace(&live);
        }
        before.iter().any(|id| !now.contains(id))
    }
}

fn ids(live: &[(u32, [u8; 32])]) -> Vec<u32> {
    live.iter().map(|(id, _)| *id).collect()
}

impl Secrets {
    /// New ones.
    pub(crate) fn random() -> Self {
        Self(vec![Secret { id: 1, bytes: rand::random(), from: None, until: None }])
    }

    /// Those that are good at this time, the one that signs first.
    pub(crate) fn at(&self, now: u64) -> Vec<(u32, [u8; 32])> {
        let live = self.0.iter().filter(|secret| secret.until.is_none_or(|until| until > now));
        let (signing, waiting): (Vec<_>, Vec<_>) =
            live.partition(|secret| secret.from.is_none_or(|from| from <= now));
        signing.into_iter().chain(waiting).map(|secret| (secret.id, secret.bytes)).collect()
    }

    /// A new secret, which the others outlive by the grace. Without one they are no longer good from here on; otherwise
    /// the new one signs as soon as all nodes know it.
    pub(crate) fn rotate(&self, grace: Duration, now: u64) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let from = if grace.is_zero() { now } else { now + ms(LEARNT_WITHIN) };
        let end = from.saturating_add(ms(grace));
        let id = self.0.iter().map(|secret| secret.id).max().unwrap_or(0).wrapping_add(1);
        let new = Secret { id, bytes: rand::random(), from: Some(from), until: None };
        let live = self.0.iter().filter(|secret| secret.until.is_none_or(|until| until > now));
        let old = live.map(|secret| Secret {
            until: Some(secret.until.map_or(end, |until| until.min(end))),
            ..secret.clone()
        });
        Self(std::iter::once(new).chain(old).filter(|secret| secret.until != Some(now)).collect())
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
        secrets.write(path)?;
        Ok(secrets)
    }

    /// Writes the secret file, as [`Secrets::create`] does.
    pub(crate) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let new = path.with_extension("new");
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).and_then(
                |mut file| {
                    file.set_permissions(fs::Permissions::from_mode(0o600))?;
                    file.write_all(self.to_text().as_bytes())?;
                    file.sync_all()?;
                    fs::rename(&new, path)?;
                    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
                },
            );
        written.map_err(|error| StoreError::file(path, &error))
    }

    /// As they are kept: read again by [`Secrets::parse`].
    pub(crate) fn to_text(&self) -> String {
        let mut text = HEADER.to_owned();
        for secret in &self.0 {
            // Writing to a String can't fail.
            let _ = write!(text, "{} ", secret.id);
            for byte in &secret.bytes {
                let _ = write!(text, "{byte:02x}");
            }
            for (name, time) in [("from", secret.from), ("until", secret.until)] {
                if let Some(time) = time {
                    let _ = write!(text, " {name}={time}");
                }
            }
            text.push('\n');
        }
        text
    }

    /// Reads what [`Secrets::to_text`] wrote, or a person.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut secrets: Vec<Secret> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let secret = parse_line(line)
                .ok_or_else(|| format!("line {} is not a key id and 64 hex digits", number + 1))?;
            if secrets.iter().any(|known| known.id == secret.id) {
                return Err(format!("key id {} stands there twice", secret.id));
            }
            secrets.push(secret);
        }
        if secrets.is_empty() { Err("there is no secret in it".into()) } else { Ok(Self(secrets)) }
    }
}

fn parse_line(line: &str) -> Option<Secret> {
    let mut words = line.split_whitespace();
    let (id, hex) = (words.next()?, words.next()?.as_bytes());
    if hex.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?;
    }
    let mut secret = Secret { id: id.parse().ok()?, bytes, from: None, until: None };
    for word in words {
        let (name, time) = word.split_once('=')?;
        match name {
            "from" => secret.from = Some(time.parse().ok()?),
            "until" => secret.until = Some(time.parse().ok()?),
            _ => return None,
        }
    }
    Some(secret)
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
    fn rights_that_are_narrow_enough_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        Secrets::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        Secrets::load(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    }

    #[test]
    fn a_file_that_is_no_text_or_none_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, b"1 \xff\xfe").unwrap();
        let refused = Secrets::load(&path).unwrap_err();
        assert!(matches!(&refused, StoreError::BadSecret { reason, .. } if reason == "it is not a text"));
        let refused = Secrets::load(directory.path()).unwrap_err();
        assert!(matches!(refused, StoreError::File { .. }), "{refused:?}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let secrets = Secrets::random().rotate(Duration::from_secs(60), 1_000_000);
        assert_eq!(format!("{secrets:?}"), "Secrets([2, 1])", "their ids alone");
    }

    #[test]
    fn several_secrets_and_comments() {
        let (one, two) = ("11".repeat(32), "fF".repeat(32));
        let secrets = Secrets::parse(&format!("# new\n7 {one}\n\n 2 {two} \n")).unwrap();
        assert_eq!(secrets.at(0), [(7, [0x11; 32]), (2, [0xff; 32])]);
        assert_eq!(Secrets::parse(&secrets.to_text()).unwrap().0, secrets.0);
    }

    #[test]
    fn a_rotation_in_its_time() {
        let old = Secrets::random();
        let ids_at = |secrets: &Secrets, now| ids(&secrets.at(now));
        let new = old.rotate(Duration::from_secs(60), 1_000_000);
        assert_eq!(ids_at(&new, 1_000_000), [1, 2], "known, but not used yet");
        assert_eq!(ids_at(&new, 1_010_000), [2, 1]);
        assert_eq!(ids_at(&new, 1_069_999), [2, 1]);
        assert_eq!(ids_at(&new, 1_070_000), [2]);
        assert_eq!(Secrets::parse(&new.to_text()).unwrap(), new);
        let newer = new.rotate(Duration::from_secs(600), 1_020_000);
        assert_eq!(ids_at(&newer, 1_069_999), [3, 2, 1]);
        assert_eq!(ids_at(&newer, 1_070_000), [3, 2], "nobody's grace gets longer");
        assert_eq!(ids_at(&new.rotate(Duration::ZERO, 1_020_000), 1_020_000), [3]);
        let keeper = Keeper::new(old, 0);
        let (keyring, sealed) = (keeper.keyring(), keeper.keyring().seal(b"{}"));
        assert!(!keeper.turn(Some(new), 1_010_000));
        assert!(keyring.open(&sealed).is_ok());
        assert!(keeper.turn(None, 1_070_000), "one has ended");
        assert!(keyring.open(&sealed).is_err());
        assert!(!keeper.turn(None, 1_070_001));
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
            format!("1 {good} until"),
            format!("1 {good} since=1"),
        ] {
            assert!(Secrets::parse(&bad).is_err(), "{bad}");
        }
    }
}
