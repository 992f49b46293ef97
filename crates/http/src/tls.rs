//! TLS 1.2 and 1.3 on the server's own listener, with a certificate that can be changed while it serves.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::validity::{Standing, Validity};

/// Why a certificate can't be used: each one sentence, for whoever has the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("the {what} {} can't be read: {reason}", path.display())]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file holds something else.
    #[error("{} holds no {what} in PEM form{hint}", path.display())]
    Empty {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What it may hold instead.
        hint: &'static str,
    },
    /// The two don't belong together.
    #[error(
        "the key {} is not that of the first certificate in {}: give the key that the certificate was made for, and put \
         the server's own certificate before those of its issuers",
        key.display(), certificate.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of its key.
        key: PathBuf,
    },
    /// A good one is not replaced by one that clients refuse.
    #[error("the certificate {} {reason}", path.display())]
    Worse {
        /// The file of the certificate.
        path: PathBuf,
        /// What is wrong with its time.
        reason: String,
    },
    /// What they hold can't be used.
    #[error("the certificate {} and its key can't be used: {reason}", path.display())]
    Unusable {
        /// The file of the certificate.
        path: PathBuf,
        /// What the library says.
        reason: rustls::Error,
    },
}

/// The certificate and key that a listener speaks TLS with. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Tls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// `None` where it can't be made out.
    validity: Option<Validity>,
}

impl Tls {
    /// Reads a certificate with those of its issuers behind it, and its private key, both PEM files.
    ///
    /// # Errors
    /// [`TlsError`] for files that aren't there, hold something else, or don't belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let current = RwLock::new(read(certificate, key)?);
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Self { shared: Arc::new(Shared { certificate, key, current }) })
    }

    /// Reads the same files again. Connections that are open go on with what they have, new ones begin with the new.
    ///
    /// # Errors
    /// As [`Tls::load`], and [`TlsError::Worse`] for a certificate that isn't good now when the one in use is; what was there
    /// stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = read(&self.shared.certificate, &self.shared.key)?;
        let now = SystemTime::now();
        let is_refused = |validity: Option<Validity>| {
            validity
                .is_some_and(|validity| matches!(validity.standing(now), Standing::Early | Standing::Over))
        };
        if is_refused(new.validity) && !is_refused(self.validity()) {
            let reason = new.validity.and_then(|validity| validity.complaint(now)).unwrap_or_default();
            return Err(TlsError::Worse { path: self.shared.certificate.clone(), reason });
        }
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// The file of the certificate.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.shared.certificate
    }

    /// The time in which the certificate in use is good; `None` where it can't be made out.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.current().validity
    }

    fn current(&self) -> Current {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shakes hands with a client. How long that may take is the caller's to say.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current().config).accept(stream).await
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Current, TlsError> {
    let chain = read_chain(certificate)?;
    let validity = chain.first().and_then(Validity::of);
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unread("private key", key, error, " (a certificate is no key)"))?;
    let unusable = |reason| match reason {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        reason => TlsError::Unusable { path: certificate.to_owned(), reason },
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Current { config: Arc::new(config), validity })
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WHAT: &str = "certificate";
    const HINT: &str = " (a key is no certificate, and DER is not PEM)";
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match read {
        Ok(chain) if Vec::is_empty(&chain) => {
            Err(TlsError::Empty { what: WHAT, path: file.to_owned(), hint: HINT })
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(unread(WHAT, file, error, HINT)),
    }
}

fn unread(what: &'static str, path: &Path, error: pem::Error, hint: &'static str) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(error) => TlsError::Unreadable { what, path, reason: error.to_string() },
        pem::Error::NoItemsFound => TlsError::Empty { what, path, hint },
        error => TlsError::Unreadable { what, path, reason: error.to_string() },
    }
}
