//! What `check-config` looks at beside the settings: the data directory, and every file that they name.

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use mqttchat_http::Tls;
use mqttchat_store::StoreOptions;
use rustix::fs::{Access, access};

use crate::broker;
use crate::config::Config;
use crate::error::StartError;
use crate::jwt::check_keys;

/// Looks at the files that settings name, as a start would: certificate and key, those of TLS to the broker, the
/// configuration of the broker inside, the keys of tokens, and what the address of the database names. Nothing is
/// connected to.
///
/// Returns what a server would complain of, and start nevertheless.
///
/// # Errors
/// The first file that a server would not start with.
pub fn check_files(config: &Config) -> Result<Vec<String>, StartError> {
    let mut complaints = Vec::new();
    if let Some(tls) = &config.front.tls {
        let tls = Tls::load(&tls.certificate, &tls.key)?;
        let complaint = tls.validity().and_then(|validity| validity.complaint(SystemTime::now()));
        complaints.extend(
            complaint.map(|words| format!("the certificate {} {words}", tls.certificate().display())),
        );
    }
    check_data(&config.data)?;
    broker::check(&config.broker)?;
    check_keys(config)?;
    if let Some(database) = &config.database {
        let checked = StoreOptions::postgres(database.secret()).check();
        checked.map_err(|source| StartError::Database { database: database.to_string(), source })?;
    }
    Ok(complaints)
}

/// Whether the data directory is one, or can be made where nothing is.
fn check_data(data: &Path) -> Result<(), StartError> {
    let Some(there) = data.ancestors().find(|path| path.symlink_metadata().is_ok()) else { return Ok(()) };
    let refused = |source| StartError::File { path: there.to_owned(), source };
    if !there.metadata().map_err(refused)?.is_dir() {
        return Err(refused(ErrorKind::NotADirectory.into()));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| refused(error.into()))
}
