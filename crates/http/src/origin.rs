//! From which pages a WebSocket may be opened. Browsers send cookies and reach private networks for any page, and put
//! no same-origin rule on WebSockets: the server has to look at `Origin` itself (RFC 6455 §10.2).

use std::fmt;

use warp::http::header::{HeaderName, HeaderValue, ORIGIN, REFERER};
use warp::http::{HeaderMap, StatusCode};

use crate::host::Authority;
use crate::problem::Problem;

/// Fetch Metadata §2.4.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// An origin: scheme, host and port (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Parses `scheme://host` or `scheme://host:port`; `None` for anything else, `null` included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let authority = is_scheme.then(|| Authority::parse(authority))??;
        let scheme = scheme.to_ascii_lowercase();
        let port = authority.port().or_else(|| default_port(&scheme));
        Some(Self { host: authority.host().to_owned(), port, scheme })
    }

    /// Whether a page from here has the server that it called `host` as its own. Where it isn't known which scheme the
    /// server is reached by (behind a proxy that isn't configured), the page's tells what a missing port means.
    fn is_of(&self, host: &Authority) -> bool {
        matches!(&*self.scheme, "http" | "https")
            && self.host == host.host()
            && self.port == host.port().or_else(|| default_port(&self.scheme))
    }
}

/// These origins as a policy lists them, each behind a space.
pub(crate) fn sources(origins: &[Origin]) -> String {
    origins.iter().map(|origin| format!(" {origin}")).collect()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        let port = self.port.filter(|port| default_port(&self.scheme) != Some(*port));
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The pages that may use this server: its own, and configured ones.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    others: Vec<Origin>,
}

impl Origins {
    /// The server's own page, and `others`.
    #[must_use]
    pub fn new(others: Vec<Origin>) -> Self {
        Self { others }
    }

    /// The page behind a request, when it is one of the others: what browsers have to be told is welcome.
    pub(crate) fn other<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let named = headers.get(ORIGIN)?;
        let origin = named.to_str().ok().and_then(Origin::parse)?;
        self.others.contains(&origin).then_some(named)
    }

    /// Whether a request tells anything of a page. Browsers do, with all but some navigations.
    pub(crate) fn tells(headers: &HeaderMap) -> bool {
        headers.contains_key(ORIGIN) || headers.contains_key(&SEC_FETCH_SITE)
    }

    /// Checks the page behind a request. Programs that aren't browsers send no `Origin` and are let in: they could
    /// write any.
    ///
    /// # Errors
    /// 403 for a page that isn't welcome, or says `null`.
    pub fn check(&self, headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
        let mut named = headers.get_all(ORIGIN).iter();
        let origin = match (named.next(), named.next()) {
            (None, _) => return Ok(()),
            (Some(origin), None) => origin.to_str().ok().and_then(Origin::parse),
            _ => None,
        };
        if origin.is_some_and(|origin| origin.is_of(host) || self.others.contains(&origin)) {
            return Ok(());
        }
        let detail = "Pages from that origin may not connect; the operator can add it to [http] origins.";
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// The same for requests with which browsers send no `Origin` though the page is another's: scripts and frames.
    /// They say so by `Sec-Fetch-Site`, and the page, if at all, by `Referer`.
    ///
    /// # Errors
    /// 403 as [`Origins::check`].
    pub fn check_fetch(&self, headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
        let site = headers.get(&SEC_FETCH_SITE).map(HeaderValue::as_bytes);
        if headers.contains_key(ORIGIN) || !matches!(site, Some(b"cross-site" | b"same-site")) {
            return self.check(headers, host);
        }
        let page = headers.get(REFERER).and_then(|page| {
            let (scheme, rest) = page.to_str().ok()?.split_once("://")?;
            Origin::parse(&format!("{scheme}://{}", rest.split(['/', '?', '#']).next()?))
        });
        if page.is_some_and(|page| page.is_of(host) || self.others.contains(&page)) {
            return Ok(());
        }
        let detail = "Pages of that site may not connect; the operator can add it to [http] origins.";
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// The pages that are not the server's own.
    #[must_use]
    pub fn others(&self) -> &[Origin] {
        &self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: &str, host: &str) -> bool {
        let origins = Origins::new(vec![Origin::parse("https://intranet.example").unwrap()]);
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        origins.check(&headers, &Authority::parse(host).unwrap()).is_ok()
    }

    #[test]
    fn own_pages_and_configured_ones() {
        assert!(allowed("http://127.0.0.1:9091", "127.0.0.1:9091"));
        assert!(allowed("http://localhost", "localhost"));
        assert!(allowed("http://localhost", "localhost:80"));
        assert!(allowed("https://chat.example", "chat.example"));
        assert!(allowed("HTTP://Chat.Example", "chat.example:80"));
        assert!(allowed("http://[::1]:9091", "[::1]:9091"));
        assert!(allowed("https://intranet.example", "localhost:9091"));
        assert!(allowed("https://intranet.example:443", "localhost:9091"));
        assert!(Origins::default().check(&HeaderMap::new(), &Authority::parse("localhost").unwrap()).is_ok());
    }

    #[test]
    fn requests_without_an_origin() {
        let allowed = |site: &'static str, page: Option<&'static str>| {
            let origins = Origins::new(vec![Origin::parse("https://intranet.example").unwrap()]);
            let mut headers = HeaderMap::new();
            headers.insert(SEC_FETCH_SITE, HeaderValue::from_static(site));
            headers.extend(page.map(|page| (REFERER, HeaderValue::from_static(page))));
            origins.check_fetch(&headers, &Authority::parse("localhost:9091").unwrap()).is_ok()
        };
        assert!(allowed("none", None) && allowed("same-origin", None));
        assert!(allowed("cross-site", Some("https://intranet.example/")));
        assert!(allowed("same-site", Some("http://localhost:9091/#x")));
        assert!(!allowed("cross-site", None) && !allowed("same-site", None));
        for page in ["https://evil.example/", "https://evil.example/https://intranet.example/", "null", "/"] {
            assert!(!allowed("cross-site", Some(page)), "{page}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("https://evil.example"));
        headers.insert(SEC_FETCH_SITE, HeaderValue::from_static("same-origin"));
        let host = Authority::parse("localhost:9091").unwrap();
        assert!(Origins::default().check_fetch(&headers, &host).is_err(), "an origin is believed first");
        assert!(Origins::default().check_fetch(&HeaderMap::new(), &host).is_ok());
    }

    #[test]
    fn of_two_origins_none_counts() {
        let origins = Origins::new(vec![Origin::parse("https://intranet.example").unwrap()]);
        let mut headers = HeaderMap::new();
        headers.append(ORIGIN, HeaderValue::from_static("https://intranet.example"));
        let host = Authority::parse("localhost:9091").unwrap();
        assert!(origins.check(&headers, &host).is_ok());
        headers.append(ORIGIN, HeaderValue::from_static("https://intranet.example"));
        assert_eq!(origins.check(&headers, &host).unwrap_err().status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn browsers_are_told_of_the_others_alone() {
        let origins = Origins::new(vec![Origin::parse("https://intranet.example").unwrap()]);
        assert_eq!(origins.others(), [Origin::parse("https://intranet.example").unwrap()]);
        let of = |origin: &'static str| {
            let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
            origins.other(&headers).map(|origin| origin.to_str().unwrap().to_owned())
        };
        assert_eq!(of("https://intranet.example").as_deref(), Some("https://intranet.example"));
        for stranger in ["https://evil.example", "http://intranet.example", "http://localhost:9091", "null"] {
            assert_eq!(of(stranger), None, "{stranger}");
        }
        assert_eq!(origins.other(&HeaderMap::new()), None);
        let others = ["https://a.example", "http://b.example:81"].map(|text| Origin::parse(text).unwrap());
        assert_eq!(sources(&others), " https://a.example http://b.example:81");
    }

    #[test]
    fn what_a_browser_says_of_the_page() {
        let tells = |name: HeaderName, value: &'static str| {
            Origins::tells(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
        };
        assert!(tells(ORIGIN, "null") && tells(SEC_FETCH_SITE, "none"));
        assert!(!tells(REFERER, "http://localhost/") && !Origins::tells(&HeaderMap::new()));
    }

    #[test]
    fn origins_are_written_as_browsers_do() {
        for text in
            ["https://intranet.example", "http://[::1]:9091", "http://localhost", "moz-extension://a1-b2"]
        {
            assert_eq!(Origin::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Origin::parse("https://a.example:443").unwrap().to_string(), "https://a.example");
        for none in ["ht/tp://a.example", "://a.example", "a.example", "https://a.example/", "https://"] {
            assert_eq!(Origin::parse(none), None, "{none}");
        }
    }

    #[test]
    fn pages_of_others() {
        for stranger in [
            "null",
            "",
            "http://evil.example",
            "http://localhost",
            "http://localhost:9092",
            "https://localhost",
            "http://localhost:9091.evil.example",
            "http://localhost:9091/",
            "http://intranet.example",
            "file://",
            "chrome-extension://localhost:9091",
            "localhost:9091",
            "://localhost:9091",
            "ht/tp://localhost:9091",
        ] {
            assert!(!allowed(stranger, "localhost:9091"), "{stranger}");
        }
        assert!(!allowed("ftp://localhost", "localhost") && !allowed("app://localhost", "localhost"));
    }
}
