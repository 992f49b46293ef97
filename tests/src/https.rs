//! A server's certificate, and clients that know it.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto, version};

use crate::PATIENCE;

/// A day, in seconds.
const DAY: i64 = 24 * 60 * 60;

/// Both versions that are spoken.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// The files of a certificate for this machine, signed by itself.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Makes one.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn make() -> Result<Self> {
        let mut made = Self { folder: TempDir::with_prefix("mqttchat-tls-")?, der: Vec::new().into() };
        made.renew()?;
        Ok(made)
    }

    /// Replaces it by another, in the same files.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn renew(&mut self) -> Result<()> {
        self.renew_for(-1..365)
    }

    /// Replaces it by one that is good from the first of these days on until the last, counted from now.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn renew_for(&mut self, days: Range<i64>) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let on =
            |day: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_add_signed(day * DAY));
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        (params.not_before, params.not_after) = (on(days.start), on(days.end));
        let key = KeyPair::generate()?;
        let made = params.self_signed(&key)?;
        std::fs::write(self.file(), made.pem())?;
        std::fs::write(self.key(), key.serialize_pem())?;
        self.der = made.der().clone();
        Ok(())
    }

    /// Puts this one, and its key, into the files of another.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn replace(&self, other: &Self) -> Result<()> {
        std::fs::copy(self.file(), other.file())?;
        std::fs::copy(self.key(), other.key())?;
        Ok(())
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The file of its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// The arguments that give it to a server.
    #[must_use]
    pub fn args(&self) -> [String; 4] {
        let text = |path: PathBuf| path.display().to_string();
        ["--tls-cert".to_owned(), text(self.file()), "--tls-key".to_owned(), text(self.key())]
    }

    /// Connects to whoever has it, and to nobody else.
    ///
    /// # Errors
    /// When there is no connection within 30 s, or the server shows another certificate.
    pub async fn connect(
        &self,
        address: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost")?;
            anyhow::Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
        };
        tokio::time::timeout(PATIENCE, connecting).await.context("no handshake in 30 s")?
    }

    /// Fetches a path, and returns the whole response as it came.
    ///
    /// # Errors
    /// As [`Certificate::connect`].
    pub async fn get(&self, address: SocketAddr, path: &str) -> Result<String> {
        let mut stream = self.connect(address, &VERSIONS).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("no answer")??;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
