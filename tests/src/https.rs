//! A server's certificate, and clients that know it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto, version};

use crate::PATIENCE;

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
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        std::fs::write(self.file(), made.cert.pem())?;
        std::fs::write(self.key(), made.signing_key.serialize_pem())?;
        self.der = made.cert.der().clone();
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
