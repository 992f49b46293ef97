//! The login of devices on the embedded broker: made once, kept beside the database.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::StartError;

/// The only user among devices.
pub(crate) const USER: &str = "device";
const FILE: &str = "device-password";

/// The password in the data directory; made at the first start.
///
/// # Errors
/// [`StartError::File`] when it can't be written or read.
pub(crate) fn password(data: &Path) -> Result<String, StartError> {
    let path = data.join(FILE);
    read_or_make(&path).map_err(|source| StartError::File { path, source })
}

fn read_or_make(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let password = text.trim();
            if password.is_empty() {
                let reason = "it is empty; delete it, and a new password is made";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            Ok(password.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret: [u8; 12] = rand::random();
            let password: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "{password}")?;
            file.sync_all()?;
            Ok(password)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = password(dir.path()).unwrap();
        assert_eq!(first.len(), 24);
        assert_eq!(password(dir.path()).unwrap(), first);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(password(other.path()).unwrap(), first);
    }

    #[test]
    fn an_empty_file_is_no_password() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "\n").unwrap();
        assert!(password(dir.path()).unwrap_err().to_string().contains("empty"));
    }
}
