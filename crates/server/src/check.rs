//! What `check-config` looks at beside the settings: every file that they name.

use std::time::SystemTime;

use mqttchat_http::Tls;
use mqttchat_store::StoreOptions;

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
    broker::check(&config.broker)?;
    check_keys(config)?;
    if let Some(database) = &config.database {
        let checked = StoreOptions::postgres(database.secret()).check();
        checked.map_err(|source| StartError::Database { database: database.to_string(), source })?;
    }
    Ok(complaints)
}
