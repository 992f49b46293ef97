//! Which `Host` a request may name. A page on somebody else's domain can point that domain at this machine
//! (DNS rebinding) and would then be of the "same origin"; its requests still name that domain.

use std::net::{IpAddr, Ipv6Addr};

use warp::http::header::HOST;
use warp::http::{HeaderMap, StatusCode, Uri};

use crate::problem::Problem;

/// Host and port as a `Host` header, an origin or a URL writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// Parses `host`, `host:port`, `1.2.3.4:port` or `[::1]:port`; `None` for anything else. The host is
    /// lower-cased and loses the dot of a fully qualified name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (literal, rest) = rest.split_once(']')?;
                literal.parse::<Ipv6Addr>().ok()?;
                (
                    format!("[{}]", literal.to_ascii_lowercase()),
                    rest.strip_prefix(':').or(rest.is_empty().then_some("")),
                )
            }
            None => {
                let (host, port) = text.split_once(':').unwrap_or((text, ""));
                let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
                is_host_name(&host).then_some(())?;
                (host, Some(port))
            }
        };
        let port = match port? {
            "" => None,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// The host alone; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one is written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same with the port that the scheme means, where none is written.
    pub(crate) fn by(mut self, https: bool) -> Self {
        self.port = self.port.or(Some(if https { 443 } else { 80 }));
        self
    }

    fn is_ip(&self) -> bool {
        self.host.starts_with('[') || self.host.parse::<IpAddr>().is_ok()
    }

    /// Whether it is a name that means the same on other machines.
    pub(crate) fn is_public(&self) -> bool {
        !self.is_ip() && self.host.contains('.') && !self.host.ends_with(".local")
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Letters, digits, `-`, `_` and dots: nothing that means something in a header.
fn is_host_name(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

/// The names under which this server may be called.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// IP literals, `localhost` and `*.local` are always good; `names` (the machine's own, and configured ones) are
    /// compared without regard to case.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    fn admits(&self, authority: &Authority) -> bool {
        let host = authority.host();
        authority.is_ip()
            || host == "localhost"
            || host.strip_suffix(".local").is_some_and(|name| !name.is_empty())
            || self.names.iter().any(|name| name == host)
    }

    /// What a request calls this server.
    ///
    /// # Errors
    /// 400 without one good `Host`, 421 (RFC 9110 §15.5.20) for a name that isn't this server's.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
        let mut named = headers.get_all(HOST).iter();
        let host = match (named.next(), named.next()) {
            (Some(host), None) => host.to_str().ok().and_then(Authority::parse),
            _ => None,
        };
        // An absolute-form target overrides the header (RFC 9112 §3.2.2): then both have to be good.
        let target = uri.authority().map_or_else(|| host.clone(), |target| Authority::parse(target.as_str()));
        let (Some(host), Some(target)) = (host, target) else {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "A request needs one Host header with a host name.",
            ));
        };
        if let Some(stranger) = [&host, &target].into_iter().find(|authority| !self.admits(authority)) {
            let detail = format!(
                "This server isn't known as {}; its operator can add that name to [http] hosts.",
                stranger.host()
            );
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        Ok(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str) -> Result<Authority, u16> {
        let hosts = Hosts::new(["Chat.Example.com".to_owned(), "box7".to_owned()]);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        hosts.check(&Uri::from_static("/"), &headers).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn names_of_this_server() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:9091",
            "192.168.1.7:80",
            "[::1]:9091",
            "[fe80::1]",
            "localhost:9091",
            "LOCALHOST",
            "printer.local",
            "chat.example.com:443",
            "chat.example.com.",
            "box7:9091",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn names_of_others() {
        for stranger in
            ["evil.example", "localhost.evil.example", "notlocal", "127.0.0.1.evil.example", "x.box7"]
        {
            assert_eq!(check(stranger).unwrap_err(), 421, "{stranger}");
        }
        for broken in [
            "",
            "a b",
            "evil;script-src",
            "[::1",
            "[::g]",
            "x:+1",
            "x:99999",
            "x:-1",
            "a..b",
            "user@localhost",
            ".local",
        ] {
            assert_eq!(check(broken).unwrap_err(), 400, "{broken}");
        }
    }

    #[test]
    fn host_and_port_are_those_that_are_written() {
        for (text, host, port, shown) in [
            ("Box7.", "box7", None, "box7"),
            ("box7:", "box7", None, "box7"),
            ("127.0.0.1:80", "127.0.0.1", Some(80), "127.0.0.1:80"),
            ("[FE80::1]:9091", "[fe80::1]", Some(9091), "[fe80::1]:9091"),
            ("[::1]", "[::1]", None, "[::1]"),
            ("[::1]:", "[::1]", None, "[::1]"),
        ] {
            let authority = Authority::parse(text).unwrap();
            assert_eq!((authority.host(), authority.port()), (host, port), "{text}");
            assert_eq!(authority.to_string(), shown);
        }
        let labels = |last: usize| format!("{}{}", "a.".repeat(126), "b".repeat(last));
        assert!(Authority::parse(&labels(1)).is_some() && Authority::parse(&labels(2)).is_none());
        assert_eq!(Authority::parse("[::1]x:1"), None);
    }

    #[test]
    fn a_port_that_is_not_written_is_the_schemes() {
        let port = |text, https| Authority::parse(text).unwrap().by(https).port();
        assert_eq!((port("box7", true), port("box7", false)), (Some(443), Some(80)));
        assert_eq!((port("box7:9091", true), port("box7:9091", false)), (Some(9091), Some(9091)));
    }

    #[test]
    fn public_are_names_that_mean_the_same_elsewhere() {
        let is_public = |text| Authority::parse(text).unwrap().is_public();
        assert!(is_public("chat.example.com:443"));
        for private in ["localhost", "box7:9091", "printer.local", "192.168.1.7", "127.0.0.1:80", "[::1]"] {
            assert!(!is_public(private), "{private}");
        }
    }

    #[test]
    fn an_absolute_target_counts_as_well() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        let status = |uri: &'static str| {
            Hosts::default()
                .check(&Uri::from_static(uri), &headers)
                .map_err(|problem| problem.status().as_u16())
        };
        assert!(status("http://127.0.0.1/").is_ok());
        assert_eq!(status("http://evil.example/").unwrap_err(), 421);
        headers.append(HOST, "localhost".parse().unwrap());
        assert_eq!(
            Hosts::default().check(&Uri::from_static("/"), &headers).unwrap_err().status().as_u16(),
            400
        );
    }
}
