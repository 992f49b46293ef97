//! Whom a client trusts, and who it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use crate::check::Unnamed;
use crate::pem;

/// How closely the other side is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Its certificate has to be of an authority that is trusted, and for the name it was called by.
    #[default]
    Full,
    /// Its certificate has to be of an authority that is trusted, for whatever name.
    Authority,
    /// Any certificate will do: only those who just listen are kept out.
    Nothing,
}

/// Who the client is to the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM file of its certificate and those in between.
    pub certificate: PathBuf,
    /// PEM file of its private key, not encrypted.
    pub key: PathBuf,
}

/// What a client's TLS is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file of the only authorities to trust; `None`: those that this machine trusts (`SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` say otherwise).
    pub authorities: Option<PathBuf>,
    /// What the client shows when it is asked who it is.
    pub identity: Option<Identity>,
    /// How closely the other side is looked at.
    pub check: Check,
}

/// Why a client's TLS can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{} can't be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has no certificate.
    #[error("{} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key.
    #[error(
        "{} holds no private key in PEM that can be read (-----BEGIN PRIVATE KEY-----); `openssl pkey` decrypts one",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// None of the authorities of a file can be used.
    #[error("{} holds no certificate that can be an authority's", path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// The machine trusts nobody.
    #[error(
        "this machine trusts no certificate authority{0}: install ca-certificates, or name a file of your own"
    )]
    NoRoots(String),
    /// Certificate and key can't be used together.
    #[error("{} and {} can't be used together: {reason}", certificate.display(), key.display())]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        reason: String,
    },
    /// Anything else that rustls objects to.
    #[error("TLS can't be set up: {0}")]
    Other(#[from] rustls::Error),
}

impl ClientTls {
    /// Reads the files. What comes of it is to be shared by all connections to the same place.
    ///
    /// # Errors
    /// [`TlsError`] when a file can't be used, or nobody is trusted.
    pub fn load(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match self.check {
            Check::Full => builder.with_root_certificates(self.roots()?),
            Check::Authority => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(self.roots()?.into(), provider).build();
                let verifier =
                    verifier.map_err(|error| TlsError::Other(rustls::Error::General(error.to_string())))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Unnamed::of(verifier)))
            }
            Check::Nothing => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Unnamed::unknown(&provider)))
            }
        };
        let Some(Identity { certificate, key }) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let (chain, private) = (pem::certificates(certificate)?, pem::key(key)?);
        builder.with_client_auth_cert(chain, private).map_err(|error| TlsError::Identity {
            certificate: certificate.clone(),
            key: key.clone(),
            reason: match error {
                rustls::Error::InconsistentKeys(_) => "the key is that of another certificate".to_owned(),
                error => error.to_string(),
            },
        })
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        match &self.authorities {
            Some(path) => roots_of(path),
            None => roots_of_machine(),
        }
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(pem::certificates(path)?);
    if added == 0 {
        return Err(TlsError::NoAuthority { path: path.to_owned() });
    }
    if ignored > 0 {
        tracing::warn!(path = %path.display(), ignored, "some certificates of the file can't be used");
    }
    Ok(roots)
}

fn roots_of_machine() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reason = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(TlsError::NoRoots(reason));
    }
    Ok(roots)
}
