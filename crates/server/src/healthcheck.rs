//! `mqttchat healthcheck`: asks a running server whether it is alive, for containers that have no other tool for it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

/// How long connecting, and each read and write, may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The `/healthz` of a server on this machine that listens on `address`.
#[must_use]
pub fn url_of(address: SocketAddr, https: bool) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if https { "https" } else { "http" };
    format!("{scheme}://{}/healthz", SocketAddr::new(host, address.port()))
}

/// Asks the URL. By HTTPS, any certificate will do: the question is whether the server lives, not who it is, and on this
/// machine it is seldom called by the name in its certificate.
///
/// # Errors
/// When nobody answers with status 200.
pub fn ask(url: &str) -> Result<()> {
    let (rest, https) = match url.strip_prefix("https://") {
        Some(rest) => (rest, true),
        None => (url.strip_prefix("http://").with_context(|| format!("{url} is no http:// address"))?, false),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, "healthz"));
    let address = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:{}", if https { 443 } else { 80 })
    };
    let targets = address.to_socket_addrs().with_context(|| format!("{authority} is no address"))?;
    let mut connected = None;
    for target in targets {
        connected = Some(TcpStream::connect_timeout(&target, PATIENCE));
        if matches!(connected, Some(Ok(_))) {
            break;
        }
    }
    let Some(connected) = connected else { bail!("{authority} is no address") };
    let stream = connected.with_context(|| format!("{url} can't be reached"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = if https {
        let name = address.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
        exchange(secured(name.to_owned(), stream)?, path, authority)
    } else {
        exchange(stream, path, authority)
    };
    let answer = answer.with_context(|| format!("{url} doesn't answer"))?;
    let status = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    ensure!(status.starts_with("HTTP/1.1 200 "), "{url} answers {status:?}");
    Ok(())
}

fn exchange(mut stream: impl Read + Write, path: &str, authority: &str) -> Result<Vec<u8>> {
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(answer)
}

fn secured(name: String, stream: TcpStream) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(name)?;
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, stream))
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_interfaces_is_asked_on_this_machine() {
        assert_eq!(url_of("0.0.0.0:80".parse().unwrap(), false), "http://127.0.0.1:80/healthz");
        assert_eq!(url_of("[::]:9091".parse().unwrap(), true), "https://[::1]:9091/healthz");
        assert_eq!(url_of("192.0.2.1:1".parse().unwrap(), false), "http://192.0.2.1:1/healthz");
    }
}
