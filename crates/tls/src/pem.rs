//! Certificates and keys in files.

use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::TlsError;

/// The certificates of a file, one at least.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(PemError::NoItemsFound) => Err(TlsError::NoCertificate { path: path.to_owned() }),
        Err(error) => Err(unreadable(path, error)),
    }
}

/// The private key of a file.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        PemError::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        error => unreadable(path, error),
    })
}

fn unreadable(path: &Path, error: PemError) -> TlsError {
    let reason = match error {
        PemError::Io(error) => error.to_string(),
        error => format!("it is not what PEM looks like: {error:?}"),
    };
    TlsError::Unreadable { path: path.to_owned(), reason }
}
