//! `mqttchat healthcheck`: asks a running server whether it is alive, for containers that have no other tool for it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long connecting, and each read and write, may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The `/healthz` of a server on this machine that listens on `address`.
#[must_use]
pub fn url_of(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}/healthz", SocketAddr::new(host, address.port()))
}

/// Asks the URL.
///
/// # Errors
/// When nobody answers with status 200.
pub fn ask(url: &str) -> Result<()> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} is no http:// address"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, "healthz"));
    let address = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
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
    let mut stream = connected.with_context(|| format!("{url} can't be reached"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).with_context(|| format!("{url} doesn't answer"))?;
    let status = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    ensure!(status.starts_with("HTTP/1.1 200 "), "{url} answers {status:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_interfaces_is_asked_on_this_machine() {
        assert_eq!(url_of("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80/healthz");
        assert_eq!(url_of("[::]:9091".parse().unwrap()), "http://[::1]:9091/healthz");
        assert_eq!(url_of("192.0.2.1:1".parse().unwrap()), "http://192.0.2.1:1/healthz");
    }
}
