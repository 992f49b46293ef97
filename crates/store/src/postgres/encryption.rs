//! TLS to the database, as its address asks for it in libpq's words: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`.

use std::path::PathBuf;

use mqttchat_tls::{Check, ClientTls, Identity};
use percent_encoding::percent_decode_str;
use tokio_postgres::config::SslMode;

use crate::StoreError;

/// What an address asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encryption {
    /// Whether there has to be TLS; `None`: as the rest of the address says.
    pub(super) mode: Option<SslMode>,
    /// Whom it trusts.
    pub(super) tls: ClientTls,
}

/// What was found in an address.
#[derive(Debug, Default)]
struct Words {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

/// Takes what is about TLS out of a URL; `key=value` words are left as they are.
pub(super) fn split(address: &str) -> Result<(String, Encryption), StoreError> {
    let mut words = Words::default();
    let Some((scheme, rest)) = address.split_once("://") else {
        return Ok((address.to_owned(), words.check()?));
    };
    // A password may hold a question mark.
    let login = rest.find('@').map_or(0, |at| at + 1);
    let Some(query) = rest[login..].find('?').map(|at| login + at) else {
        return Ok((address.to_owned(), words.check()?));
    };
    let mut others = Vec::new();
    for word in rest[query + 1..].split('&') {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let place = match key {
            "sslmode" => &mut words.mode,
            "sslrootcert" => &mut words.root,
            "sslcert" => &mut words.certificate,
            "sslkey" => &mut words.key,
            _ => {
                others.push(word);
                continue;
            }
        };
        let value = percent_decode_str(value).decode_utf8();
        let value = value.map_err(|_| setting(&format!("{key} is not UTF-8")))?;
        *place = Some(value.into_owned()).filter(|value| !value.is_empty());
    }
    let mut address = format!("{scheme}://{}", &rest[..query]);
    if !others.is_empty() {
        address = format!("{address}?{}", others.join("&"));
    }
    Ok((address, words.check()?))
}

impl Words {
    fn check(self) -> Result<Encryption, StoreError> {
        let of_machine = self.root.as_deref() == Some("system");
        let authorities = self.root.filter(|_| !of_machine).map(PathBuf::from);
        let default = if of_machine { Some("verify-full") } else { None };
        let (mode, check) = match self.mode.as_deref().or(default) {
            None => (None, Check::Nothing),
            Some("disable") => (Some(SslMode::Disable), Check::Nothing),
            Some("prefer") => (Some(SslMode::Prefer), Check::Nothing),
            // As libpq has it: where an authority is named, it counts.
            Some("require") if authorities.is_some() => (Some(SslMode::Require), Check::Authority),
            Some("require") => (Some(SslMode::Require), Check::Nothing),
            Some("verify-ca") => (Some(SslMode::Require), Check::Authority),
            Some("verify-full") => (Some(SslMode::Require), Check::Full),
            Some(_) => {
                return Err(setting("sslmode has to be disable, prefer, require, verify-ca or verify-full"));
            }
        };
        if (authorities.is_some() && check == Check::Nothing) || (of_machine && check != Check::Full) {
            return Err(setting("sslrootcert is for checking the server: say sslmode=verify-full, too"));
        }
        let identity = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => {
                Some(Identity { certificate: certificate.into(), key: key.into() })
            }
            (None, None) => None,
            _ => return Err(setting("sslcert and sslkey belong together")),
        };
        Ok(Encryption { mode, tls: ClientTls { authorities, identity, check } })
    }
}

fn setting(reason: &str) -> StoreError {
    StoreError::Setting(format!("the address of the database can't be used: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_tls_is_taken_out() {
        let (address, found) = split(
            "postgres://chat:a?b=c@db:5432/chat?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem\
             &sslcert=c.pem&sslkey=k.pem",
        )
        .unwrap();
        assert_eq!(address, "postgres://chat:a?b=c@db:5432/chat?connect_timeout=3");
        let identity = Identity { certificate: "c.pem".into(), key: "k.pem".into() };
        let tls = ClientTls {
            authorities: Some("/etc/ca.pem".into()),
            identity: Some(identity),
            check: Check::Full,
        };
        assert_eq!(found, Encryption { mode: Some(SslMode::Require), tls });
        for same in ["postgres://chat:a?b=c@db/chat", "host=db sslmode=require"] {
            let (address, found) = split(same).unwrap();
            assert_eq!((address.as_str(), found.mode), (same, None));
        }
    }

    #[test]
    fn modes_are_those_of_libpq() {
        for (query, mode, check) in [
            ("sslmode=disable", SslMode::Disable, Check::Nothing),
            ("sslmode=prefer", SslMode::Prefer, Check::Nothing),
            ("sslmode=require", SslMode::Require, Check::Nothing),
            ("sslmode=require&sslrootcert=ca", SslMode::Require, Check::Authority),
            ("sslmode=verify-ca", SslMode::Require, Check::Authority),
            ("sslrootcert=system", SslMode::Require, Check::Full),
        ] {
            let (address, found) = split(&format!("postgres://db/chat?{query}")).unwrap();
            assert_eq!((found.mode, found.tls.check), (Some(mode), check), "{query}");
            assert_eq!(address, "postgres://db/chat");
        }
        for query in [
            "sslmode=allow",
            "sslmode=verify",
            "sslrootcert=ca",
            "sslmode=prefer&sslrootcert=ca",
            "sslmode=require&sslrootcert=system",
            "sslcert=c",
            "sslmode=%ff",
        ] {
            assert!(split(&format!("postgres://db/chat?{query}")).is_err(), "{query}");
        }
    }
}
