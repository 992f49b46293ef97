//! A certificate authority of a test's own, and what it signs, in files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// An authority. Its files are gone when it is dropped.
pub struct Authority {
    home: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    made: AtomicU32,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("home", &self.home).finish_non_exhaustive()
    }
}

/// A certificate and its key, each in a PEM file that all may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one that nobody else knows.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        let name = format!("authority {:016x} of the tests", rand::random::<u64>());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let home = TempDir::with_prefix("mqttchat-ca-")?;
        std::fs::write(home.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { home, issuer, made: AtomicU32::new(0) })
    }

    /// The file of its own certificate.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// A server's certificate, for these names and addresses.
    ///
    /// # Errors
    /// When its files can't be written.
    pub fn server(&self, names: &[&str]) -> Result<Certificate> {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, |_| {})
    }

    /// A server's certificate that was valid once.
    ///
    /// # Errors
    /// When its files can't be written.
    pub fn expired(&self, names: &[&str]) -> Result<Certificate> {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    /// A client's certificate, with its name as the common name.
    ///
    /// # Errors
    /// When its files can't be written.
    pub fn client(&self, name: &str) -> Result<Certificate> {
        self.sign(&[], ExtendedKeyUsagePurpose::ClientAuth, |params| {
            params.distinguished_name.push(DnType::CommonName, name);
        })
    }

    fn sign(
        &self,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Certificate> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![usage];
        change(&mut params);
        let key = KeyPair::generate()?;
        let signed = params.signed_by(&key, &self.issuer)?;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let write = |name: &str, text: String| -> Result<PathBuf> {
            let path = self.home.path().join(format!("{number}-{name}.pem"));
            std::fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Certificate { certificate: write("cert", signed.pem())?, key: write("key", key.serialize_pem())? })
    }
}

/// The file's name as a text.
#[must_use]
pub fn text(path: &Path) -> String {
    path.display().to_string()
}
