//! What a reverse proxy says about the client behind it. Anybody can write these headers, so they are read only in
//! requests of proxies that the operator has named.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use warp::http::HeaderMap;
use warp::http::header::{FORWARDED, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Which headers the proxies write. The other ones are whatever a client sent: proxies pass on what they don't know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeaders {
    /// `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<IpNet>,
    headers: ProxyHeaders,
}

/// What the proxies said of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The client: the last address in the chain that isn't a proxy's.
    pub(crate) client: IpAddr,
    /// Whether the client came by HTTPS, where it was said.
    pub(crate) https: Option<bool>,
    /// What the client calls this server, where it was said.
    pub(crate) host: Option<HeaderValue>,
}

/// What one proxy saw of whoever asked it.
#[derive(Debug, Default)]
struct Hop {
    /// `None` where it doesn't say, or hides it.
    client: Option<IpAddr>,
    https: Option<bool>,
    host: Option<HeaderValue>,
}

impl Proxies {
    /// Believes whoever asks from these networks, as far as they write `headers`.
    #[must_use]
    pub fn new(networks: Vec<IpNet>, headers: ProxyHeaders) -> Self {
        Self { networks, headers }
    }

    /// Parses an address, or a network such as `10.0.0.0/8`.
    #[must_use]
    pub fn network(text: &str) -> Option<IpNet> {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    }

    /// Whether an address is a proxy's.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Who is behind the proxy at `remote`. The chain is read from its end: everything before the first address that is
    /// no proxy's is hearsay.
    pub(crate) fn read(&self, remote: IpAddr, headers: &HeaderMap) -> Forwarded {
        let mut said = Forwarded { client: remote.to_canonical(), https: None, host: None };
        let hops = match self.headers {
            ProxyHeaders::XForwarded => x_forwarded(headers),
            ProxyHeaders::Forwarded => forwarded(headers),
        };
        for hop in hops.into_iter().rev() {
            said.https = hop.https.or(said.https);
            said.host = hop.host.or(said.host);
            let Some(client) = hop.client else { break };
            said.client = client;
            if !self.trust(client) {
                break;
            }
        }
        said
    }
}

/// The hops of `X-Forwarded-*`. Where the scheme or the host isn't said for each, the last of them is that of all.
fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let addresses = list(headers, &X_FORWARDED_FOR);
    let (schemes, hosts) = (list(headers, &X_FORWARDED_PROTO), list(headers, &X_FORWARDED_HOST));
    let count = addresses.len().max(1);
    let of = |all: &[String], at: usize| {
        if all.len() == count { all.get(at).cloned() } else { all.last().cloned() }
    };
    (0..count)
        .map(|at| Hop {
            client: addresses.get(at).and_then(|address| node(address)),
            https: of(&schemes, at).and_then(|scheme| is_https(&scheme)),
            host: of(&hosts, at).and_then(|host| HeaderValue::from_str(&host).ok()),
        })
        .collect()
}

/// The hops of `Forwarded`.
fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let values = headers.get_all(FORWARDED).iter();
    let elements = values.flat_map(|value| split(value.to_str().unwrap_or_default(), ','));
    let hop = |element: String| {
        let mut hop = Hop::default();
        for pair in split(&element, ';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => hop.client = node(&value),
                "proto" => hop.https = is_https(&value),
                "host" => hop.host = HeaderValue::from_str(&value).ok(),
                _ => {}
            }
        }
        hop
    };
    elements.map(hop).collect()
}

/// The items of a header that is a list, over all its lines.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).map(|item| item.trim().to_owned()).collect()
}

fn is_https(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// An address, with or without a port; `None` for `unknown` and for what hides it (RFC 7239 §6).
fn node(text: &str) -> Option<IpAddr> {
    let literal = text.strip_prefix('[').and_then(|text| text.split_once(']')).map(|(literal, _)| literal);
    let address = literal.unwrap_or(text).parse().ok();
    address
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|address: IpAddr| address.to_canonical())
}

/// The parts of a text between separators that don't stand in quotes.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// A token as it is, a quoted string without its quotes.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut escaped = false;
    let is_said = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    inner.chars().filter(is_said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: ProxyHeaders, lines: &[(&'static str, &str)]) -> (String, Option<bool>, String) {
        let networks = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"].map(|net| Proxies::network(net).unwrap());
        let proxies = Proxies::new(networks.to_vec(), headers);
        assert!(proxies.trust("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!proxies.trust("11.0.0.1".parse().unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let said = proxies.read("127.0.0.1".parse().unwrap(), &map);
        let host = said.host.map(|host| host.to_str().unwrap().to_owned());
        (said.client.to_string(), said.https, host.unwrap_or_default())
    }

    #[test]
    fn the_last_stranger_in_the_chain_is_the_client() {
        let of = |chain| read(ProxyHeaders::XForwarded, &[("x-forwarded-for", chain)]).0;
        assert_eq!(of("198.51.100.7"), "198.51.100.7");
        assert_eq!(of("1.2.3.4, 198.51.100.7"), "198.51.100.7", "what the client wrote is not believed");
        assert_eq!(of("1.2.3.4, 198.51.100.7, 10.0.0.2"), "198.51.100.7");
        assert_eq!(of("10.0.0.3, 10.0.0.2"), "10.0.0.3");
        assert_eq!(of("198.51.100.7:4711"), "198.51.100.7");
        assert_eq!(of("[2001:db8::1]:80"), "2001:db8::1");
        assert_eq!(of("2001:db8::1, ::ffff:10.0.0.2"), "2001:db8::1");
        for nothing in ["", "unknown", "1.2.3.4, _hidden", "198.51.100.7, nonsense"] {
            assert_eq!(of(nothing), "127.0.0.1", "{nothing}");
        }
        let lines = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(read(ProxyHeaders::XForwarded, &lines).0, "198.51.100.7");
        assert_eq!(read(ProxyHeaders::XForwarded, &[]), ("127.0.0.1".to_owned(), None, String::new()));
    }

    #[test]
    fn scheme_and_host_are_those_of_the_outermost_proxy() {
        let lines = [
            ("x-forwarded-for", "198.51.100.7, 10.0.0.2"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "chat.example"),
        ];
        let said = read(ProxyHeaders::XForwarded, &lines);
        assert_eq!(said, ("198.51.100.7".to_owned(), Some(true), "chat.example".to_owned()));
        let lines = [("x-forwarded-for", "1.2.3.4, 198.51.100.7"), ("x-forwarded-proto", "http, https")];
        assert_eq!(read(ProxyHeaders::XForwarded, &lines).1, Some(true));
    }

    #[test]
    fn where_it_is_said_for_each_hop_it_is_that_hops() {
        let lines =
            |proto| [("x-forwarded-for", "1.2.3.4, 198.51.100.7, 10.0.0.2"), ("x-forwarded-proto", proto)];
        let https = |proto| read(ProxyHeaders::XForwarded, &lines(proto)).1;
        assert_eq!(https("http, https, http"), Some(true), "the client's hop is the second");
        assert_eq!(https("https, http, https"), Some(false));
        assert_eq!(https("https, http"), Some(false), "not one for each: the last is that of all");
        assert_eq!(https("http, HTTPS"), Some(true));
        for (scheme, expected) in [("wss", Some(true)), ("ws", Some(false)), ("gopher", None), ("", None)] {
            assert_eq!(https(scheme), expected, "{scheme}");
        }
        let hosts = [
            ("x-forwarded-for", "1.2.3.4, 198.51.100.7"),
            ("x-forwarded-host", "evil.example, chat.example"),
        ];
        assert_eq!(read(ProxyHeaders::XForwarded, &hosts).2, "chat.example");
        let alone = [("x-forwarded-proto", "https"), ("x-forwarded-host", "chat.example")];
        let said = read(ProxyHeaders::XForwarded, &alone);
        assert_eq!(said, ("127.0.0.1".to_owned(), Some(true), "chat.example".to_owned()));
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let is_within = |network: &str, address: &str| {
            Proxies::new(vec![Proxies::network(network).unwrap()], ProxyHeaders::XForwarded)
                .trust(address.parse().unwrap())
        };
        assert!(is_within("10.0.0.7", "10.0.0.7") && !is_within("10.0.0.7", "10.0.0.8"));
        assert!(is_within("10.0.0.0/8", "10.9.9.9") && is_within("fd00::/8", "fdff::1"));
        assert!(!Proxies::default().trust("127.0.0.1".parse().unwrap()), "none that isn't named");
        assert_eq!((Proxies::network("proxy"), Proxies::network("10.0.0.0/33")), (None, None));
    }

    #[test]
    fn what_is_quoted_is_one_value() {
        let host = |value| read(ProxyHeaders::Forwarded, &[("forwarded", value)]).2;
        assert_eq!(host(r#"host="a;b,c";proto=http"#), "a;b,c");
        assert_eq!(host(r#"host="a\\b\"c""#), r#"a\b"c"#);
        assert_eq!(host(r#"host=a\,host=b"#), "b", "outside of quotes it escapes nothing");
        assert_eq!(host(r#"host="x"#), r#""x"#);
        assert_eq!(host("proto;host = chat.example"), "chat.example");
    }

    #[test]
    fn the_header_of_the_standard() {
        let of = |value| read(ProxyHeaders::Forwarded, &[("forwarded", value)]);
        let said = of(r#"for=1.2.3.4, For="[2001:db8::1]:4711";Proto=https;host="chat.example:8443";by=_x"#);
        assert_eq!(said, ("2001:db8::1".to_owned(), Some(true), "chat.example:8443".to_owned()));
        assert_eq!(of("for=198.51.100.7;proto=http, for=10.0.0.9;proto=https").1, Some(false));
        assert_eq!(of(r#"for="x, for=1.2.3.4"#).0, "127.0.0.1");
        assert_eq!(of("for=_secret;proto=https").0, "127.0.0.1");
        assert_eq!(of(r#"host="a\"b,c""#).2, r#"a"b,c"#);
        let lines = [("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(read(ProxyHeaders::XForwarded, &lines).0, "198.51.100.7");
        assert_eq!(read(ProxyHeaders::Forwarded, &lines).0, "1.2.3.4");
    }
}
